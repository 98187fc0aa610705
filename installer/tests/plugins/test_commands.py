"""Plugins' commands: known from the record, loaded when they run, never in the place of one of ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from tljh import cli
from tljh.engine.store import Store
from tljh.hooks import hookimpl
from tljh.plugins import commands, sources
from tljh.plugins.commands import Recorded
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record
from tljh.plugins.sources import PluginSource


class Quota:
    """A plugin with two commands."""

    @hookimpl
    def tljh_subcommands(self, cli: click.Group) -> None:
        @cli.command()
        @click.argument("name")
        def quota(name: str) -> None:
            """Show how much room NAME has."""
            click.echo(f"quota of {name}")

        @cli.command()
        def fails() -> None:
            raise ZeroDivisionError("by hand")


def row(name: str, help: str = "") -> dict[str, str]:
    return {"name": name, "help": help}


def report(name: str, *rows: dict[str, str], **more: Any) -> PluginReport:
    return PluginReport(name, f"tljh-{name}", "1.0", commands=rows, label=f"plugin {name} (1.0)", **more)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """What this machine has recorded."""
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    (tmp_path / "state").mkdir()
    return Store(tmp_path / "state" / "tljh.sqlite")


def installed(store: Store, *reports: PluginReport) -> None:
    store.add_generation(1, "tljh install", {"reports": {found.name: as_record(found) for found in reports}})


def there(monkeypatch: pytest.MonkeyPatch, *plugins: tuple[str, Any]) -> None:
    """The plugins that can be loaded here."""

    def load(plugin: Any) -> Any:
        def loaded() -> object:
            if isinstance(plugin, BaseException):
                raise plugin
            return plugin

        return loaded

    found = [PluginSource(name, name, f"tljh-{name}", "1.0", load(plugin)) for name, plugin in plugins]
    monkeypatch.setattr(sources, "find_sources", lambda: found)


def tljh(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return (ended.value.code, *capsys.readouterr())


# ---- what is recorded


def test_our_own_commands_are_known() -> None:
    assert sorted(commands.CORE) == sorted(cli.COMMANDS)


def test_the_newest_record_counts(store: Store) -> None:
    installed(store, report("old", row("gone")))
    installed(
        store,
        report("a", row("quota", "Show quotas.")),
        report("b", row("quota"), row("install"), row("archive")),
        report("off", row("hidden")),
        report("once", row("imported"), source="import"),
    )
    store.set_wishes("disabled", ["off"])
    assert commands.recorded() == {
        "quota": Recorded("quota", "Show quotas.", "a", "plugin a (1.0)"),
        "archive": Recorded("archive", "", "b", "plugin b (1.0)"),
    }


def test_no_record_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    assert commands.recorded() == {}
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tljh.sqlite").write_bytes(b"no database" * 100)
    assert commands.recorded() == {}


# ---- help and completion


def test_help_shows_them_and_loads_none(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(store, report("quota", row("quota", "Show how much room NAME has.")))
    there(monkeypatch, ("quota", AssertionError("it was loaded")))
    code, out, _ = tljh(capsys, "--help")
    assert code == 0
    assert "Commands of plugins:\n  quota  Show how much room NAME has. (quota)\n" in out


def test_help_without_plugins_says_nothing_of_them(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Commands of plugins" not in tljh(capsys, "--help")[1]


def test_a_misspelt_one(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    installed(store, report("quota", row("quota")))
    assert "there is no command 'quoat'; did you mean 'quota'?" in tljh(capsys, "quoat")[2]


# ---- running one


def test_one_is_loaded_when_it_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(store, report("quota", row("quota")), report("other", row("other")))
    there(monkeypatch, ("quota", Quota()), ("other", AssertionError("it was loaded")))
    assert tljh(capsys, "quota", "ada") == (0, "quota of ada\n", "")
    assert tljh(capsys, "quota", "--help")[1].startswith(
        "Usage: tljh quota [OPTIONS] NAME\n\n  Show how much room"
    )


def test_what_one_raises_is_told_with_its_plugin(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(store, report("quota", row("fails")))
    there(monkeypatch, ("quota", Quota()))
    code, _, err = tljh(capsys, "fails")
    assert code == 1
    assert err.splitlines()[0] == "Traceback (most recent call last):"
    assert (
        err.splitlines()[-1]
        == "tljh: plugin quota (tljh-quota 1.0): tljh fails failed: ZeroDivisionError: by hand"
    )


def test_one_whose_plugin_can_not_be_loaded(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(store, report("quota", row("quota")))
    there(monkeypatch, ("quota", ImportError("no x")))
    code, _, err = tljh(capsys, "quota", "ada")
    assert code == 1
    assert err == (
        "tljh: plugin quota (tljh-quota 1.0) can't be loaded: ImportError: no x\n"
        "  → the other commands of tljh go on; 'tljh plugin info' tells more\n"
    )


@pytest.mark.parametrize("plugins", [(), (("quota", Quota()),)])
def test_one_that_is_no_longer_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plugins: Sequence[Any]
) -> None:
    installed(store, report("quota", row("gone")))
    there(monkeypatch, *plugins)
    err = tljh(capsys, "gone")[2]
    assert "has no command gone any more\n  → run 'tljh install', which notes the commands that there are\n" in err


# ---- --import-plugin


FILE = """
import click
from tljh.hooks import hookimpl

@hookimpl
def tljh_subcommands(cli):
    cli.add_command(click.Command("NAME", callback=lambda: click.echo("hello"), help="Say hello."))
"""


def file(tmp_path: Path, name: str = "greet") -> str:
    path = tmp_path / "mine.py"
    path.write_text(FILE.replace("NAME", name))
    return str(path)


def test_the_commands_of_a_file(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tljh(capsys, "--import-plugin", file(tmp_path), "greet") == (0, "hello\n", "")
    assert (
        "  greet  Say hello. (--import-plugin)\n" in tljh(capsys, "--import-plugin", file(tmp_path), "--help")[1]
    )
    assert tljh(capsys, "greet")[0] == 2


def test_our_commands_are_not_replaced(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, "status")
    code, out, err = tljh(capsys, "--import-plugin", path, "status")
    assert (code, out) == (1, "")
    assert err == (
        f"tljh: {path}: tljh_subcommands adds the command 'status', which tljh has itself; "
        "a plugin can't replace it\n"
        "  → give the command another name; nothing was changed\n"
    )


def test_install_and_plan_get_it_too(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    @click.command()
    @click.option("--import-plugin", "import_plugins", multiple=True)
    def plan(import_plugins: Sequence[str]) -> None:
        seen.append(import_plugins)

    module = type(sys)("plan_of_test")
    module.plan = plan  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plan_of_test", module)
    monkeypatch.setitem(cli.COMMANDS, "plan", ("plan_of_test", "plan", "x"))
    path = file(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(["--import-plugin", path, "plan", "--import-plugin", "another"])
    assert seen == [(path, "another")]


# ---- at an install


def test_a_clash_stops_an_install() -> None:
    assert commands.clash([report("a", row("x")), report("b", row("y"))]) is None
    error = commands.clash([report("a", row("install"))])
    assert str(error) == (
        "plugin a (1.0): tljh_subcommands adds the command 'install', which tljh has itself; "
        "a plugin can't replace it\n"
        "  → give the command another name; nothing was changed"
    )
    error = commands.clash([report("a", row("x")), report("b", row("x"))])
    assert str(error) == (
        "plugin a (1.0) and plugin b (1.0) both add the command 'tljh x'\n"
        "  → leave one out (tljh plugin disable b); nothing was changed"
    )
