"""What programs say of the network, a registry, the disk and the clock, in our words."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from tljh.engine import outside
from tljh.engine.outside import check_room, check_writable, fault, unwritable
from tljh.errors import TljhError

# what a program really said · the beginning of what we say · a word of what to do
SAID = {
    "uv, no names": (
        "cause: Failed to fetch: https://pypi.org/simple/click/\ncause: client error (Connect)\ncause: dns error\n"
        "cause: failed to lookup address information: Temporary failure in name resolution",
        "the index cannot be reached: names cannot be looked up (DNS)",
        "/etc/resolv.conf",
    ),
    "apt, no names": (
        "Err:1 http://deb.debian.org/debian bookworm/main\n  Temporary failure resolving 'deb.debian.org'",
        "the index cannot be reached: names cannot be looked up (DNS)",
        "/etc/resolv.conf",
    ),
    "uv, nobody there": (
        "cause: error sending request for url (http://127.0.0.1:9/simple/)\ncause: tcp connect error\n"
        "cause: Connection refused (os error 111)",
        "the index cannot be reached",
        "check the network and its settings",
    ),
    "uv, a server in trouble": (
        "cause: HTTP status server error (503 Service Unavailable) for url (http://127.0.0.1:8900/simple/x/)",
        "the index cannot be used: it answers with a fault of its own",
        "wait a while",
    ),
    "uv, a login": (
        "hint: An index URL (https://x/simple/) could not be queried due to a lack of valid authentication "
        "credentials (401 Unauthorized).",
        "the index does not let this machine in",
        "name and password",
    ),
    "uv, half a page": (
        "cause: error decoding response body for url (http://127.0.0.1:8900/simple/x/)\n"
        "cause: request or response body error\ncause: end of file before message length reached",
        "what the index sends is damaged or broken off",
        "a proxy, a mirror",
    ),
    "uv, half a package": (
        "cause: Because x==1.0 has an invalid package format …\nhint: Failed to read from zip file",
        "what the index sends is damaged or broken off",
        "a proxy, a mirror",
    ),
    "uv, another package": (
        "error: Failed to download `x==1.0`\n  cause: Bad CRC (got cb2f888c, expected b4f1d9b4) for file: x.bin",
        "what the index sends is damaged or broken off",
        "a proxy, a mirror",
    ),
    "uv, a hash": ("cause: Hash mismatch for `x==1.0`", "a downloaded package is not the one", "find out who"),
    "uv, a full disk": (
        "cause: failed to write to file `/opt/tljh/cache/uv/x`: No space left on device (os error 28)",
        "there is no room left on the disk",
        "make room",
    ),
    "apt, a full disk": (
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "there is no room left on the disk",
        "make room",
    ),
    "apt, the clock": (
        "E: Release file for http://x/InRelease is not valid yet (invalid for another 5473d 1h 18min 42s).",
        "what the index sends is not valid at this time; the clock of this machine says 20",
        "timedatectl",
    ),
    "uv, the clock": (
        "cause: invalid peer certificate: certificate not valid yet: verification time 1300000000",
        "what the index sends is not valid at this time; the clock of this machine says 20",
        "timedatectl",
    ),
    "a disk that has faults": (
        "cp: cannot create '/x': Read-only file system",
        "the disk cannot be written: it is mounted read-only",
        "dmesg",
    ),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_programs_say(kind: str) -> None:
    text, what, todo = SAID[kind]
    found = fault(text, "the index", "its settings")
    assert found and found[0].startswith(what) and todo in found[1]


def test_what_is_no_fault_from_outside() -> None:
    said = "Because x depends on numpy<2 and you require numpy>=2, your requirements are unsatisfiable."
    assert fault(said, "the index", "its settings") is None


def test_a_file_that_can_not_be_written() -> None:
    full = unwritable(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/opt/x"))
    assert str(full) == (
        "there is no room left on the disk: /opt/x\n  → make room, then run the same command again"
    )
    assert "mounted read-only: /etc/x" in str(unwritable(OSError(errno.EROFS, os.strerror(errno.EROFS), "/etc/x")))
    assert "no room left" in str(unwritable(sqlite3.OperationalError("database or disk is full")))
    assert unwritable(OSError(errno.EACCES, os.strerror(errno.EACCES), "/x")) is None
    assert unwritable(ValueError("no space left on device")) is None


def _disk(monkeypatch: pytest.MonkeyPatch, **what: int) -> None:
    known = {"f_bavail": 10**6, "f_frsize": 4096, "f_files": 10**6, "f_favail": 10**6, "f_flag": 0}
    monkeypatch.setattr(outside.os, "statvfs", lambda path: SimpleNamespace(**{**known, **what}))


@pytest.mark.parametrize("what", [{"f_bavail": 100}, {"f_favail": 3}])
def test_no_service_is_ended_where_it_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: dict[str, int]
) -> None:
    _disk(monkeypatch)
    check_room(tmp_path / "not/yet/there", "to restart the hub")
    _disk(monkeypatch, **what)
    with pytest.raises(
        TljhError, match=r"no room left .* to restart the hub; what runs now goes on\n  → make room"
    ):
        check_room(tmp_path / "not/yet/there", "to restart the hub")


def test_a_disk_that_is_mounted_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable((tmp_path, tmp_path / "not there"))
    _disk(monkeypatch, f_flag=os.ST_RDONLY)
    check_writable((tmp_path / "not there",))
    with pytest.raises(TljhError, match=r"cannot be written: .*read-only; nothing was changed\n  → .*writable"):
        check_writable((tmp_path,))
