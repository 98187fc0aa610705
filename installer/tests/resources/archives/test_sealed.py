"""A backup's outside: damage, passphrases, and what other programs make of it."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from tljh.errors import TljhError
from tljh.resources.archives import sealed

TEXT = os.urandom(300_000) + bytes(300_000)
WORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ones take a second or two each, on purpose; this stand-in can tell a wrong one all the same."""
    import pyrage

    def encrypt(secret: bytes, passphrase: str) -> bytes:
        return f"{passphrase}\n".encode() + secret

    def decrypt(sealed: bytes, passphrase: str) -> bytes:
        found, newline, secret = sealed.partition(b"\n")
        if not newline:
            raise pyrage.DecryptError("failed to fill whole buffer")
        if found.decode() != passphrase:
            raise pyrage.DecryptError("Decryption failed")
        return secret

    monkeypatch.setattr(pyrage.passphrase, "encrypt", encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", decrypt)


def made(path: Path, passphrase: str | None) -> Path:
    with sealed.writing(path, passphrase) as file:
        file.write(TEXT)
    return path


def read(path: Path, passphrase: str | None) -> bytes:
    key = sealed.key_of(path, passphrase) if passphrase else None
    with sealed.reading(path, key) as file:
        return b"".join(iter(lambda: file.read(65536), b""))


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_what_is_written_is_read(tmp_path: Path, passphrase: str | None) -> None:
    path = made(tmp_path / "x", passphrase)
    assert read(path, passphrase) == TEXT
    assert sealed.is_sealed(path) is bool(passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_nothing_can_be_read_of_a_sealed_one(tmp_path: Path) -> None:
    assert TEXT[:1000] in made(tmp_path / "plain", None).read_bytes()
    assert TEXT[:16] not in made(tmp_path / "sealed", WORD).read_bytes()


def test_each_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = [str(sealed.key_of(made(tmp_path / name, WORD), WORD)) for name in "ab"]
    assert keys[0] != keys[1]


def test_it_is_a_tar_archive_with_age_files(tmp_path: Path) -> None:
    with tarfile.open(made(tmp_path / "x", WORD)) as archive:
        assert archive.getnames() == ["key.age", "backup.tar.zst.age"]
        body = archive.extractfile("backup.tar.zst.age")
        assert body is not None
        assert body.read(21) == b"age-encryption.org/v1"


@pytest.mark.parametrize("passphrase", [None, WORD])
def test_a_failure_leaves_what_was_there(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "x"
    path.write_text("the last one")
    with pytest.raises(OSError, match="no room"), sealed.writing(path, passphrase) as file:
        file.write(b"begun")
        raise OSError(28, "no room")
    assert path.read_text() == "the last one"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    path = made(tmp_path / "x", WORD)
    with pytest.raises(TljhError) as caught:
        sealed.key_of(path, "another")
    assert str(caught.value) == (
        f"the passphrase does not open {path}\n  → give the one that it was made with; nothing was changed"
    )


@pytest.mark.parametrize("passphrase", [None, WORD])
@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_a_changed_byte(tmp_path: Path, passphrase: str | None, place: float) -> None:
    path = made(tmp_path / "x", passphrase)
    data = bytearray(path.read_bytes())
    end = data.rstrip(b"\0").__len__()
    data[int(end * place)] ^= 1
    path.write_bytes(data)
    with pytest.raises(TljhError, match=r"is damaged or cut off: .*\n.*nothing was changed"):
        read(path, passphrase)


@pytest.mark.parametrize("size", [100, 2000, 150_000])
def test_a_sealed_one_that_was_cut_off(tmp_path: Path, size: int) -> None:
    path = made(tmp_path / "x", WORD)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(TljhError, match=r"is (no backup|damaged)"):
        sealed.is_sealed(path)
        read(path, WORD)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", bytes(5000)])
def test_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(TljhError) as caught:
        sealed.is_sealed(path)
    assert str(caught.value) == (
        f"{path} is no backup\n  → name a file that `tljh backup` made; nothing was changed"
    )


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(TljhError, match=r"/x is no ordinary file\n  → name a file that `tljh backup` made"):
        sealed.is_sealed(tmp_path / "x")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(TljhError, match=r"/x cannot be read: No such file or directory"):
        sealed.is_sealed(tmp_path / "x")


def test_a_size_beyond_eight_gigabytes_has_room_in_the_header() -> None:
    header = sealed._header(sealed.BODY, 9 * 2**30)
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 * 2**30
    assert len(header) == tarfile.BLOCKSIZE
    assert io.BytesIO(header).read(10) == sealed.BODY.encode()[:10]
