"""How a Python environment is solved and built: uv, PyPI's packages, the system's interpreter.

The other provider is ``conda.environment``. What a resolve gives is in ``locks.lock``; what an environment is as a
resource is in ``environment``.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tljh.engine.facts import Facts
from tljh.engine.files import fresh_prefix, remove_for_good
from tljh.engine.machine import Machine
from tljh.engine.outside import fault
from tljh.errors import CommandFailed, TljhError
from tljh.resources.environments import project_folder
from tljh.resources.environments.bytecode import complete
from tljh.resources.locks.lock import RECORD, Lock, Requested, record_of

log = logging.getLogger("tljh.environment")

NEEDLESS = ("rfc3987-syntax",)
"""Packages that are left out unless somebody asks for them by name.

rfc3987-syntax builds a parser when it is imported: over a second of CPU time, half of what it takes until
JupyterHub, and every user's server, have started. jsonschema imports it if it is there, to check a format
("iri") that nothing in the environments uses, and does without it otherwise.
"""

_LISTED = re.compile(rb"^(?:\x1b\[[\d;]*m)* (?:\x1b\[[\d;]*m)*[+~-](?:\x1b\[[\d;]*m)* .*\r?\n", re.MULTILINE)


# what uv says, lower case · what it means · what to do
_FAULTS = (
    (
        r"network was disabled",
        "this machine takes packages from its bundle, and that does not have what is asked for",
        "make a bundle that has it, or take packages from the network (tljh bundle remove)",
    ),
    (
        r"current python version \([\d.]+\) does not satisfy",
        "what is asked for needs another version of Python than this machine's",
        "nothing has been changed; install a version of it for this Python, or leave it out",
    ),
    (
        r"not found in the package registry|there are no versions of",
        "the package index does not have a package that is asked for",
        "nothing has been changed; correct its name, or see what the index answers (a network that wants a login "
        "answers with a page of its own)",
    ),
    (
        r"couldn't parse requirement|error parsing included file|unexpected '.*expected '-c'",
        "a requirement is not written as pip wants it",
        "nothing has been changed; correct what asks for it",
    ),
    (
        r"no solution found|unsatisfiable|conflicting",
        "the packages asked for cannot be installed together",
        "nothing has been changed; correct what asks for it",
    ),
    (
        r"failed to build|build backend",
        "a package could not be built from its source",
        "install a version that has a wheel for this Python, or what its build asks for",
    ),
)


@dataclass
class Builder:
    """Solves and builds environments with uv.

    Attributes:
        uv: The program.
        python: The interpreter that environments are made of: the system's, which every user can read.
        cache: Where uv keeps what it downloads during a build. Files are linked from it into the environment, and
            it is removed then: nothing is copied, and yet an environment shares no file with anything. A cache
            that the admin names (``UV_CACHE_DIR``) is copied from, and stays.
        overrides: Requirements that win over what anybody else says of the same name.
        reuse: Environments whose byte code is copied where the source is the same: none that others than root may
            write in.
        say: Told what uv is doing, for people.
        drawing: Entered while uv draws its own bars on the terminal; yields whether there is one.
    """

    machine: Machine
    uv: Path
    python: Path
    cache: Path
    overrides: Sequence[str] = ()
    say: Callable[[str], None] = print
    drawing: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(False)
    reuse: Sequence[Path] = ()
    begun: set[Path] = field(default_factory=set)
    _beginning: Future[Sequence[str] | None] | None = None

    def run(self, *words: str | Path, say: Callable[[str], None] | None = None) -> str:
        """Run uv.

        Args:
            say: Told what it is doing, in place of bars on the terminal.
        """
        env = {
            "UV_CACHE_DIR": str(self._cache),
            "UV_PYTHON_DOWNLOADS": "never",
            "VIRTUAL_ENV": "",
        }
        command = [self.uv, *words]
        if say:
            return self.machine.run(command, env=env, timeout=3600.0, on_line=say).stdout
        with self.drawing() as terminal:
            if terminal:
                return self.machine.run(command, env=env, timeout=3600.0, terminal=_without_list).stdout
            return self.machine.run(command, env=env, timeout=3600.0, on_line=self.say).stdout

    @property
    def _cache(self) -> Path:
        return Path(os.environ.get("UV_CACHE_DIR") or self.cache)

    def resolve(
        self, requested: Sequence[Requested], prefer: Mapping[str, str], *, refresh: Iterable[str] = ()
    ) -> Lock:
        """Solve everything that is asked for together.

        Args:
            requested: Requirement lines and pip options, in order.
            prefer: Name → pin of what is installed: it stays where nothing asks for something else.
            refresh: Names of packages for which the index is asked anew, whatever it said a moment ago.

        Raises:
            TljhError: there is no solution, or an index cannot be reached; it names who asked for what.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "requirements.in").write_text("".join(f"{row.requirement}\n" for row in requested))
            named = {row.name for row in requested}
            needless = [f'{name} ; python_version < "0"' for name in NEEDLESS if name not in named]
            (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in (*self.overrides, *needless)))
            seeds = (f"{name}{pin}\n" for name, pin in prefer.items() if pin.startswith("=="))
            (folder / "lock.txt").write_text("".join(seeds))
            try:
                self.run(
                    *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", self.python),
                    *("--override", folder / "overrides.txt", "-o", folder / "lock.txt"),
                    *(f"--refresh-package={name}" for name in sorted(refresh)),
                    folder / "requirements.in",
                )
            except CommandFailed as error:
                raise explained(error, requested) from error
            lines = [line.strip() for line in (folder / "lock.txt").read_text().splitlines() if line.strip()]
        options = [row.requirement for row in requested if row.requirement.startswith("-")]
        return Lock(tuple(requested), (*options, *(line for line in lines if not line.startswith("-"))))

    def build(
        self,
        lock: Lock,
        path: Path,
        *,
        base: Path | None = None,
        finish: Callable[[], None] = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the environment at ``path``, or fill the one that is there.

        Its record is written last: an environment without one is not complete.

        Args:
            base: An environment to begin with: only what differs from it is downloaded and byte-compiled.
            finish: Called when all is installed, before it is byte-compiled: may add files.
            check: Called at the end, before the record says that it is complete: verifies it.
        """
        here = self.machine.at(path)
        held = self._beginning.result() if path in self.begun and self._beginning else None
        if base and not here.exists():
            try:
                self._copy(base, here)
            except CommandFailed as error:
                last = "\n".join(error.output.splitlines()[-3:])  # it says the same of a thousand files
                raise explained(CommandFailed(error.command, error.returncode, last), ()) from error
        elif not (here / "bin" / "python").exists():
            self._make(path)
        remove_for_good(here / RECORD)
        try:
            if held != lock.lines:
                self._sync(lock.lines, path)
        except CommandFailed as error:
            raise explained(error, lock.requested) from error
        self._leave_cache()
        finish()
        complete(self.machine, path / "bin" / "python", path, self.reuse, check)
        fact = Facts(self.machine).environment(path)
        self.machine.write_file(path / RECORD, record_of(lock, fact.packages if fact else {}).encode())
        self.begun.discard(path)

    def begin(self, lock: Lock, path: Path) -> None:
        """Begin to fill the environment at ``path``, which is not there yet, while something else is waited for.

        Only with what needs no building: a source package may ask for what is yet to come from apt. ``build``
        waits for it and does the rest, or all of it where this failed.
        """
        self.begun.add(path)
        worker = ThreadPoolExecutor(1, thread_name_prefix="begin")
        self._beginning = worker.submit(self._begin, lock, path)
        worker.shutdown(wait=False)

    def _begin(self, lock: Lock, path: Path) -> Sequence[str] | None:
        """Returns the lines that it then holds; ``None`` where it came to nothing."""
        try:
            self._make(path, say=log.debug)
            self._sync(lock.lines, path, "--no-build", say=log.debug)
        except TljhError as error:
            log.info("%s could not be begun beforehand: %s", path, error)
            return None
        return lock.lines

    def forget(self) -> None:
        """Remove what was begun and came to nothing."""
        if not self.begun:
            return
        self.machine.end_programs()
        wait([self._beginning] if self._beginning else [])
        while self.begun:
            shutil.rmtree(self.machine.at(self.begun.pop()), ignore_errors=True)

    def _make(self, path: Path, *, say: Callable[[str], None] | None = None) -> None:
        # relocatable: its programs find their interpreter beside themselves, in a copy too
        self.run("venv", "--quiet", "--relocatable", "--python", self.python, self.machine.at(path), say=say)

    def _copy(self, base: Path, here: Path) -> None:
        """Copy an environment. It bears its name only when all is there, and the other's record isn't."""
        fresh = here.with_name(f"{fresh_prefix()}{here.name}")
        try:
            self.machine.run(["cp", "--archive", "--reflink=auto", base, fresh])
            (fresh / RECORD).unlink(missing_ok=True)
            os.rename(fresh, here)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        self._repoint(here, base)

    def _repoint(self, here: Path, base: Path) -> None:
        """Let a copy's programs that pip wrote start with the copy's interpreter; it writes absolute paths."""
        old, new = f"{base}/bin/".encode(), f"{here}/bin/".encode()
        for script in sorted(here.glob("bin/*")):
            if script.is_symlink() or not script.is_file():
                continue
            first, newline, rest = script.read_bytes().partition(b"\n")
            if first.startswith(b"#!") and old in first:
                mode = script.stat().st_mode & 0o7777
                self.machine.write_file(script, first.replace(old, new) + newline + rest, mode=mode)

    def install(self, lines: Sequence[str], path: Path) -> None:
        """Make the environment hold exactly these distributions, sharing nothing with the cache."""
        self._sync(lines, path)
        self._leave_cache()

    def _leave_cache(self) -> None:
        """Nothing that was installed shares a file with the cache any more."""
        if self._cache == self.cache:
            self.machine.remove_tree(self.cache)

    def _sync(
        self, lines: Sequence[str], path: Path, *options: str, say: Callable[[str], None] | None = None
    ) -> None:
        mode = "hardlink" if self._cache == self.cache else "copy"
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "lock.txt"
            listed.write_text("".join(f"{line}\n" for line in lines))
            python = self.machine.at(path) / "bin" / "python"
            self.run("pip", "sync", *options, "--link-mode", mode, "--python", python, listed, say=say)

    def wheel(self, source: Path, folder: Path) -> Path:
        """Build the wheel of a local project into ``folder``, which is made; nothing is written where it lies."""
        found = sorted(folder.glob("*.whl"))
        if not found:
            self.say(f"building {source.name}")
            with tempfile.TemporaryDirectory() as temporary:
                place, out = source, Path(temporary) / "out"
                out.mkdir()
                if source.is_dir():
                    place = Path(temporary) / source.name
                    project_folder.copy(source, place)
                try:
                    self.run("build", "--quiet", "--wheel", "--python", self.python, "-o", out, place)
                except CommandFailed as error:
                    raise explained(error, (), of=str(source)) from error
                built = next(out.glob("*.whl"))
                self.machine.make_directory(folder)
                self.machine.write_file(folder / built.name, built.read_bytes())
            found = sorted(folder.glob("*.whl"))
        return found[0]


_BESIDE_IT = re.compile(r"^(-r|-c|git\+)|@[\w./-]+$")  # of a line, beside the place that it names


def _without_list(drawn: bytes) -> bytes:
    """uv's bars and sums, without a line for each of a hundred packages."""
    return _LISTED.sub(b"", drawn)


def explained(error: CommandFailed, requested: Sequence[Requested], of: str = "") -> TljhError:
    """What uv failed at, in our words before its own, and which of those who asked it speaks of.

    Args:
        of: What it was at work on, where nobody asked for a requirement.
    """
    text = error.output.lower()
    settings = "the index settings of pip and uv (PIP_INDEX_URL, UV_DEFAULT_INDEX, proxies)"
    in_git = "git operation failed" in text
    place, settings = ("the git repository", "its address") if in_git else ("the package index", settings)
    found = fault(text, place, settings)
    found = found or next((row[1:] for row in _FAULTS if re.search(row[0], text)), None)
    what, todo = found or (f"{error.command[0]} failed", "mend what it complains of")
    others = [row for row in requested if row.name and row.origin != "core"]
    said_of = r"(?<![\w-]){}(?![\w-])"
    normal = re.sub(r"(?<=\w)[_.](?=\w)", "-", text)
    blamed = [row for row in others if re.search(said_of.format(re.escape(row.name)), normal)]
    if not blamed:  # what is no requirement, or a repository, has no name; uv quotes it
        others = [row for row in requested if row.origin != "core"]
        blamed = [row for row in others if _BESIDE_IT.sub("", row.requirement.lower()).strip() in text]
    names = "; ".join(f"{row.origin} asks for {row.requirement}" for row in blamed)
    said = "\n".join(f"    {line}" for line in error.output.strip().splitlines()[-20:])
    return TljhError(
        f"{what}{': ' + (names or of) if names or of else ''}\n{said}",
        todo=f"{todo}, then run the same command again",
    )
