"""Files, secrets, folders and links: brought to what is wanted, mended, and taken away again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine, real, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.machine import FileStatus
from tljh.engine.plan import make_plan
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.resources.file import Directory, File, Link, Secret


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def store() -> Store:
    return store_in_memory()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return real(tmp_path)


def converge(machine: FakeMachine, store: Store, resource: Resource) -> list[tuple[str, str]]:
    """What was done; a second look must find nothing to do."""
    facts = Facts(machine)
    plan = make_plan([resource], facts, store.owned())
    carry_out = Applier(machine, facts, store, store.begin_run("test"))
    lines = [line for step in (*plan.puts, *plan.drops) for line in carry_out.apply(step)]
    assert not make_plan([resource], Facts(machine), store.owned())
    return [(line.action, line.key) for line in lines]


def shown(machine: FakeMachine, path: Path) -> tuple[str | None, FileStatus | None]:
    content = machine.read(path)
    return None if content is None else content.decode(), machine.status(path)


# ---- files


def test_a_file_comes_and_goes(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "x.conf"
    wanted = File.at(path, "a = 1\n", mode="0440", origin="tljh-x")
    assert converge(machine, store, wanted) == [("create", "content"), ("create", "mode"), ("create", "owner")]
    assert shown(machine, path) == ("a = 1\n", FileStatus("file", "0440", "root:root"))
    assert set(store.owned()[f"file:{path}"].values()) == {"tljh-x"}
    assert {action for action, _ in converge(machine, store, File(f"file:{path}"))} == {"remove"}
    assert not path.exists()
    assert store.owned() == {}


def test_what_differs_is_mended(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "x.conf"
    wanted = File.at(path, "a = 1\n", mode="0440")
    converge(machine, store, wanted)
    path.chmod(0o666)
    assert converge(machine, store, wanted) == [("change", "mode")]
    path.chmod(0o640)
    path.write_text("edited")
    assert converge(machine, store, wanted) == [("change", "content"), ("change", "mode")]
    machine._chown(path, "alice:users")
    assert converge(machine, store, wanted) == [("change", "owner")]
    path.unlink()
    assert [key for _, key in converge(machine, store, wanted)] == ["content", "mode", "owner"]
    assert shown(machine, path) == ("a = 1\n", FileStatus("file", "0440", "root:root"))


def test_a_file_that_was_there_is_never_removed(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = machine.put(str(folder / "x.conf"), "the admin's")
    assert converge(machine, store, File.at(path, b"ours")) == [("change", "content")]
    assert store.owned() == {}
    assert converge(machine, store, File(f"file:{path}")) == []
    assert path.read_text() == "ours"
    (row,) = store.journal()
    saved = store._db.execute("select content from blobs where digest = ?", (row["saved"],)).fetchone()
    assert saved == (b"the admin's",), "it can be restored"


def test_a_link_where_a_file_should_be(machine: FakeMachine, store: Store, folder: Path) -> None:
    target = machine.put(str(folder / "target"), "ours")
    (folder / "x").symlink_to(target)
    converge(machine, store, File.at(folder / "x", "ours"))
    assert shown(machine, folder / "x") == ("ours", FileStatus("file", "0644", "root:root"))
    assert target.read_text() == "ours"


# ---- secrets


def test_a_secret_is_made_once(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "api.secret"
    converge(machine, store, Secret(f"file:{path}", content=b"first", mode="0600"))
    assert converge(machine, store, Secret(f"file:{path}", content=b"second", mode="0600")) == []
    assert shown(machine, path) == ("first", FileStatus("file", "0600", "root:root"))


def test_a_secret_that_others_could_read(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = machine.put(str(folder / "api.secret"), "kept")
    assert converge(machine, store, Secret(f"file:{path}", content=b"new", mode="0600")) == [("change", "mode")]
    assert shown(machine, path) == ("kept", FileStatus("file", "0600", "root:root"))


def test_an_empty_secret_is_none(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = machine.put(str(folder / "api.secret"), "\n")
    assert ("change", "content") in converge(machine, store, Secret(f"file:{path}", content=b"new", mode="0600"))
    assert path.read_text() == "new"


def test_no_secret_is_in_the_store(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "api.secret"
    secret = Secret(f"file:{path}", content=b"s3cr3t", mode="0600")
    converge(machine, store, secret)
    path.chmod(0o644)
    converge(machine, store, secret)
    assert "s3cr3t" not in "\n".join(store._db.iterdump())


# ---- folders


def test_a_folder_comes_and_goes(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "a" / "b"
    assert converge(machine, store, Directory.at(path, mode="0700")) == [("create", "mode"), ("create", "owner")]
    path.chmod(0o755)
    assert converge(machine, store, Directory.at(path, mode="0700")) == [("change", "mode")]
    converge(machine, store, Directory(f"directory:{path}", wanted=False))
    assert not path.exists()


def test_a_folder_on_another_disk(machine: FakeMachine, store: Store, folder: Path) -> None:
    (folder / "disk").mkdir(mode=0o755)
    (folder / "envs").symlink_to("disk")
    assert converge(machine, store, Directory.at(folder / "envs")) == []
    (folder / "disk").chmod(0o777)
    assert converge(machine, store, Directory.at(folder / "envs")) == [("change", "mode")]
    assert (folder / "envs").is_symlink()


def test_a_folder_that_somebody_uses_stays(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "a"
    converge(machine, store, Directory.at(path))
    (path / "the admin's").touch()
    converge(machine, store, Directory(f"directory:{path}", wanted=False))  # and that is no failure
    assert (path / "the admin's").exists()


# ---- links


def test_a_link_comes_and_goes(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = folder / "tljh"
    assert converge(machine, store, Link.at(path, "/opt/x")) == [("create", "target")]
    assert converge(machine, store, Link.at(path, "/opt/y")) == [("change", "target")]
    assert path.readlink() == Path("/opt/y")
    converge(machine, store, Link(f"link:{path}"))
    assert not path.is_symlink()


def test_a_file_where_a_link_should_be(machine: FakeMachine, store: Store, folder: Path) -> None:
    path = machine.put(str(folder / "tljh"), "a script")
    assert Link.at(path, "x").observe(Facts(machine)) == {"target": "a file"}
    converge(machine, store, Link.at(path, "/opt/x"))
    assert path.readlink() == Path("/opt/x")
    assert converge(machine, store, Link(f"link:{path}")) == [], "it was there before"
