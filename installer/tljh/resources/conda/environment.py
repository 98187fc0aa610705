"""How a conda environment is solved and built: py-rattler for conda's packages, uv for pip's part.

The other provider is ``environments.python_environment``. rattler itself works in a process of its own
(``worker``).

pip's part is solved against what conda's packages really hold, so conda's part of a new environment is linked
before that. No distribution that came with a conda package is ever replaced by pip's part.
"""

from __future__ import annotations

import ast
import json
import platform as this_platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.facts import BY_OTHERS_THAN_CONDA, Facts
from tljh.engine.files import remove_for_good
from tljh.engine.machine import Machine
from tljh.engine.parsers import parse_distribution_folder
from tljh.errors import CommandFailed, TljhError
from tljh.resources.conda.archives import at_hand
from tljh.resources.conda.faults import explained, indented
from tljh.resources.conda.settings import CondaSettings
from tljh.resources.environments.bytecode import compile_environment, complete
from tljh.resources.environments.pip_part import compile_part, install_part
from tljh.resources.environments.python_environment import Builder
from tljh.resources.locks.lock import BY_HAND, CONDA, RECORD, CondaPackage, Lock, Requested, record_of

CONDA_NAMES = {"jupyterhub": ("jupyterhub-base", "jupyterhub")}
"""What our own requirements are called in channels, where that isn't their name at PyPI; the best first."""

KEPT = (".condarc", "conda-meta/pinned")
"""What an admin's ``conda config --env`` writes into an environment, and conda's own list of pins."""

SUBDIRS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
"""conda's names of the processors that we support (CEP 26), by what ``uname -m`` says."""


@dataclass(frozen=True)
class Progress:
    """How far a build is: bytes that are downloaded and packages that are linked."""

    bytes: int
    size: int
    linked: int
    packages: int


@dataclass
class CondaBuilder:
    """Solves and builds environments with rattler, and uv for pip's part.

    Attributes:
        pip: What builds environments of PyPI's packages; here it solves and installs pip's part.
        cache: Holds ``pkgs``, the extracted packages that environments are linked from, and ``repodata``.
        settings: Reads what conda's users have set on this machine: mirrors, proxies, certificates.
        private: A folder that only we can read, for credentials.
        channels: Channel without credentials, as wishes and locks have it → as the admin named it.
        archives: A folder with archives of packages (``archives``): what is in it is asked of no channel.
        say: Told what happens, for people.
        progress: Told how far a build is.
        begun: Environments in which conda's part of a resolve is linked already.
    """

    machine: Machine
    pip: Builder
    cache: Path
    settings: Callable[[], CondaSettings]
    private: Path
    channels: dict[str, str] = field(default_factory=dict)
    archives: Path | None = None
    say: Callable[[str], None] = print
    progress: Callable[[Progress], None] = lambda progress: None
    begun: set[Path] = field(default_factory=set)

    def resolve(
        self,
        requested: Sequence[Requested],
        prefer: Mapping[str, str],
        *,
        installed: Sequence[CondaPackage] = (),
        place: Path,
    ) -> Lock:
        """Solve everything that is asked for together.

        Args:
            requested: Specs, requirements and channels, in order.
            prefer: Name → pin of what pip's part holds now: it stays where nothing asks for something else.
            installed: conda packages that are there now; they stay alike.
            place: Where conda's part may be linked, when pip's part must be solved against it.

        Raises:
            TljhError: there is no solution, or a channel cannot be reached; it names who asked for what.
        """
        solved = self._solve(requested, installed)
        conda = tuple(CondaPackage.of(said) for said in solved["packages"])
        taken = dict(zip(_either(requested), solved["taken"], strict=True))
        left = [row for row in requested if row.manager == "pip" or (row.manager == "either" and not taken[row])]
        lock = Lock(tuple(requested), (), conda=conda)
        if not left:
            return lock
        self.link(lock, place)
        self.begun.add(place)
        return Lock(tuple(requested), tuple(self._pip_part(left, prefer, place)), conda=conda)

    def _solve(self, requested: Sequence[Requested], installed: Sequence[CondaPackage]) -> dict[str, Any]:
        named = [self.as_named(row.requirement) for row in requested if row.manager == "channel"]
        asked = {
            "channels": self.settings().channel_urls(named),
            "specs": [row.requirement for row in requested if row.manager == "conda"],
            "preferred": [alternatives(row) for row in _either(requested)],
            "optional": [row.requirement for row in requested if row.manager == "if there"],
            "locked": [asdict(package) for package in installed],
            "cache": str(self.cache / "repodata"),
            "platform": subdir(),
            "virtual": None,
        }
        answer = self.ask("solve", asked, requested)
        self.say(f"solved {len(answer['packages'])} conda packages in {answer['seconds']:.1f} s")
        return answer

    def link(self, lock: Lock, path: Path, *, reinstall: Iterable[str] = ()) -> None:
        """Make the environment at ``path`` hold exactly the conda packages of ``lock``.

        Args:
            reinstall: Names of packages that are linked anew even if they are there.

        Raises:
            TljhError: a package cannot be had, or is not the one that the lock speaks of.
        """
        here = self.machine.at(path)
        asked = {
            "packages": [asdict(package) for package in lock.conda],
            "prefix": str(here),
            "requested": [row.requirement for row in lock.requested if row.manager == "conda"],
            "reinstall": list(reinstall),
            "cache": str(self.cache / "pkgs"),
            "platform": subdir(),
        }
        self._unpack(lock, asked)
        self.ask("install", asked, lock.requested)
        for record in here.glob("conda-meta/*.json"):
            record.chmod(0o644)  # rattler lets nobody else read them; conda list does
        if not (here / "conda-meta" / "history").exists():
            # conda and mamba know an environment by this file
            self.machine.write_file(path / "conda-meta" / "history", b"")

    def _unpack(self, lock: Lock, asked: Mapping[str, Any]) -> None:
        """Fill the cache from the archives that are here; what is linked from it is recorded as the channel's."""
        packages = at_hand(lock.conda, self.archives)
        if packages == asked["packages"]:
            return
        self.machine.make_directory(self.cache)
        with tempfile.TemporaryDirectory(prefix="unpack-", dir=self.cache) as elsewhere:
            here = {**asked, "packages": packages, "prefix": elsewhere, "reinstall": []}
            self.ask("install", here, lock.requested)

    def fetch(self, lock: Lock, folder: Path) -> None:
        """Put the archives of a lock's packages into ``folder``, ``<subdir>/<file name>``.

        Raises:
            TljhError: a package cannot be had, or is not the one that the lock speaks of.
        """
        asked = {"packages": at_hand(lock.conda, self.archives), "folder": str(folder)}
        self.ask("fetch", asked, lock.requested)

    def _pip_part(self, rows: Sequence[Requested], prefer: Mapping[str, str], place: Path) -> list[str]:
        # what an admin's pip put in the place of a conda package stays his
        mine = {row.name for row in rows if row.origin == BY_HAND}
        found = conda_distributions(self.machine.at(place))
        there = {name: version for name, version in found.items() if name not in mine}
        return compile_part(self.pip, rows, prefer, python=place / "bin" / "python", there=there)

    def build(
        self,
        lock: Lock,
        path: Path,
        *,
        base: Path | None = None,
        finish: Callable[[], None] = lambda: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the environment at ``path``; one that was begun there is gone on with.

        Args:
            base: The environment that serves: its byte code is taken where the sources are the same, and what the
                admin has told conda about it (``KEPT``).
            finish: Called when all is installed, before it is byte-compiled: may add files.
            check: Called at the end, before the record says that it is complete: verifies it.
        """
        here = self.machine.at(path)
        remove_for_good(here / RECORD)
        self.link(lock, path)
        if lock.lines:
            install_part(self.pip, lock.lines, path, lock.requested)
        for name in KEPT if base else ():
            content = self.machine.read(Path(f"{base}/{name}"))
            if content is not None:
                self.machine.write_file(path / name, content)
        finish()
        reuse = [base] if base else []
        complete(self.machine, here / "bin" / "python", here, reuse, check)
        fact = Facts(self.machine).environment(path)
        self.machine.write_file(path / RECORD, record_of(lock, fact.packages if fact else {}).encode())
        self.begun.discard(path)

    def add(self, path: Path, specs: Sequence[str], channels: Sequence[str]) -> None:
        """Add packages to the environment at ``path``, in place; what is there stays where it can.

        Args:
            specs: As conda takes them.
            channels: Names and URLs, the most important first.

        Raises:
            TljhError: there is no solution, or a package cannot be had.
        """
        here = self.machine.at(path)
        records = [json.loads(file.read_text()) for file in sorted(here.glob("conda-meta/*.json"))]
        asked = [spec for record in records for spec in specs_of_record(record)]
        rows = [Requested(name, "conda", "channel") for name in channels]
        rows += [Requested(spec, "conda", "conda") for spec in dict.fromkeys([*asked, *specs])]
        solved = self._solve(rows, [package_of_record(record) for record in records])
        packages = tuple(CondaPackage.of(said) for said in solved["packages"])
        self.link(Lock(tuple(rows), (), conda=packages), path)
        compile_environment(self.machine, here / "bin" / "python", here)

    def repair(self, lock: Lock, path: Path, packages: Sequence[str]) -> None:
        """Link conda packages of the environment at ``path`` anew, in place.

        Args:
            packages: Keys of ``lock.pins``.

        Raises:
            TljhError: a package cannot be had, or is not the one that the lock speaks of.
        """
        here = self.machine.at(path)
        self.link(lock, path, reinstall=[name.removeprefix(CONDA) for name in packages])
        compile_environment(self.machine, here / "bin" / "python", here)

    def forget(self) -> None:
        """Remove what was begun and came to nothing."""
        while self.begun:
            shutil.rmtree(self.machine.at(self.begun.pop()), ignore_errors=True)

    def prune(self, environments: Iterable[Path]) -> None:
        """Remove packages from the cache that none of these environments is linked from."""
        used = {record.stem for path in environments for record in path.glob("conda-meta/*.json")}
        for entry in sorted(self.machine.at(self.cache / "pkgs").glob("*-*-*")):
            if entry.name.removesuffix(".lock") not in used:
                self.machine.remove(entry)

    # ---- the worker

    def ask(self, op: str, asked: Mapping[str, Any], requested: Sequence[Requested]) -> dict[str, Any]:
        """Let rattler do something, in a process of its own.

        Args:
            op: Which of the worker's operations.
            asked: Its arguments; how channels are reached is added.
            requested: Who asked for what, for messages.

        Raises:
            TljhError: it could not be done.
        """
        command = [sys.executable, "-I", "-m", "tljh.resources.conda.worker"]
        settings = self.settings()
        packages = [str(said["url"]) for said in asked.get("packages", ())]
        config = settings.rattler_config(self._authentication(settings, packages))
        text = json.dumps({"op": op, "config": config, "retries": settings.retries, **asked})
        env = settings.environment()
        try:
            done = self.machine.run(command, input=text, env=env, timeout=3600.0, on_line=self._heard)
            answer: dict[str, Any] = json.loads(done.stdout)
        except (CommandFailed, ValueError) as error:
            said = error.output if isinstance(error, CommandFailed) else str(error)
            raise TljhError(f"rattler failed\n{indented(said)}", todo="run the same command again") from error
        if "fault" in answer:
            raise explained(answer, requested)
        return answer

    def as_named(self, channel: str) -> str:
        """A channel as the admin named it, with its credentials."""
        return self.channels.get(channel, channel)

    def _authentication(self, settings: CondaSettings, packages: Sequence[str]) -> Path | None:
        """A file with the channels' credentials: with them in URLs they would be recorded for all to read."""
        text = settings.authentication([*self.channels.values(), *packages])
        path = self.private / "rattler-credentials.json"
        if text:
            self.machine.write_file(path, text.encode(), mode=0o600)
        return path if text else None

    def _heard(self, line: str) -> None:
        try:
            said = json.loads(line)
            self.progress(Progress(**said))
        except (ValueError, TypeError):
            self.say(line)


def subdir() -> str:
    """conda's name for this machine's platform."""
    machine = this_platform.machine()
    return SUBDIRS.get(machine, f"linux-{machine}")


def conda_distributions(path: Path) -> dict[str, str]:
    """Canonical name → version of the Python distributions that conda's packages brought."""
    found: dict[str, str] = {}
    for entry in sorted(path.glob("lib/python3*/site-packages/*.dist-info")):
        pair = parse_distribution_folder(entry.name)
        installer = entry / "INSTALLER"
        by_other = installer.exists() and installer.read_text().strip() in BY_OTHERS_THAN_CONDA
        if pair and not by_other and (entry / "METADATA").exists():
            found[pair[0]] = pair[1]
    return found


def package_of_record(said: Mapping[str, Any]) -> CondaPackage:
    """The package that a record in ``conda-meta`` is about (CEP 34): a channel's words and more."""
    return CondaPackage.of({**said, "md5": said.get("md5") or "", "sha256": said.get("sha256") or ""})


def specs_of_record(said: Mapping[str, Any]) -> list[str]:
    """What somebody asked for when the package came; empty of a dependency."""
    several = [str(spec) for spec in said.get("requested_specs") or ()]
    single = str(said.get("requested_spec") or "")
    return several or ([single] if single and single != "None" else [])


def specs_of_history(text: str) -> dict[str, str]:
    """Name → spec of what was asked for, as ``conda-meta/history`` tells it.

    Source: conda's ``history.py``: lines ``# update specs: ['numpy >=2']`` (also ``install``, ``remove``).
    """
    asked: dict[str, str] = {}
    for action, listed in re.findall(r"^# (update|install|remove|uninstall) specs: *(.*)$", text, re.M):
        specs = ast.literal_eval(listed) if listed.startswith("[") else listed.split(",")
        for spec in (str(spec).strip() for spec in specs):
            name = Requested(spec, "", "conda").name.removeprefix(CONDA)
            if action in ("remove", "uninstall"):
                asked.pop(name, None)
            elif name:
                asked[name] = spec
    return asked


def _either(requested: Iterable[Requested]) -> list[Requested]:
    return [row for row in requested if row.manager == "either"]


def alternatives(row: Requested) -> list[str]:
    """A requirement of ours as conda specs: both write ranges of versions alike. A URL has no such form."""
    if " @ " in row.requirement:
        return []
    versions = re.sub(r"^[\w.-]+\s*", "", row.requirement)
    return [f"{name} {versions}".strip() for name in CONDA_NAMES.get(row.name, (row.name,))]
