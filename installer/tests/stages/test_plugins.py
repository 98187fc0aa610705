"""Which plugins there are: specs, sources; the solving of the hub environment."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, FakeUv, make_context, real
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record
from tljh.resources.environments import project_folder
from tljh.resources.hub_database import Schema
from tljh.resources.locks.lock import RECORD, Lock, Requested
from tljh.stages import hub_database, plugins
from tljh.stages.context import Context, Options
from tljh.stages.contributed import plugin_sources
from tljh.stages.locks import locking

OURS = "the-littlest-jupyterhub @ file:///opt/tljh/state/wheels/abc/x.whl"


def make_plugin(folder: Path, name: str = "tljh-x") -> Path:
    path = folder / name
    (path / "tljh_x").mkdir(parents=True)
    (path / "setup.py").write_text("setup()")
    (path / "tljh_x" / "__init__.py").write_text("x = 1")
    return path


def report(name: str, *extra: str, problems: tuple[str, ...] = ()) -> PluginReport:
    return PluginReport(
        name, f"tljh-{name}", "1.0", contributions={"tljh_extra_hub_pip_packages": extra}, problems=problems
    )


# ---- specs


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path))


def sources(context: Context, *specs: str, known: Any = None) -> list[plugin_sources.Source]:
    context.options = Options(plugins=specs)
    return plugin_sources.sources_of(context, known or {})


@pytest.mark.parametrize(
    "spec",
    [
        "tljh-x",
        "tljh_x==1.0",
        "tljh-x[a,b] >=1,<2",
        "tljh-x @ https://host/x.whl",
        "tljh-x; python_version > '3'",
        "git+https://host/x@main#egg=x",
        "https://host/x.whl",
        "file:///x.whl",
    ],
)
def test_what_pip_can_install(context: Context, spec: str) -> None:
    assert sources(context, spec) == [plugin_sources.Source(spec, spec, {})]


@pytest.mark.parametrize("spec", ["", "--index-url x", "tljh x", "a/b", "tljh-x\nrequests", "$(x)"])
def test_what_pip_can_not_install(context: Context, spec: str) -> None:
    with pytest.raises(TljhError) as caught:
        sources(context, spec)
    assert str(caught.value) == (
        f"--plugin {spec!r} is not something that pip can install\n"
        "  → write a package (tljh-name==1.0), a URL (git+https://…), or a path that begins with ./"
    )


def test_a_path_where_there_is_nothing(context: Context) -> None:
    with pytest.raises(TljhError) as caught:
        sources(context, "/nonexistent/tljh-x")
    assert str(caught.value) == (
        "--plugin /nonexistent/tljh-x: there is nothing at this path\n  → name a folder, a wheel or a package"
    )


def test_the_newest_spec_of_a_plugin_stands_for_it(context: Context) -> None:
    context.store.add_wishes("plugin", ["tljh_x==1.0", "tljh-y", "git+https://host/z"])
    found = sources(context, "TLJH-X==2.0", "tljh-w")
    assert [source.spec for source in found] == ["tljh-y", "git+https://host/z", "TLJH-X==2.0", "tljh-w"]


def test_a_folder_is_built_into_a_wheel(context: Context, tmp_path: Path) -> None:
    path = make_plugin(real(tmp_path))
    context.store.add_wishes("plugin", ["tljh-x==1.0"])
    (source,) = sources(context, str(path))
    digest = project_folder.digest_of(path)
    wheel = context.paths.state / "wheels" / digest.removeprefix("sha256:")[:12] / "tljh_x-0.1-py3-none-any.whl"
    assert source.requirement == f"tljh-x @ file://{wheel}"
    assert source.details == {"digest": digest, "wheel": str(wheel), "requirement": source.requirement}
    assert wheel.exists()


def test_while_planning_only_the_scratch_folder_is_written_to(context: Context, tmp_path: Path) -> None:
    context.planning = True
    (source,) = sources(context, str(make_plugin(real(tmp_path))))
    assert Path(source.details["wheel"]).is_relative_to(context.scratch)
    assert not (context.paths.state / "wheels").exists()


def test_an_unchanged_folder_is_not_built_again(context: Context, tmp_path: Path) -> None:
    path = make_plugin(real(tmp_path))
    (first,) = sources(context, str(path))
    assert isinstance(context.machine, FakeMachine)
    context.machine.commands.clear()
    assert sources(context, str(path), known={str(path): first.details}) == [first]
    assert context.machine.commands == []
    (path / "setup.py").write_text("changed")
    (second,) = sources(context, str(path), known={str(path): first.details})
    assert second.requirement != first.requirement
    assert len(context.machine.ran("uv build")) == 1


def test_a_folder_that_is_gone_stays_as_it_was_built(context: Context) -> None:
    known = {"/gone/tljh-x": {"digest": "sha256:1", "wheel": "/w.whl", "requirement": "tljh-x @ file:///w.whl"}}
    (source,) = sources(context, "/gone/tljh-x", known=known)
    assert source.requirement == "tljh-x @ file:///w.whl"


def test_a_folder_that_is_imported_from_where_it_is(context: Context, tmp_path: Path) -> None:
    path = make_plugin(real(tmp_path))
    context.store.add_wishes("plugin", ["tljh-x==1.0", "tljh-y"])
    _, source = sources(context, f"-e {path}")
    assert source.requirement == f"-e file://{path}#egg=tljh-x"
    assert source.details == {"requirement": f"tljh-x @ file://{path}", "editable": source.requirement}
    lock = Lock((Requested(source.requirement, "--plugin"),), (source.requirement, "a==1"))
    assert lock.pins == {"tljh-x": f"@ file://{path}", "a": "==1"}
    assert lock.origins == {"tljh-x": "--plugin"}
    assert isinstance(context.machine, FakeMachine)
    context.machine.commands.clear()
    assert source in sources(context, f"-e {path}", known={source.spec: source.details})
    assert context.machine.commands == [], "its name is known"
    assert not (context.paths.state / "wheels").exists()


@pytest.mark.parametrize("path", [".", "/nonexistent/tljh-x"])
def test_nothing_to_be_imported_from(context: Context, path: str) -> None:
    with pytest.raises(TljhError) as caught:
        sources(context, f"-e {path}")
    assert str(caught.value) == (
        f"--plugin '-e {path}': there is no folder at this path\n  → name the folder of a project"
    )


def test_a_wheel_is_kept(context: Context, tmp_path: Path) -> None:
    wheel = real(tmp_path) / "tljh_x-2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tljh_x.py", "")
    content = wheel.read_bytes()
    (source,) = sources(context, str(wheel))
    wheel.unlink()
    assert source.requirement.startswith(f"tljh-x @ file://{context.paths.state}/wheels/")
    assert Path(source.details["wheel"]).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "what", "todo"),
    [
        ("notes.txt", "is a file that is neither a wheel nor a project's source", "name the folder of a project"),
        ("x-1.0-py3-none-any.whl", "is no wheel: it is damaged", "build it anew (uv build --wheel)"),
        ("x.whl", "is no wheel: it isn't named NAME-VERSION-py3-none-any.whl", "name the folder of the project"),
        ("x.py", "is a Python file, not a package", "or try it for one run: tljh install --import-plugin /"),
        ("", "is no Python project: it has neither pyproject.toml nor setup.py", "'tljh plugin new NAME' makes"),
    ],
)
def test_what_is_no_package(context: Context, tmp_path: Path, name: str, what: str, todo: str) -> None:
    path = real(tmp_path) / "there" / name
    (real(tmp_path) / "there").mkdir()
    if name:
        path.write_text("no package")
    for spec in (str(path), f"-e {path}") if path.is_dir() else (str(path),):
        with pytest.raises(TljhError) as caught:
            sources(context, spec)
        text = str(caught.value)
        assert text.startswith(f"--plugin {path} {what}") and "→ nothing was changed; " in text and todo in text
    assert not (context.paths.state / "wheels").exists()
    assert isinstance(context.machine, FakeMachine)
    assert context.machine.commands == []


# ---- the hub environment


class Hub:
    """A machine whose hub environment is ``envs/hub-1``, and which runs from it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.uv = FakeUv({"jupyterhub": "5.0", "tljh-x": "1.0", "extra": "3.0"})
        self.context = make_context(folder, uv=self.uv)
        self.first = self.context.paths.envs / "hub-1"
        core = tuple(Requested(line, "core") for line in (OURS, "jupyterhub"))
        self.build(Lock(core, (OURS, "jupyterhub==5.0")), self.first)
        self.context.paths.hub.symlink_to("envs/hub-1")
        self.reports: list[PluginReport] = []
        self.looked_at: list[Path] = []
        self.asked_with: dict[str, Any] = {}
        self.went_on_in: list[Path] = []
        monkeypatch.setattr(sys, "prefix", str(self.first))
        monkeypatch.setattr(plugins, "collect", self.collect)
        monkeypatch.setattr(plugins, "_go_on_in", lambda context, path: self.went_on_in.append(path))
        self.machine.commands.clear()

    @property
    def machine(self) -> FakeMachine:
        assert isinstance(self.context.machine, FakeMachine)
        return self.context.machine

    def build(self, lock: Lock, path: Path) -> None:
        self.context.builder.build(lock, path)

    def collect(self, machine: object, python: Path, **how: Any) -> list[PluginReport]:
        self.looked_at.append(python.parent.parent)
        self.asked_with = how
        return self.reports

    def look(self, *specs: str) -> None:
        self.context.options = Options(plugins=specs)
        plugins.look(self.context)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(real(tmp_path), monkeypatch)


def test_nothing_new_is_not_solved_again(hub: Hub) -> None:
    hub.look()
    assert hub.machine.commands == []
    assert hub.looked_at == [hub.first]
    assert hub.context.hub_target == hub.first
    assert hub.went_on_in == []


def test_a_new_plugin_is_looked_at_in_a_candidate(hub: Hub) -> None:
    hub.reports = [report("x")]
    hub.look("tljh-x")
    candidate = hub.context.paths.envs / "hub-2"
    assert hub.looked_at == hub.went_on_in == [candidate]
    assert hub.context.hub_target == candidate
    assert hub.context.plugin_specs == ["tljh-x"]
    assert hub.context.paths.hub.readlink() == Path("envs/hub-1"), "nothing is switched yet"
    assert hub.uv.preferred == ["jupyterhub==5.0"]
    assert hub.uv.overrides[:3] == [OURS, "jupyterhub", 'tljh ; python_version < "0"']
    record = json.loads((candidate / RECORD).read_text())
    assert record["requirements"][-1] == {"requirement": "tljh-x", "origin": "--plugin", "manager": "pip"}


def test_what_a_plugin_wants_beside_the_hub_completes_the_candidate(hub: Hub) -> None:
    hub.reports = [report("x", "extra")]
    hub.look("tljh-x")
    candidate = hub.context.paths.envs / "hub-2"
    lock = Lock.of_record(json.loads((candidate / RECORD).read_text()))
    assert lock is not None
    assert lock.requested[-1] == Requested("extra", "x")
    assert lock.pins["extra"] == "==3.0"
    assert [path.name for path in sorted(hub.context.paths.envs.iterdir())] == ["hub-1", "hub-2"]


@pytest.fixture
def migrated(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that the hub of the environment to come, ``hub-2``, can't read."""
    monkeypatch.setattr(hub_database, "revision_of", lambda path: "bb")
    known = {"hub-1": Schema("bb", frozenset({"aa", "bb"})), "hub-2": Schema("aa", frozenset({"aa"}))}
    monkeypatch.setattr(hub_database, "schema_of", lambda path: known.get(path.name))


@pytest.mark.usefixtures("migrated")
def test_a_hub_older_than_its_database_is_refused(hub: Hub) -> None:
    hub.uv.newest["jupyterhub"] = "4.1"
    hub.reports = [report("x", "jupyterhub==4.1")]
    with pytest.raises(TljhError) as caught:
        hub.look("tljh-x")
    assert str(caught.value).startswith(
        "JupyterHub 4.1 would be installed, which cannot read the database that a newer one uses "
        f"({hub.context.paths.hub_database}); --plugin asks for tljh-x; x asks for jupyterhub==4.1\n"
    )
    assert [path.name for path in hub.context.paths.envs.iterdir()] == ["hub-1"], "the candidate is gone"


def test_an_older_hub_that_reads_the_database(hub: Hub) -> None:
    hub.uv.newest["jupyterhub"] = "4.1"
    hub.reports = [report("x", "jupyterhub==4.1")]
    hub.look("tljh-x")
    assert hub.went_on_in


def test_a_plugin_that_fails_leaves_no_candidate(hub: Hub) -> None:
    hub.reports = [report("x", problems=("plugin x 1.0: its hook raises ValueError",))]
    with pytest.raises(TljhError, match=r"plugin x 1\.0: its hook raises ValueError"):
        hub.look("tljh-x")
    assert [path.name for path in hub.context.paths.envs.iterdir()] == ["hub-1"]
    assert (hub.first / RECORD).exists()


def test_a_plan_builds_in_the_scratch_folder_only(hub: Hub) -> None:
    hub.context.planning = True
    hub.reports = [report("x", "extra")]
    hub.look("tljh-x")
    assert hub.looked_at == [hub.context.scratch / "hub"]
    assert hub.went_on_in == []
    assert [path.name for path in hub.context.paths.envs.iterdir()] == ["hub-1"]
    assert hub.context.hub_target == hub.context.paths.envs / "hub-2"


def test_an_environment_without_a_record(hub: Hub) -> None:
    (hub.first / RECORD).unlink()
    with pytest.raises(TljhError) as caught:
        hub.look()
    assert str(caught.value) == (
        f"{hub.first} has no record of how it was built\n"
        "  → run the bootstrap script: it makes a hub environment that has one"
    )


def test_plugins_are_asked_while_other_things_are_read(hub: Hub) -> None:
    plugins.begin(hub.context)
    assert hub.context.asked and hub.context.asked.answer.result() == []
    hub.look()
    assert hub.looked_at == [hub.first], "asked once: it is the same question"
    hub.look()
    assert hub.looked_at == [hub.first] * 2, "an answer counts once"


def test_what_was_asked_beforehand_does_not_answer_another_question(hub: Hub) -> None:
    plugins.begin(hub.context)
    hub.context.paths.config_file.parent.mkdir(exist_ok=True)
    hub.context.paths.config_file.write_text("limits: {cpu: 2}\n")
    hub.look()
    assert len(hub.looked_at) == 2 and "cpu: 2" in hub.asked_with["text"]


def test_plugins_that_are_to_go_are_not_asked_beforehand(hub: Hub) -> None:
    hub.context.options = Options(remove_plugins=("x",))
    plugins.begin(hub.context)
    assert hub.context.asked is None and hub.looked_at == []


def test_started_again_and_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    execv: Callable[[str, list[str]], None] = lambda program, words: started.append([program, *words])  # noqa: E731
    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv(plugins.AGAIN_VARIABLE, "2")
    context.options = Options(argv=("--admin", "ana"))
    plugins._go_on_in(context, Path("/opt/tljh/envs/hub-2"))
    (words,) = started
    assert words[:2] == ["/opt/tljh/envs/hub-2/bin/python"] * 2, "by its real path"
    assert words[-3:] == ["tljh.installer", "--admin", "ana"]
    assert plugins.started_again() == 3
    with pytest.raises(TljhError, match="hub-2 does not come to rest; this is a fault of the installer"):
        plugins._go_on_in(context, Path("/opt/tljh/envs/hub-2"))


# ---- a lock


def follow(hub: Hub, *lines: str) -> None:
    """Let the machine follow a lock of the hub environment."""
    folder = hub.context.paths.state / "lock"
    folder.mkdir()
    (folder / "conda-lock.yml").write_text("not looked into")
    (folder / "requirements-hub.lock").write_text("".join(f"{line} --hash=sha256:ab\n" for line in lines))
    locking.look(hub.context)


def test_what_a_lock_has_already_is_not_solved_again(hub: Hub) -> None:
    follow(hub, "jupyterhub==5.0", "more==1")
    hub.look()
    assert hub.machine.commands == []


def test_a_lock_moves_the_hub(hub: Hub) -> None:
    follow(hub, "jupyterhub==5.1")
    hub.look()
    candidate = hub.context.paths.envs / "hub-2"
    assert hub.went_on_in == [candidate]
    assert hub.uv.preferred == ["jupyterhub==5.1"]
    assert hub.context.hub_lock is not None
    assert "jupyterhub==5.1 --hash=sha256:ab" in hub.context.hub_lock.lines


def test_a_plugin_that_is_not_in_the_lock(hub: Hub) -> None:
    follow(hub, "jupyterhub==5.0")
    with pytest.raises(TljhError) as caught:
        hub.look("tljh-x")
    assert "tljh-x 1.0, which is not in it (--plugin asks for tljh-x)" in str(caught.value)
    assert [path.name for path in hub.context.paths.envs.iterdir()] == ["hub-1"]


def test_a_renewal_prefers_what_does_not_move(hub: Hub) -> None:
    follow(hub, "jupyterhub==5.0")
    hub.context.planning = True
    hub.context.options = Options(upgrade=("other",))
    hub.uv.newest["jupyterhub"] = "9.0"
    plugins.look(hub.context)
    assert hub.context.hub_lock is not None and hub.context.hub_lock.pins["jupyterhub"] == "==5.0"
    hub.context.options = Options(upgrade=())
    plugins.look(hub.context)
    assert hub.context.hub_lock.pins["jupyterhub"] == "==9.0"
    assert hub.went_on_in == []


def test_an_upgrade_builds_once(hub: Hub) -> None:
    hub.uv.newest["jupyterhub"] = "5.3"
    hub.context.options = Options(upgrade=("hub",))
    plugins.look(hub.context)
    candidate = hub.context.paths.envs / "hub-2"
    assert hub.went_on_in == [candidate]
    assert hub.uv.preferred == []
    assert hub.context.hub_lock is not None and hub.context.hub_lock.pins["jupyterhub"] == "==5.3"


@pytest.mark.parametrize("named", [(), ("hub",), ("user",), ("jupyterhub",)])
def test_an_upgrade_to_what_is_there_builds_nothing(hub: Hub, named: tuple[str, ...]) -> None:
    hub.uv.newest["jupyterhub"] = "5.0" if named != ("user",) else "5.3"
    hub.context.options = Options(upgrade=named)
    plugins.look(hub.context)
    assert hub.went_on_in == []
    assert [path.name for path in hub.context.paths.envs.iterdir()] == ["hub-1"]


# ---- which plugins are loaded


class Remembering:
    """A store that knows one generation and some wishes."""

    def __init__(self, *reports: PluginReport, **wishes: list[str]) -> None:
        self.record = {
            "plugins": {report.name: report.version for report in reports},
            "reports": {report.name: as_record(report) for report in reports},
        }
        self.kinds = wishes

    def newest(self) -> dict[str, Any]:
        return self.record

    def wishes(self, kind: str) -> list[str]:
        return self.kinds.get(kind, [])


def off(name: str) -> PluginReport:
    return PluginReport(name, f"tljh-{name}", "2.0", state="disabled")


def looked(hub: Hub, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    """What an admin is warned of."""
    warned: list[str] = []
    monkeypatch.setattr(hub.context.reporter, "warn", warned.append)
    hub.context.options = Options(**options)
    plugins.look(hub.context)
    return warned


def test_the_process_is_told_what_to_load_and_gets_config_yaml(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.context.paths.config_file.write_text("plugins:\n  x: {a: 1}\n")
    store: Any = Remembering(disabled=["b", "c"])
    hub.context.store = store
    hub.reports = [report("x"), off("a"), off("b")]
    looked(
        hub, monkeypatch, disable_plugins=("a",), enable_plugins=("c",), without=("x",), import_plugins=("/i.py",)
    )
    assert hub.context.disabled == ["b", "a"]
    assert hub.asked_with["variables"] == {"TLJH_PLUGINS_OFF": "b:a:x", "TLJH_IMPORT_PLUGINS": "/i.py"}
    assert hub.asked_with["text"] == "plugins:\n  x: {a: 1}\n"


def test_what_a_plugin_brought_stays_while_a_run_does_without_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PluginReport(
        "x", "tljh-x", "1.0", contributions={"tljh_extra_apt_packages": ("graphviz",)}, problems=("x: it failed",)
    )
    store: Any = Remembering(before)
    hub.context.store = store
    hub.reports = [off("x"), report("y")]
    looked(hub, monkeypatch, without=("tljh_x",))
    assert list(hub.context.left_out) == ["x"]
    x, y = hub.context.reports
    assert (x.version, x.contributions, x.problems) == ("1.0", before.contributions, ())
    assert plugins.to_record(hub.context) == [before, y], "the record stays as it was"


def test_a_plugin_that_a_run_does_without_and_that_was_never_there_is_not_recorded(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.reports = [off("x"), report("y"), PluginReport("i", "", "", source="import", origin_path="/i.py")]
    looked(hub, monkeypatch, without=("x",))
    assert hub.context.left_out == {}
    assert [report.name for report in hub.context.reports] == ["x", "y", "i"]
    assert [report.name for report in plugins.to_record(hub.context)] == ["y"]


def test_a_plugin_to_do_without_that_there_is_not(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.reports = [report("gallery"), report("y")]
    with pytest.raises(TljhError) as caught:
        looked(hub, monkeypatch, without=("galery",))
    assert str(caught.value) == (
        "--without galery: there is no plugin of this name (did you mean gallery?)\n  → name one of gallery, y"
    )


def test_settings_of_plugins_that_are_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hub.context.paths.config_file
    text = "plugins:\n  gallery: {a: 1}\n  galery: {a: 1}\n  gone: {}\n  b: {}\n"
    path.write_text(text)
    store: Any = Remembering(report("gone"))
    hub.context.store = store
    hub.reports = [report("gallery"), off("b")]
    assert looked(hub, monkeypatch) == [
        f"{path} line 3: the plugin galery is not installed (did you mean gallery?); "
        "its settings are kept and have no effect",
        f"{path} line 4: the plugin gone is not installed any more; its settings are kept and have no effect",
    ]
    assert path.read_text() == text


def test_what_a_plugin_said_before_it_was_switched_off_is_kept(context: Context) -> None:
    from tljh.plugins.recorded import as_record

    full = PluginReport("x", "tljh-x", "1.0", hooks=("tljh_post_install",), label="plugin x (1.0)")
    context.store.add_generation(1, "x", {"reports": {"x": as_record(full)}})
    off = PluginReport("x", "tljh-x", "1.0", state="disabled")
    context.reports = [off]
    (kept,) = plugins.to_record(context)
    assert (kept.hooks, kept.state) == (("tljh_post_install",), "disabled")
    context.reports = [PluginReport("x", "tljh-x", "2.0", state="disabled")]
    assert plugins.to_record(context) == context.reports, "of another version nobody knows"


# ---- asked again


def test_plugins_are_asked_again_where_config_changes_and_what_they_want_depends_on_it(hub: Hub) -> None:
    hub.reports = [replace(report("x"), hooks=("tljh_stages",))]
    hub.look()
    hub.context.config_text = ""
    assert not plugins.look_again(hub.context), "config.yaml stays as it is"
    hub.context.config_text = "limits:\n  memory: 1G\n"
    hub.reports = [replace(report("x"), hooks=("tljh_stages",), warnings=("again",))]
    assert plugins.look_again(hub.context)
    assert hub.looked_at == [hub.first, hub.first]
    assert hub.asked_with["text"] == "limits:\n  memory: 1G\n"
    assert hub.context.reports == hub.reports


@pytest.mark.parametrize(
    ("more", "asked"),
    [({}, False), ({"hooks": ("tljh_resources",)}, True), ({"settings": {"type": "object"}}, True)],
)
def test_whose_wishes_depend_on_config(hub: Hub, more: dict[str, Any], asked: bool) -> None:
    hub.reports = [replace(report("x"), **more)]
    hub.look()
    hub.context.config_text = "base_url: /x\n"
    assert plugins.look_again(hub.context) is asked
