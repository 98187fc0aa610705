"""``tljh env``: what is printed, the exit status, and what is said to a wrong question."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import FakeMachine, make_context, real
from installed_fakes import SITE, add_conda_package, add_distribution, add_record, make_virtual, put
from tljh.cli import env
from tljh.engine.store import Store
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.resources.environments import inventory
from tljh.resources.locks.lock import RECORD, Requested
from tljh.stages import run as stages_run
from tljh.stages.health import mending

FILES = {f"{SITE}/a/__init__.py": "1", f"{SITE}/a/b.py": "2"}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A user environment of PyPI's packages and a hub's."""
    found = Paths(real(tmp_path) / "tljh")
    for name in ("user-1", "hub-1"):
        root = make_virtual(found.envs / name)
        add_distribution(root, "a", files=FILES, requires=["b"])
        add_distribution(root, "b")
        add_record(root, Requested("a", "core"), pip={"a": "1.0", "b": "1.0"})
    found.user.symlink_to("envs/user-1")
    found.hub.symlink_to("envs/hub-1")
    found.state.mkdir()
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(found.prefix))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(env, "Machine", FakeMachine)
    monkeypatch.setattr(inventory, "_processes", lambda: [])
    return found


def tljh(*words: str, input: str | None = None) -> Result:
    return CliRunner().invoke(env.group, list(words), input=input)


def said(result: Result) -> str:
    assert isinstance(result.exception, TljhError), result.output
    return str(result.exception)


# ---- list


def test_list(paths: Paths) -> None:
    make_virtual(paths.envs / "user-0")
    add_distribution(paths.envs / "user-2", "a")
    result = tljh("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "hub"
    assert lines[1].startswith(f"  {paths.hub} → {paths.envs}/hub-1  PyPI, Python 3.11.2, 2 packages, 0 MB")
    assert lines[2:4] == ["user", lines[3]]
    assert lines[4] == f"  earlier: {paths.envs}/user-2  not complete, 1 package, 0 MB"


def test_list_says_who_uses_one(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    command = os.fsencode(f"{paths.envs}/user-1/bin/python\0")
    monkeypatch.setattr(inventory, "_processes", lambda: [("jupyter-ada", command), ("jupyter-bob", command)])
    assert "0 MB, 2 processes of jupyter-ada, jupyter-bob use it\n" in tljh("list").output


def test_list_for_programs(paths: Paths) -> None:
    paths.hub.unlink()
    paths.hub.symlink_to("envs/hub-7")
    hub, user = json.loads(tljh("list", "--json").output)["environments"]
    assert (hub["name"], hub["current"], hub["older"][0]["path"]) == ("hub", None, f"{paths.envs}/hub-1")
    assert (user["link"], user["older"]) == (str(paths.user), [])
    assert {**user["current"], "size": 0} == {
        "path": f"{paths.envs}/user-1",
        "complete": True,
        "provider": "pypi",
        "python": "3.11.2",
        "packages": 2,
        "size": 0,
        "processes": 0,
        "users": [],
    }
    assert "→ nothing: tljh install mends it" in tljh("list").output


# ---- packages


def test_packages(paths: Paths) -> None:
    add_distribution(paths.user, "mine", installer="pip")
    result = tljh("packages")
    assert result.output.splitlines() == [
        "PACKAGE  VERSION  BY   FROM           WHY",
        "a        1.0      pip  package index  core",
        "b        1.0      pip  package index  needed by a",
        "mine     1.0      pip  package index  by hand",
    ]


def test_packages_of_conda(paths: Paths) -> None:
    root = paths.envs / "sci-1"
    zlib = add_conda_package(root, "zlib", "1.3=h0")
    users = [add_conda_package(root, f"u{number}", depends=["zlib >1"]) for number in range(5)]
    add_record(root, Requested("u1", "a", "conda"), conda=[zlib, *users])
    (paths.envs / "sci").symlink_to("sci-1")
    lines = tljh("packages", "sci").output.splitlines()
    assert lines[1].split() == ["u0", "1.0=h0", "conda", "science", "dependency"]
    assert lines[2].endswith("  plugin a"), "a is a distribution of the hub's environment"
    assert lines[6].endswith("  needed by u0, u1, u2 and 2 more")


def test_packages_for_programs(paths: Paths) -> None:
    found = json.loads(tljh("packages", "hub", "--json").output)
    assert (found["name"], found["path"]) == ("hub", f"{paths.envs}/hub-1")
    assert found["packages"][1] == {
        "name": "b",
        "version": "1.0",
        "build": "",
        "manager": "pip",
        "source": "package index",
        "origins": [],
        "required_by": ["a"],
        "replaced": False,
    }


# ---- verify


def test_all_is_well(paths: Paths) -> None:
    result = tljh("verify")
    assert result.exit_code == 0
    hub, user = result.output.splitlines()
    assert "✓ verify hub" in hub
    assert user.endswith("9 files of 2 packages, as they were installed")


def test_faults(paths: Paths) -> None:
    put(paths.user, f"{SITE}/a/b.py", "damaged")
    (paths.user / SITE / "b.py").unlink()
    put(paths.user, RECORD, "")
    put(paths.user, "mine.txt", "x")
    result = tljh("verify", "user")
    assert result.exit_code == 2
    assert result.output.splitlines()[1:] == [
        "  a",
        f"    changed  {SITE}/a/b.py",
        "  b",
        f"    missing  {SITE}/b.py",
        "  (environment)",
        f"    unreadable record  {RECORD}  (tljh install builds it anew)",
        "  1 file no package brought (-v lists them)",
        "'tljh env verify user --repair' mends what can be mended.",
    ]


def test_many_faults_are_cut(paths: Paths) -> None:
    add_distribution(paths.user, "many", files={f"{SITE}/m{number}.py": "x" for number in range(20)})
    for number in range(20):
        (paths.user / SITE / f"m{number}.py").unlink()
    assert "    … and 12 more (-v shows them)\n" in tljh("verify", "user").output
    put(paths.user, "mine.txt", "x")
    lines = tljh("verify", "user", "-v").output.splitlines()
    assert sum("missing" in line for line in lines) == 20
    assert lines[-3:-1] == ["  1 file no package brought:", "    mine.txt"]


def test_verify_for_programs(paths: Paths) -> None:
    assert tljh("verify", "hub", "--json").exit_code == 0
    put(paths.user, f"{SITE}/a/b.py", "damaged")
    result = tljh("verify", "user", "--json")
    assert result.exit_code == 2
    assert json.loads(result.output)["environments"] == [
        {
            "name": "user",
            "path": f"{paths.envs}/user-1",
            "files": 9,
            "packages": 2,
            "faults": [{"path": f"{SITE}/a/b.py", "package": "a", "manager": "pip", "what": "changed"}],
            "replaced": [],
            "unknown": [],
        }
    ]


def test_what_pip_replaced_is_said(paths: Paths) -> None:
    add_conda_package(paths.user, "b", files={f"{SITE}/b-0.9.dist-info/METADATA": "Name: b\n"})
    result = tljh("verify", "user")
    assert "  conda:b: pip has put another one in its place; that one was looked at\n" in result.output


# ---- repair


class Mending:
    """What a repair does, without uv; and the store that it is journaled in."""

    def __init__(self, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = paths
        self.packages: list[str] = []
        self.error: BaseException | None = None
        self.mends = True
        self.store = Store(paths.store)
        monkeypatch.setattr(stages_run, "opened", self.opened)
        monkeypatch.setattr(mending, "reinstall", self.reinstall)
        monkeypatch.setattr(env, "log_to", lambda path: None)
        monkeypatch.setattr(env.signal, "signal", lambda *words: None)

    @contextlib.contextmanager
    def opened(self, options: object, paths: Paths, reporter: Reporter, *, planning: bool) -> Iterator[Any]:
        assert not planning, "the install lock is held"
        yield make_context(paths.prefix.parent, store=self.store, reporter=reporter)

    def reinstall(self, context: object, root: Path, packages: Sequence[str]) -> None:
        self.packages += packages
        if self.error:
            raise self.error
        if self.mends:
            for path, content in FILES.items():
                put(root, path, content)

    @property
    def outcomes(self) -> list[tuple[str, str | None]]:
        return list(self.store._db.execute("select command, outcome from runs"))


@pytest.fixture
def mends(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Mending:
    put(paths.user, f"{SITE}/a/b.py", "damaged")
    return Mending(paths, monkeypatch)


def test_repair(mends: Mending) -> None:
    result = tljh("verify", "--repair", "--yes")
    assert result.exit_code == 0, result.output
    assert mends.packages == ["a"]
    assert "✓ repair user" in result.output
    assert result.output.rstrip().endswith("1 mended")
    assert mends.outcomes == [("tljh env verify user --repair", "done")]
    assert [(line["resource"], line["key"], line["result"]) for line in mends.store.journal()] == [
        ("files:user", "a", "done")
    ]


def test_a_repair_that_was_killed_goes_on(mends: Mending) -> None:
    for command in ("tljh env verify user --repair", "tljh install"):
        mends.store.begin_run(command)
    assert tljh("verify", "--repair", "--yes").exit_code == 0
    assert mends.outcomes == [
        ("tljh env verify user --repair", "killed"),
        ("tljh install", None),
        ("tljh env verify user --repair", "done"),
    ]


def test_repair_asks(mends: Mending, monkeypatch: pytest.MonkeyPatch) -> None:
    result = tljh("verify", "--repair")
    assert isinstance(result.exception, UsageError)
    assert said(result) == "--repair asks first, and there is nobody to ask\n  → add --yes"
    assert said(tljh("verify", "--repair", "--json")).startswith("--repair asks first")
    monkeypatch.setattr(env, "is_terminal", lambda: True)
    result = tljh("verify", "--repair", input="n\n")
    assert "Mend a of user? [y/N]: n\n" in result.output
    assert (result.exit_code, mends.packages) == (2, [])
    assert tljh("verify", "--repair", input="y\n").exit_code == 0
    assert mends.packages == ["a"]


def test_nothing_to_repair(mends: Mending) -> None:
    assert tljh("verify", "hub", "--repair").exit_code == 0
    assert mends.outcomes == []


def test_repair_of_what_cannot_be_mended(mends: Mending) -> None:
    put(mends.paths.hub, RECORD, "")
    result = tljh("verify", "hub", "--repair")
    assert (result.exit_code, mends.outcomes) == (2, [])
    result = tljh("verify", "--repair", "--yes", "--json")
    hub, user = json.loads(result.output)["environments"]
    assert result.exit_code == 2
    assert hub["left"] == [{"path": RECORD, "package": "", "manager": "", "what": "record"}]
    assert (user["faults"][0]["package"], user["left"]) == ("a", [])


def test_what_is_still_wrong_is_named(mends: Mending) -> None:
    mends.mends = False
    result = tljh("verify", "--repair", "--yes")
    assert said(result).startswith("files:user is not as wanted after the change: a is 1 changed")
    assert str(mends.outcomes[0][1]).startswith("failed: files:user is not as wanted")
    assert "still wrong" not in result.output, "it was told a moment ago"


def test_what_has_become_wrong_meanwhile_is_named(mends: Mending, monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(context: object, root: Path, packages: Sequence[str]) -> None:
        put(root, f"{SITE}/a/b.py", "2")
        (root / SITE / "b.py").unlink()

    monkeypatch.setattr(mending, "reinstall", worse)
    result = tljh("verify", "--repair", "--yes")
    assert result.exit_code == 2
    assert result.output.endswith(f"still wrong in user:\n  b\n    missing  {SITE}/b.py\n")


def test_a_failed_download(mends: Mending) -> None:
    mends.error = TljhError("the package index cannot be reached", todo="check the network")
    result = tljh("verify", "--repair", "--yes")
    assert said(result) == "the package index cannot be reached\n  → check the network"
    assert mends.store.journal()[0]["result"].startswith("failed: the package index")


def test_a_full_disk(mends: Mending) -> None:
    mends.error = OSError(28, "No space left on device", "/opt/x")
    assert said(tljh("verify", "--repair", "--yes")) == (
        "/opt/x cannot be written: No space left on device\n"
        "  → make room, or make it writable, then run the same command again"
    )


def test_an_interrupt(mends: Mending) -> None:
    mends.error = KeyboardInterrupt(143)
    result = tljh("verify", "--repair", "--yes")
    assert result.exit_code == 143
    assert "interrupted; what is mended stays mended" in result.stderr
    assert mends.outcomes == [("tljh env verify user --repair", "interrupted")]


# ---- wrong questions


def test_a_name_that_is_misspelt(paths: Paths) -> None:
    text = "there is no environment 'usr'; did you mean 'user'?\n  → choose one of: hub, user"
    assert said(tljh("verify", "usr")) == text
    assert said(tljh("packages", "usr")) == text
    assert said(tljh("packages", "xyz")) == "there is no environment 'xyz'\n  → choose one of: hub, user"


def test_nothing_is_installed(tmp_path: Path, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "nowhere"))
    for words in (["list"], ["packages"], ["verify"]):
        assert said(tljh(*words)) == (
            f"no environment is installed below {tmp_path}/nowhere\n"
            "  → run the bootstrap script, which installs them"
        )


def test_an_environment_that_is_gone(paths: Paths) -> None:
    paths.user.unlink()
    paths.user.symlink_to("envs/user-5")
    text = f"environment user: {paths.envs}/user-5 is gone\n  → 'tljh install' builds it again"
    assert said(tljh("verify", "user")) == text
    assert said(tljh("packages")) == text


def test_verify_needs_root(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert said(tljh("verify")) == "this needs root\n  → run it as root, or with sudo where there is one"
    assert tljh("packages").exit_code == 0, "everybody may see what there is"


def test_what_only_root_can_read(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise PermissionError(13, "Permission denied", "/opt/x")

    monkeypatch.setattr(inventory, "packages", refuse)
    assert said(tljh("packages")) == (
        "/opt/x can't be read: this needs root\n  → run it as root, or with sudo where there is one"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert said(tljh("list")).startswith(f"{paths.prefix} can't be read: this needs root")
