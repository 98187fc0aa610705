"""What is written and what is hidden; that programs really run is tested on real machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import FakeMachine
from hypothesis import given
from hypothesis import strategies as st
from tljh.engine.machine import FileStatus, Machine, redact


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pip install git+https://me:s3cr3t@host/x", "pip install git+https://me:***@host/x"),
        ("http://me:s3cr3t@proxy:3128/", "http://me:***@proxy:3128/"),
        ("https://host/x?token=abc", "https://host/x?token=***"),
        ("--admin-password=hunter2 -v", "--admin-password=*** -v"),
        ('{"password": "hunter2", "user": "x"}', '{"password": "***", "user": "x"}'),
        ("client_secret: abc", "client_secret: ***"),
        ("API_KEY=abc api-key=abc apikey: abc", "API_KEY=*** api-key=*** apikey: ***"),
        ("PASSWD='abc'", "PASSWD='***'"),
        ("nothing to hide: https://host/x?a=b", "nothing to hide: https://host/x?a=b"),
        ("apt-get install passwd", "apt-get install passwd"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_token_in_place_of_a_user_is_hidden() -> None:
    # how forges hand out read access to a private repository
    assert "ghp_abc" not in redact("git+https://ghp_abc@host/me/tljh-x")


@given(st.text("abcXYZ019!$%&*+-_.~", min_size=6))
def test_no_password_in_a_url_is_shown(password: str) -> None:
    password = f"pw{password}"
    assert password not in redact(f"uv: Failed to fetch: `https://me:{password}@host/simple/`")


# ---- writing


def test_write_a_file(machine: FakeMachine, tmp_path: Path) -> None:
    machine.write_file(Path("/x"), b"one", mode=0o640, owner="root:adm")
    assert machine.read(Path("/x")) == b"one"
    assert machine.status(Path("/x")) == FileStatus("file", "0640", "root:adm")
    machine.write_file(Path("/x"), b"two")
    assert machine.read(Path("/x")) == b"two"
    assert machine.status(Path("/x")) == FileStatus("file", "0644", "root:root")
    assert names(tmp_path) == ["x"]


def test_a_reader_sees_the_old_content_or_the_new(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put("/x", "old")
    seen: list[tuple[bytes | None, bytes | None]] = []
    replace = os.replace

    def watched(source: str, target: Path) -> None:
        seen.append((machine.read(Path("/x")), Path(source).read_bytes()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    machine.write_file(Path("/x"), b"new")
    assert seen == [(b"old", b"new")]
    assert machine.read(Path("/x")) == b"new"


def test_it_is_on_the_disk_before_it_is_in_its_place(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    machine.write_file(Path("/x"), b"new")
    assert order == ["fsync", "replace", "fsync"], "the folder is written out as well"


@pytest.mark.parametrize("step", ["fsync", "fchmod", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    machine: FakeMachine, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put("/x", "old")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        machine.write_file(Path("/x"), b"new")
    monkeypatch.undo()
    assert machine.read(Path("/x")) == b"old"
    assert names(tmp_path) == ["x"]


def test_a_file_is_nobody_elses_before_it_is_complete(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    fchmod = os.fchmod

    def watched(handle: int, mode: int) -> None:
        modes.append(os.fstat(handle).st_mode & 0o777)
        fchmod(handle, mode)

    monkeypatch.setattr(os, "fchmod", watched)
    machine.write_file(Path("/secret"), b"x", mode=0o644)
    assert modes == [0o600]


def test_a_link_is_replaced_not_followed(machine: FakeMachine) -> None:
    machine.put("/elsewhere", "old")
    machine.at(Path("/x")).symlink_to("elsewhere")
    machine.write_file(Path("/x"), b"new")
    assert machine.read(Path("/elsewhere")) == b"old"
    assert machine.status(Path("/x")) == FileStatus("file", "0644", "root:root")


def test_folders(machine: FakeMachine) -> None:
    machine.make_directory(Path("/a/b"), mode=0o700, owner="root:adm")
    assert machine.status(Path("/a/b")) == FileStatus("directory", "0700", "root:adm")
    machine.put("/a/b/kept", "x")
    machine.make_directory(Path("/a/b"), mode=0o755)
    assert machine.status(Path("/a/b")) == FileStatus("directory", "0755", "root:root")
    assert machine.read(Path("/a/b/kept")) == b"x"


def test_links(machine: FakeMachine, tmp_path: Path) -> None:
    machine.make_link(Path("/hub"), "envs/hub-1")
    machine.make_link(Path("/hub"), "envs/hub-2")
    found = machine.status(Path("/hub"))
    assert found is not None
    assert (found.kind, found.target) == ("link", "envs/hub-2")
    assert names(tmp_path) == ["hub"]


def test_a_link_that_can_not_be_made_leaves_nothing(machine: FakeMachine, tmp_path: Path) -> None:
    machine.make_directory(Path("/hub"))
    with pytest.raises(OSError, match="Is a directory"):
        machine.make_link(Path("/hub"), "envs/hub-1")
    assert names(tmp_path) == ["hub"]


def test_remove(machine: FakeMachine, tmp_path: Path) -> None:
    machine.put("/folder/sub/x", "x")
    machine.put("/file", "x")
    machine.at(Path("/link")).symlink_to("folder")
    for name in ("/link", "/file", "/nothing"):
        machine.remove(Path(name))
    assert machine.read(Path("/folder/sub/x")) == b"x", "what a link points to stays"
    machine.remove(Path("/folder"))
    assert names(tmp_path) == []


def test_move(machine: FakeMachine) -> None:
    machine.put("/a/x", "x")
    machine.move(Path("/a"), Path("/b"))
    assert machine.read(Path("/b/x")) == b"x"
    assert machine.status(Path("/a")) is None


# ---- looking


def test_nothing_is_there(machine: FakeMachine) -> None:
    machine.put("/file", "x")
    for name in ("/nothing", "/nothing/below", "/file/below"):
        assert machine.status(Path(name)) is None
        assert machine.read(Path(name)) is None
    machine.make_directory(Path("/folder"))
    assert machine.read(Path("/folder")) is None


def test_other_kinds(machine: FakeMachine) -> None:
    os.mkfifo(machine.at(Path("/pipe")))
    found = machine.status(Path("/pipe"))
    assert found is not None
    assert found.kind == "other"


def test_where_things_are(tmp_path: Path) -> None:
    assert Machine().at(Path("/etc/motd")) == Path("/etc/motd")
    assert Machine(tmp_path).at(Path("/etc/motd")) == tmp_path / "etc/motd"


def test_owners_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("grp.getgrgid", unknown)
    found = Machine(tmp_path).status(Path("/"))
    assert found is not None
    assert found.owner == f"{tmp_path.stat().st_uid}:{tmp_path.stat().st_gid}"
