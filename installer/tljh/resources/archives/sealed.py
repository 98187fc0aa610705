"""A backup's outside: a zstd stream, sealed with a passphrase or not.

Without a passphrase the file is what is written, compressed (RFC 8878). With one it is a tar archive of two files:

- ``key.age``: a key that was made for this file, encrypted with the passphrase (age-encryption.org/v1, scrypt)
- ``backup.tar.zst.age``: the same stream, encrypted with that key

The library encrypts with a passphrase only what fits into memory, with a key whatever comes; so
``age -d -i key.age backup.tar.zst.age`` reads it too, without this program.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from tljh.engine.files import put_in_place
from tljh.errors import TljhError

KEY, BODY = "key.age", "backup.tar.zst.age"
LEVEL = 3
_ZSTD = b"\x28\xb5\x2f\xfd"
_KEY_SIZE = 10_000  # bytes; it has less than 500
_DAMAGED = "take another copy of the file; nothing was changed"


# ---- writing


@contextlib.contextmanager
def writing(target: Path, passphrase: str | None) -> Iterator[BinaryIO]:
    """What is written appears at ``target`` in one step, readable by its owner alone.

    Raises:
        OSError: it can't be written; nothing stays of it.
    """
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w+b") as file:
            os.fchmod(handle, 0o600)
            sealed = _encrypted(file, passphrase) if passphrase else contextlib.nullcontext(file)
            with sealed as body, _compressed(body) as plain:
                yield plain
        put_in_place(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _compressed(file: IO[bytes]) -> Iterator[BinaryIO]:
    import zstandard

    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=-1)
    with compressor.stream_writer(file, closefd=False) as plain:
        yield plain


@contextlib.contextmanager
def _encrypted(file: IO[bytes], passphrase: str) -> Iterator[BinaryIO]:
    import pyrage

    key = pyrage.x25519.Identity.generate()
    secret = pyrage.passphrase.encrypt(str(key).encode(), passphrase)
    file.write(_header(KEY, len(secret)) + secret + _padding(len(secret)))
    place = file.tell()
    file.write(_header(BODY, 0))
    with _through(lambda source: pyrage.encrypt_io(source, file, [key.to_public()])) as body:
        yield body
    size = file.seek(0, os.SEEK_END) - place - tarfile.BLOCKSIZE
    file.write(_padding(size) + bytes(2 * tarfile.BLOCKSIZE))
    file.seek(place)
    file.write(_header(BODY, size))
    file.seek(0, os.SEEK_END)


def _header(name: str, size: int) -> bytes:
    """One block, whatever the size (GNU's format writes large numbers in binary)."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


@contextlib.contextmanager
def _at_work(work: Callable[[Any], object], descriptor: int, mode: str) -> Iterator[list[BaseException]]:
    """Give one end of a pipe to ``work``, in a thread of its own; what that raised is in the list afterwards."""
    failed: list[BaseException] = []

    def run() -> None:
        # who is at the other end may have stopped: what is left is then of no use
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, mode) as file:
            try:
                work(file)
            except BaseException as error:
                failed.append(error)

    thread = threading.Thread(target=run, name="seal")
    thread.start()
    try:
        yield failed
    finally:
        thread.join()


@contextlib.contextmanager
def _through(work: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Something to write to, which ``work`` reads."""
    source, sink = os.pipe()
    with (
        _at_work(work, source, "rb") as failed,
        contextlib.suppress(BrokenPipeError),
        os.fdopen(sink, "wb") as body,
    ):
        yield body
    if failed:
        raise failed[0]


# ---- reading


def is_sealed(path: Path) -> bool:
    """Whether a file asks for a passphrase.

    Raises:
        TljhError: it is no backup, or can't be read.
    """
    if path.exists() and not path.is_file():
        # all of it is read several times
        raise TljhError(f"{path} is no ordinary file", todo="name a file that `tljh backup` made")
    try:
        with path.open("rb") as file:
            head = file.read(tarfile.BLOCKSIZE)
    except OSError as error:
        raise TljhError(f"{path} cannot be read: {error.strerror}", todo="name a file that can be read") from error
    if head.startswith(_ZSTD):
        return False
    if head.startswith(f"{KEY}\0".encode()):
        return True
    raise TljhError(f"{path} is no backup", todo="name a file that `tljh backup` made; nothing was changed")


def key_of(path: Path, passphrase: str) -> Any:
    """The key of a sealed file.

    Raises:
        TljhError: the passphrase is another one, or the file is damaged.
    """
    import pyrage

    try:
        with tarfile.open(path, "r:") as archive:
            member = archive.next()
            found = archive.extractfile(member) if member and member.size < _KEY_SIZE else None
            secret = found.read() if found else b""
        return pyrage.x25519.Identity.from_str(pyrage.passphrase.decrypt(secret, passphrase).decode())
    except pyrage.DecryptError as error:
        if "Decryption failed" not in str(error):
            raise TljhError(f"{path} is damaged: {error}", todo=_DAMAGED) from error
        raise TljhError(
            f"the passphrase does not open {path}", todo="give the one that it was made with; nothing was changed"
        ) from error
    except (tarfile.TarError, EOFError, pyrage.IdentityError, UnicodeDecodeError) as error:
        raise TljhError(f"{path} is damaged: {error}", todo=_DAMAGED) from error


@contextlib.contextmanager
def reading(path: Path, key: Any = None) -> Iterator[BinaryIO]:
    """The stream that was written; ``key`` as ``key_of`` gives it.

    Raises:
        TljhError: the file is damaged; also in the middle.
    """
    import zstandard

    with contextlib.ExitStack() as stack:
        try:
            body: Any = stack.enter_context(path.open("rb"))
            if key is not None:
                body = stack.enter_context(_decrypted(body, key))
            # one that was cut off ends early, without an error: who reads must know where the end is
            yield stack.enter_context(zstandard.ZstdDecompressor().stream_reader(body))
        except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
            raise TljhError(f"{path} is damaged or cut off: {error}", todo=_DAMAGED) from error


@contextlib.contextmanager
def _decrypted(file: BinaryIO, key: Any) -> Iterator[BinaryIO]:
    import pyrage

    with tarfile.open(fileobj=file, mode="r:") as archive:
        members = {member.name: member for member in (archive.next(), archive.next()) if member}
        body = archive.extractfile(members[BODY]) if BODY in members else None
        if body is None:
            raise EOFError("its second part is missing")
        with _out_of(lambda sink: pyrage.decrypt_io(body, sink, [key])) as plain:
            yield plain


@contextlib.contextmanager
def _out_of(work: Callable[[BinaryIO], object]) -> Iterator[BinaryIO]:
    """Something to read from, which ``work`` writes; its failure is raised at the end."""
    source, sink = os.pipe()
    with _at_work(work, sink, "wb") as failed, os.fdopen(source, "rb") as plain:
        yield _Ending(plain, failed)  # type: ignore[misc]


class _Ending(io.RawIOBase):
    """A stream whose end may be an error."""

    def __init__(self, plain: BinaryIO, failed: list[BaseException]) -> None:
        self._plain, self._failed = plain, failed

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._plain.read(size)
        if not found and self._failed:
            raise EOFError(str(self._failed[0]))
        return found
