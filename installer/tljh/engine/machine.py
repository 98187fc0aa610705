"""The only module that starts a process or writes outside the store.

Everything that changes the machine goes through a ``Machine``, so that it is logged, redacted and bounded in
time in one place, and so that unit tests can put another one in its stead.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tljh.engine.conversation import Conversation
from tljh.engine.exchange import exchange
from tljh.engine.files import fresh_prefix, remove_tree, sync_directory
from tljh.engine.passwd import group_name, user_name
from tljh.engine.places import held, opened
from tljh.engine.processes import Completed, communicate, kill_group, pseudo_terminal, shown_on_terminal
from tljh.errors import CommandFailed, TljhError

log = logging.getLogger("tljh.machine")

# user:password@ in a URL, and --something-password value, token=value … in an argument
_SECRETS = re.compile(
    r"(?P<head>://(?:[^/\s:@]+:)?)[^/\s@]+(?=@)"
    r"|(?P<key>(?:password|passwd|token|secret|api[-_]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',]+",
    re.IGNORECASE,
)

_BLOCK = 1 << 20  # bytes that are read at once


def redact(text: str) -> str:
    """``text`` with credentials in URLs and the values of password-like keys replaced by ``***``."""
    return _SECRETS.sub(lambda m: (m["head"] or m["key"]) + "***", text)


@dataclass(frozen=True)
class FileStatus:
    """What ``lstat`` says of a path, in the words of a state."""

    kind: str  # "file", "directory", "link" or "other"
    mode: str  # "0644"
    owner: str  # "root:root"; numbers where there is no such account
    target: str = ""  # of a link


class Machine:
    """This machine.

    Args:
        root: Where its file system begins; anything but ``/`` is for tests.
        inherit: File descriptors that every process started here inherits (the install lock: it then holds
            until the last of them has ended).
    """

    def __init__(self, root: Path = Path("/"), inherit: Sequence[int] = ()) -> None:
        self.root = root
        self.inherit = tuple(inherit)
        self._running: set[subprocess.Popen[str]] = set()

    # ---- processes

    def run(
        self,
        command: Sequence[str | Path],
        *,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 900.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        terminal: Callable[[bytes], bytes] | None = None,
    ) -> Completed:
        """Run a program to its end.

        Args:
            input: What it reads; otherwise its standard input is empty.
            env: Variables added to ours.
            timeout: Seconds after which its whole process group is killed.
            check: Raise when its exit status is not 0.
            on_line: Called with each line of its standard error as it comes (for progress).
            terminal: Let it draw on our terminal: its standard error is one of the same size; what it draws goes
                through this function, is shown and kept.

        Raises:
            CommandFailed: it ended with another status than 0 (with ``check``) or ran out of time.
            TljhError: there is no such program.
        """
        words = [str(word) for word in command]
        shown = [redact(word) for word in words]
        log.debug("run: %s", " ".join(shown))
        ours, its = pseudo_terminal() if terminal else (None, subprocess.PIPE)
        try:
            process = self._start(words, env, cwd, read=input is not None, errors=its)
        finally:
            if terminal:
                os.close(its)
        errors = shown_on_terminal(ours, terminal) if ours is not None and terminal else process.stderr or ()
        self._running.add(process)
        try:
            done, in_time = communicate(process, input, timeout, errors, on_line)
        finally:
            self._running.discard(process)
        for line in done.output.splitlines():
            log.debug("  %s", redact(line))
        if not in_time:
            raise CommandFailed(shown, None, redact(done.output))
        if check and done.returncode != 0:
            raise CommandFailed(shown, done.returncode, redact(done.output))
        return done

    def end_programs(self) -> None:
        """End what other threads have started here and still runs."""
        for process in tuple(self._running):
            kill_group(process)

    def converse(
        self, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Conversation:
        """Start a program that is told things and answers, line by line; whoever starts it closes it."""
        words = [str(word) for word in command]
        log.debug("start: %s", " ".join(redact(word) for word in words))
        process = self._start(words, env, cwd, read=True)
        return Conversation(
            process,
            kill=partial(kill_group, process),
            interrupt=partial(process.send_signal, signal.SIGINT),
            on_line=lambda line: log.debug("  %s", redact(line)),
        )

    def _start(
        self,
        words: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        *,
        read: bool,
        errors: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a program in a session of its own: it can then be killed with all that it started.

        Args:
            read: Whether we tell it something; otherwise its standard input is empty.
            errors: Where its standard error goes.
        """
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.PIPE if read else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                text=True,
                errors="replace",
                start_new_session=True,
                pass_fds=self.inherit,
            )
        except FileNotFoundError as error:
            raise TljhError(f"there is no program {error.filename} on this machine") from error

    # ---- looking

    def at(self, path: Path) -> Path:
        """Where ``path`` of the machine is for us."""
        return path if self.root == Path("/") else self.root / path.relative_to("/")

    def status(self, path: Path) -> FileStatus | None:
        """What is at ``path``; ``None`` where there is nothing. A link is not followed."""
        try:
            found = self.at(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))
        kind = next((name for test, name in kinds if test(found.st_mode)), "other")
        target = os.readlink(self.at(path)) if kind == "link" else ""
        owner = f"{user_name(found.st_uid)}:{group_name(found.st_gid)}"
        return FileStatus(kind, f"{stat.S_IMODE(found.st_mode):04o}", owner, target)

    def read(self, path: Path) -> bytes | None:
        """The content of a file; ``None`` where there is none."""
        try:
            return self.at(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def digest(self, path: Path) -> str:
        """The sha256 of a file of any size, hexadecimal; empty where there is none that can be read."""
        total = hashlib.sha256()
        try:
            with self.at(path).open("rb") as file:
                while block := file.read(_BLOCK):
                    total.update(block)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return ""
        return total.hexdigest()

    # ---- writing

    def write_file(self, path: Path, content: bytes, *, mode: int = 0o644, owner: str = "root:root") -> None:
        """Put ``content`` at ``path`` in one step: temporary file beside it, fsync, rename."""
        log.debug("write %s (%d bytes, %04o, %s)", path, len(content), mode, owner)
        self.write_blocks(path, [content], mode=mode, owner=owner)

    def write_blocks(
        self, path: Path, blocks: Iterable[bytes], *, mode: int = 0o644, owner: str = "root:root"
    ) -> None:
        """As ``write_file``, block by block; where ``blocks`` raises, what was at ``path`` stays."""
        with held(self.at(path)) as here:
            handle, name = tempfile.mkstemp(prefix=fresh_prefix(), dir=here.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    for block in blocks:
                        file.write(block)
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    self._chown(file.fileno(), owner)
                    os.fsync(file.fileno())
                os.replace(name, here)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
                raise
            sync_directory(here.parent)

    def make_directory(self, path: Path, *, mode: int = 0o755, owner: str = "root:root") -> None:
        """Make a folder, or give the one that is there this mode and owner."""
        log.debug("directory %s (%04o, %s)", path, mode, owner)
        with opened(self.at(path), make=True) as folder:
            os.fchmod(folder, mode)
            self._chown(folder, owner)

    def make_link(self, path: Path, target: str) -> None:
        """Point a symbolic link at ``target`` in one step, whether or not it was there."""
        log.debug("link %s -> %s", path, target)
        with held(self.at(path)) as here:
            temporary = here.with_name(f"{fresh_prefix()}link")
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            temporary.symlink_to(target)
            try:
                os.replace(temporary, here)
            except BaseException:
                temporary.unlink()
                raise
            sync_directory(here.parent)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or a whole folder; nothing happens where there is nothing."""
        log.debug("remove %s", path)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), held(self.at(path)) as here:
            if here.is_dir() and not here.is_symlink():
                shutil.rmtree(here)
            else:
                here.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """As ``remove``, and faster with a large folder; for what nobody but root can write in."""
        status = self.status(path)
        if status and status.kind == "directory":
            log.debug("remove %s", path)
            remove_tree(self.at(path))
        else:
            self.remove(path)

    def sync(self, *paths: Path) -> None:
        """Have all of the file systems that these are on on the disk, so that a power failure loses nothing."""
        there = [str(self.at(path)) for path in paths if self.at(path).exists()]
        self.run(["sync", "--file-system", *there], timeout=600.0)

    def move(self, path: Path, to: Path) -> None:
        """Rename a file or folder on the same file system."""
        log.debug("move %s -> %s", path, to)
        with held(self.at(path)) as here, held(self.at(to)) as there:
            os.rename(here, there)

    def exchange(self, path: Path, other: Path) -> None:
        """Let two paths change places in one step.

        Raises:
            TljhError: they are on different disks, or one is where a disk is mounted.
        """
        log.debug("exchange %s and %s", path, other)
        try:
            exchange(self.at(path), self.at(other))
        except OSError as error:
            raise TljhError(
                f"{path} cannot be moved to {other}: {error.strerror}",
                todo="it must be an ordinary folder on the disk of the other, not where a disk is mounted",
            ) from error

    def _chown(self, handle: int, owner: str) -> None:
        # an owner that has no account any more is shown, and given back, as a number
        user, group = (int(name) if name.isdigit() else name for name in owner.split(":"))
        shutil.chown(handle, user, group)
