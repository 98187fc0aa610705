"""Folders in and out of archives, and archives that mean harm."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tljh.resources.archives.tree_archive import DEPTH, Hostile, Packer, Unpacker, checked, size_of


def same(uid: int, gid: int) -> tuple[int, int]:
    return uid, gid


def packed(folder: Path, **options: Any) -> tuple[bytes, Packer]:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        packer = Packer(archive)
        packer.folder("top", folder, **options)
    return target.getvalue(), packer


def unpack(data: bytes, folder: Path, owner: Callable[[int, int], tuple[int, int]] = same) -> None:
    folder.mkdir(exist_ok=True)
    with (
        tarfile.open(fileobj=io.BytesIO(data), mode="r|", encoding="utf-8") as archive,
        Unpacker(folder, owner) as unpacker,
    ):
        for member in archive:
            path = checked(member)
            if member.islnk():
                unpacker.link(path, PurePosixPath(member.linkname), member)
            else:
                unpacker.put(path, member, archive.extractfile(member) if member.isreg() else None)
        unpacker.finish()


def of_members(*members: tarfile.TarInfo) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, link, 0o755
    for key, value in more.items():
        setattr(found, key, value)
    return found


# ---- there and back


def test_there_and_back(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "sub" / "empty").mkdir(parents=True)
    (one / "sub" / "notes ü").write_text("hello")
    os.link(one / "sub" / "notes ü", one / "again")
    (one / "link").symlink_to("/etc/shadow")
    (one / "private").write_bytes(b"\0" * 3_000_000 + b"end")
    (one / "private").chmod(0o600)
    (one / "program").write_text("#!/bin/sh\n")
    (one / "program").chmod(0o4755)
    Path(os.fsdecode(bytes(one) + b"/b\xffd")).write_text("odd")
    os.utime(one / "sub", (1e9, 1e9))
    unpack(packed(one)[0], two)
    found = two / "top"
    assert sorted(path.name for path in found.iterdir()) == sorted(path.name for path in one.iterdir())
    assert (found / "sub" / "notes ü").read_text() == "hello"
    assert (found / "again").stat().st_ino == (found / "sub" / "notes ü").stat().st_ino
    assert os.readlink(found / "link") == "/etc/shadow"
    assert (found / "private").read_bytes() == (one / "private").read_bytes()
    assert stat.S_IMODE((found / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((found / "program").stat().st_mode) == 0o755, "nobody gets a program that is root's"
    assert (found / "sub").stat().st_mtime == 1e9


def test_extended_attributes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    path = tmp_path / "one" / "x"
    path.write_text("x")
    try:
        os.setxattr(path, "user.note", b"a\0\xff=\n")
    except OSError:
        pytest.skip("this file system has none")
    unpack(packed(tmp_path / "one")[0], tmp_path / "two")
    assert os.getxattr(tmp_path / "two" / "top" / "x", "user.note") == b"a\0\xff=\n"


def test_what_can_not_be_in_an_archive_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept").write_text("x")
    data, packer = packed(tmp_path)
    assert packer.left_out == ["top/pipe: neither a file nor a folder nor a link"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["top", "top/kept"]


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An overlay, where files have their layers' numbers, and in it a folder that is mounted there."""
    (tmp_path / "mounted").mkdir()
    (tmp_path / "sub").mkdir()
    for path in (tmp_path / "note", tmp_path / "sub" / "note", tmp_path / "mounted" / "note"):
        path.write_text("x" * 5000)
    real = os.stat, os.fstat
    mounted = (tmp_path / "mounted").stat().st_ino

    def layered(found: os.stat_result) -> os.stat_result:
        disk = 78 if not stat.S_ISDIR(found.st_mode) else 79 if found.st_ino == mounted else 77
        named = {"st_blocks": found.st_blocks, "st_mtime": found.st_mtime}
        return os.stat_result((*found[:2], disk, *found[3:]), named)

    monkeypatch.setattr(os, "stat", lambda *words, **more: layered(real[0](*words, **more)))
    monkeypatch.setattr(os, "fstat", lambda handle: layered(real[1](handle)))
    return tmp_path


def test_on_an_overlay_files_are_no_other_file_system(overlay: Path) -> None:
    _, packer = packed(overlay)
    assert packer.left_out == ["top/mounted: another file system"]
    data, packer = packed(overlay, mounts=True)
    assert packer.left_out == []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {"top/note", "top/sub/note", "top/mounted/note"} <= set(archive.getnames())


def test_the_size_of_a_folder(overlay: Path) -> None:
    one = size_of(overlay / "sub")
    assert one >= 5000
    os.link(overlay / "sub" / "note", overlay / "sub" / "again")
    assert size_of(overlay / "sub") == one, "a file with two names takes its room once"
    whole, mounted = size_of(overlay), size_of(overlay / "mounted")
    assert mounted >= 5000
    assert 10_000 <= whole < 2 * one + mounted + 8192, "what is mounted does not count"


def test_what_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("x")
    data, _ = packed(tmp_path, skip=lambda inside: inside == "a/b")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["top", "top/a"]


def test_folders_without_end(tmp_path: Path) -> None:
    here = tmp_path
    for _ in range(DEPTH + 20):
        here = here / "d"
        here.mkdir()
    _, packer = packed(tmp_path)
    assert len(packer.left_out) == 1
    assert packer.left_out[0].endswith("folders are nested too deeply")


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / "d").mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x").write_text("root's")
    real = os.open

    def swapped(path: object, flags: int, *more: int, **where: int) -> int:
        if path == "d":
            (tmp_path / "home" / "d").rmdir()
            (tmp_path / "home" / "d").symlink_to(secret)
        return real(path, flags, *more, **where)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swapped)
    data, packer = packed(tmp_path / "home")
    assert b"root's" not in data
    assert [line.partition(":")[0] for line in packer.left_out] == ["top/d"]


def test_a_file_that_becomes_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("long")
    real = os.fstat

    def longer(handle: int) -> os.stat_result:
        found = real(handle)
        return os.stat_result((*found[:6], 10, *found[7:10])) if stat.S_ISREG(found.st_mode) else found

    monkeypatch.setattr(os, "fstat", longer)
    data, _ = packed(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        content = archive.extractfile("top/x")
        assert content is not None
        assert content.read() == b"long" + bytes(6)


def test_numbers_change_with_their_owners(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def owner(uid: int, gid: int) -> tuple[int, int]:
        asked.append((uid, gid))
        return os.getuid(), os.getgid()

    unpack(of_members(member("x", uid=1001, gid=1003)), tmp_path / "two", owner)
    assert asked == [(1001, 1003)]


# ---- archives that mean harm


HOSTILE = [
    (member("/etc/passwd"), "it would be put elsewhere"),
    (member("../x"), "it would be put elsewhere"),
    (member("a/../../x"), "it would be put elsewhere"),
    (member("."), "it would be put elsewhere"),
    (member("a/device", tarfile.CHRTYPE), "it is neither a file nor a folder nor a link"),
    (member("a/disk", tarfile.BLKTYPE), "it is neither a file nor a folder nor a link"),
    (member("a/pipe", tarfile.FIFOTYPE), "it is neither a file nor a folder nor a link"),
    (member("a/x", tarfile.LNKTYPE, "/etc/shadow"), "it is a link to elsewhere"),
    (member("a/x", tarfile.LNKTYPE, "a/../../etc/shadow"), "it is a link to elsewhere"),
    (member("a/x", tarfile.LNKTYPE, "b/x"), "it is a link to elsewhere"),
    (member("a/x", tarfile.SYMTYPE, ""), "it is a link to nowhere"),
]


@pytest.mark.parametrize(("what", "why"), HOSTILE, ids=[row[0].name + str(row[0].type) for row in HOSTILE])
def test_what_no_archive_of_ours_holds(what: tarfile.TarInfo, why: str) -> None:
    with pytest.raises(Hostile) as caught:
        checked(what)
    assert str(caught.value) == (
        f"the file holds {what.name!r}: {why}\n  → it was not made by `tljh backup`; nothing was changed"
    )


def test_a_link_is_not_a_way_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    data = of_members(
        member("a", tarfile.DIRTYPE), member("a/d", tarfile.SYMTYPE, str(outside)), member("a/d/x", size=3)
    )
    with pytest.raises(Hostile, match="a/d is no folder"):
        unpack(data, tmp_path / "two")
    assert list(outside.iterdir()) == []


def test_a_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    data = of_members(member("x", tarfile.SYMTYPE, str(outside)), member("x", size=3))
    with pytest.raises(Hostile, match="it is there twice"):
        unpack(data, tmp_path / "two")
    assert outside.read_text() == "as it was"


def test_a_further_name_of_a_link_is_the_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("root's")
    data = of_members(
        member("a", tarfile.DIRTYPE),
        member("a/l", tarfile.SYMTYPE, str(outside)),
        member("a/x", tarfile.LNKTYPE, "a/l"),
    )
    unpack(data, tmp_path / "two")
    assert (tmp_path / "two" / "a" / "x").is_symlink()
    assert outside.stat().st_nlink == 1


def test_capabilities_stay_behind(tmp_path: Path) -> None:
    harmful = member("x", size=1)
    harmful.pax_headers = {"SCHILY.xattr.security.capability": "\x01", "SCHILY.xattr.trusted.x": "y"}
    unpack(of_members(harmful), tmp_path / "two")
    names = os.listxattr(tmp_path / "two" / "x")
    assert not [name for name in names if name.startswith(("security.capability", "trusted."))]


@given(st.text(alphabet="a./\\\0\n~$ é", max_size=12), st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE]))
def test_no_name_leads_out(name: str, kind: bytes) -> None:
    try:
        path = checked(member(name, kind))
    except Hostile:
        return
    real = os.path.normpath(f"/folder/{path}")
    assert real.startswith("/folder/")
