"""tljh-config as an admin types it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from tljh import config as contract
from tljh.cli.config import group
from tljh.errors import TljhError
from tljh.settings.schema import describe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(group, ["--config-path", str(path), *words])


def test_every_verb_in_turn(path: Path) -> None:
    for words in (
        ["set", "limits.memory", "1G"],
        ["set", "limits.cpu", "1.5"],
        ["set", "https.enabled", "true"],
        ["add-item", "users.admin", "alice"],
        ["add-item", "users.admin", "1234"],
        ["remove-item", "users.admin", "alice"],
        ["unset", "limits.cpu"],
    ):
        result = run(path, *words)
        assert result.exit_code == 0, result.output
        assert "Written. It takes effect with `tljh-config reload" in result.output
    shown = "limits:\n  memory: 1G\nhttps:\n  enabled: true\nusers:\n  admin:\n  - '1234'\n"
    assert path.read_text() == shown
    assert run(path, "show").output == shown


def test_comments_are_kept(path: Path) -> None:
    path.write_text("# ours\nlimits:\n  memory: 1G  # each\n")
    run(path, "set", "limits.memory", "2G")
    assert path.read_text() == "# ours\nlimits:\n  memory: 2G  # each\n"


def test_nothing_is_said_by_none(path: Path) -> None:
    run(path, "set", "limits.memory", "none")
    assert contract.get_config_value(path, "limits", {}) == {"memory": None}


def test_which_reload_applies_it(path: Path) -> None:
    assert "`tljh-config reload`" in run(path, "set", "limits.cpu", "1").output
    assert "`tljh-config reload proxy`" in run(path, "set", "http.port", "8080").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "limits.memroy", "1G"], "there is no setting limits.memroy; did you mean limits.memory?"),
        (["set", "limits.memory", "lots"], 'limits.memory is the text "lots"; expected text like "1G"'),
        (["set", "limits.cpu", "-1"], 'limits.cpu is the text "-1"; expected a number of cores'),
        (["set", "users.admin", "alice"], "tljh-config add-item users.admin …"),
        (["set", "auth.typ", "x"], "did you mean auth.type?"),
        (["unset", "limits.cpu"], "limits.cpu is not set"),
        (["remove-item", "users.admin", "alice"], "users.admin is not set"),
        (["add-item", "http.port", "1"], "http.port is the text"),
        (["show", "quota"], "quota is not set"),
    ],
)
def test_what_is_wrong_is_said_and_ends_with_1(path: Path, words: list[str], said: str) -> None:
    if words[0] == "add-item":
        path.write_text("http:\n  port: 80\n")
        said = "http.port is not a list"
    before = path.read_text() if path.exists() else None
    result = run(path, *words)
    assert result.exit_code == 1
    assert said in result.output
    assert "tljh-config: config.yaml: " in result.output
    assert (path.read_text() if path.exists() else None) == before


@pytest.mark.parametrize(
    "words", [["frobnicate"], ["set", "limits.cpu"], ["reload", "users"], ["set", "a", "b", "c"]]
)
def test_a_wrong_command_line_ends_with_2(path: Path, words: list[str]) -> None:
    assert run(path, *words).exit_code == 2


def test_no_validate_on_either_side_of_the_verb(path: Path) -> None:
    assert run(path, "--no-validate", "set", "limits.disk", "1").exit_code == 0
    assert run(path, "set", "limits.inodes", "1", "--no-validate").exit_code == 0
    assert path.read_text() == "limits:\n  disk: 1\n  inodes: 1\n"


def test_a_mistake_at_the_top_is_doubted_but_kept(path: Path) -> None:
    result = run(path, "set", "limit.memory", "1G")
    assert result.exit_code == 0
    assert "warning: config.yaml: limit is not a setting of ours; did you mean limits?" in result.output
    assert path.exists()


def test_show(path: Path) -> None:
    assert run(path, "show").output == "{}\n"
    path.write_text("users:\n  admin: [alice]\nlimits:\n  memory: 1G\nhttps:\n  enabled: false\n")
    assert run(path, "show", "users").output == "admin:\n- alice\n"
    assert run(path, "show", "limits.memory").output == "1G\n"
    assert run(path, "show", "https.enabled").output == "false\n"
    assert json.loads(run(path, "show", "--json").output)["users"] == {"admin": ["alice"]}
    assert (
        "limits.cpu is not set in config.yaml; its default is:\nnone\n" in run(path, "show", "limits.cpu").output
    )


def test_broken_yaml_is_said_with_its_line(path: Path) -> None:
    path.write_text("a: [\n")
    for words in (["show"], ["set", "limits.cpu", "1"]):
        result = run(path, *words)
        assert result.exit_code == 1
        assert "config.yaml line 2, column 1: broken YAML" in result.output


@pytest.mark.parametrize(("words", "component"), [([], "hub"), (["hub"], "hub"), (["proxy"], "proxy")])
def test_reload(path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], component: str) -> None:
    reloaded: list[str] = []
    monkeypatch.setattr(contract, "reload_component", reloaded.append)
    result = run(path, "reload", *words)
    assert result.exit_code == 0
    assert reloaded == [component]
    assert f"{component.capitalize()} reload with new configuration complete" in result.output


def test_a_failed_reload(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(component: str) -> None:
        raise TljhError("jupyterhub did not answer", todo="Look at its log.")

    monkeypatch.setattr(contract, "reload_component", fail)
    result = run(path, "reload")
    assert result.exit_code == 1
    assert "tljh-config: jupyterhub did not answer\n  → Look at its log." in result.output


def test_without_root_the_hubs_own_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = CliRunner().invoke(group, ["show"])
    assert result.exit_code == 1
    assert "root privileges are needed" in result.output
    assert "sudo" in result.output


def completed(*words: str) -> list[str]:
    complete = ShellComplete(group, {}, "tljh-config", "_TLJH_CONFIG_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_keys_and_values_are_completed() -> None:
    assert completed("set", "limits.") == ["limits.memory", "limits.cpu"]
    assert completed("set", "user_environment.default_app", "c") == ["classic"]
    assert set(completed("unset", "")) == {row.key for row in describe() if "<" not in row.key}


def test_every_verb_teaches_with_an_example() -> None:
    for name, command in group.commands.items():
        assert isinstance(command, click.Command)
        assert f"tljh-config {name}" in (command.help or "")
