"""Mends an environment in place: just the packages whose files are not as they brought them.

Every file is replaced by a rename, so what runs from the environment goes on with what it has opened. What is
wrong, ``integrity`` finds; conda's packages are linked anew by ``conda.environment``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import parse_direct_url, parse_distribution_folder
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import CommandFailed, TljhError
from tljh.resources.conda.environment import package_of_record
from tljh.resources.environments.bytecode import compile_environment
from tljh.resources.environments.installed_files import Expected, distributions, installer_of, parse_record
from tljh.resources.environments.integrity import Fault, digest_of
from tljh.resources.environments.python_environment import Builder, explained
from tljh.resources.locks.lock import BY_HAND, CONDA, RECORD, Lock, Requested

WHOLE = "as installed"
ENVIRONMENT = "(environment)"
"""The key of what belongs to no package."""
SKELETON = ("pyvenv.cfg", "bin/python")
INSTALLERS = (b"pip\n", b"uv")
"""What pip and uv write into INSTALLER."""
WORDS = 500  # paths on one command line
ASIDE = ".changed"


@dataclass
class Files(Resource):
    """The files of an environment's packages.

    Attributes:
        path: The environment.
        look: Finds what is wrong.
        reinstall: Makes packages (keys as in ``Lock.pins``) what they were.
        frame: Makes again what makes a virtual environment of a folder.
        damaged: The packages that are to be mended.
        seen: What was wrong when it was last looked at.
    """

    path: Path
    look: Callable[[], Sequence[Fault]]
    reinstall: Callable[[Sequence[str]], None]
    frame: Callable[[], None]
    damaged: Sequence[str] = ()
    seen: Sequence[Fault] = field(default_factory=list)

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return dict.fromkeys(self.damaged, WHOLE)

    def observe(self, facts: Facts) -> State:
        self.seen = self.look()
        return {name: in_words(faults) for name, faults in by_package(self.seen).items()} | {
            name: WHOLE for name in self.damaged if name not in by_package(self.seen)
        }

    def change(self, diff: Diff, machine: Machine) -> None:
        if any(fault.path in SKELETON and not fault.package for fault in self.seen):
            self.frame()
            self.seen = self.look()  # its interpreter can look now, too
        faults = [fault for fault in self.seen if (fault.package or ENVIRONMENT) in diff.put]
        keep_settings(machine, self.path, faults)
        give_modes(machine, self.path, [fault.path for fault in faults if fault.what == "mode"])
        byte_code = [fault for fault in faults if _is_byte_code(fault)]
        for fault in byte_code:
            machine.remove(self.path / fault.path)
        packages = {fault.package for fault in faults if fault.package and fault.what != "mode"}
        if packages:
            self.reinstall(sorted(packages))
        if packages or byte_code:
            here = machine.at(self.path)
            compile_environment(machine, here / "bin" / "python", here)


def can_be_mended(fault: Fault) -> bool:
    """Whether there is a way; an environment without its own record is built anew by the next install."""
    return fault.path != RECORD


def by_package(faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """The faults of each package, by its key; what belongs to none last."""
    found: dict[str, list[Fault]] = {}
    for fault in sorted(faults, key=lambda fault: (not fault.package, fault.package)):
        found.setdefault(fault.package or ENVIRONMENT, []).append(fault)
    return found


def in_words(faults: Sequence[Fault]) -> str:
    """``2 changed, 1 missing``."""
    words = {"mode": "with a wrong mode", "record": "unreadable record"}
    counts = Counter(fault.what for fault in faults)
    return ", ".join(f"{number} {words.get(what, what)}" for what, number in sorted(counts.items()))


def _is_byte_code(fault: Fault) -> bool:
    return not fault.package and fault.path.endswith(".pyc") and fault.what == "changed"


# ---- what needs no package


def keep_settings(machine: Machine, path: Path, faults: Iterable[Fault]) -> None:
    """Put what somebody may have changed on purpose beside what comes in its place."""
    for fault in faults:
        content = machine.read(path / fault.path)
        if fault.what == "changed" and fault.path.startswith("etc/") and content:
            machine.write_file(path / f"{fault.path}{ASIDE}", content)


def give_modes(machine: Machine, path: Path, names: Sequence[str]) -> None:
    """Let everybody read (and run) what is in the environment, and only its owner change it."""
    folders = [name for name in names if machine.at(path / name).is_dir()]
    programs = [name for name in names if name.startswith("bin/") and name not in folders]
    files = [name for name in names if name not in folders and name not in programs]
    # folders first, the outermost before what is in it
    for mode, some in (("a+rx,go-w", folders), ("a+rx,go-w", programs), ("a+r,go-w", files)):
        for start in range(0, len(some), WORDS):
            paths = [str(machine.at(path / name)) for name in some[start : start + WORDS]]
            machine.run(["chmod", mode, "--", *paths])


# ---- distributions of pip and uv


def reinstall(builder: Builder, lock: Lock, path: Path, packages: Sequence[str]) -> None:
    """Put back what is damaged of some distributions, from the index or from where they came.

    They are installed beside the environment first. Only what differs goes over, each file by a rename; so nothing
    is missing at any moment, and a failed download changes nothing.

    Args:
        lock: What the environment was built from.
        packages: Canonical names.

    Raises:
        TljhError: one cannot be had.
    """
    machine = builder.machine
    here = machine.at(path)
    lines = [line for line in lock.lines if line.startswith("-")]
    lines += [_line(lock, name, distributions(here).get(name)) for name in packages]
    for left in here.parent.glob("repair-*"):
        machine.remove(left)  # of a run that was killed; we hold the install lock
    beside = Path(tempfile.mkdtemp(prefix="repair-", dir=here.parent))
    try:
        try:
            _install_beside(builder, lines, here, beside)
        except CommandFailed as error:
            raise explained(error, lock.requested) from error
        for entry in distributions(beside).values():
            _put_back(machine, entry, beside, here)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if not os.environ.get("UV_CACHE_DIR"):
            machine.remove(builder.cache)


def _line(lock: Lock, name: str, entry: Path | None) -> str:
    """The requirement for what is there now: the lock's line, unless an admin has put something else there."""
    locked = next((line for line in lock.lines if Requested(line, "").name == name), None)
    pin = lock.pins.get(name, "")
    pair = parse_distribution_folder(entry.name) if entry else None
    if entry is None or pair is None:
        if locked is None:
            raise TljhError(f"nothing says where {name} came from", todo=f"install it again: pip install {name}")
        return locked
    try:
        url = parse_direct_url((entry / "direct_url.json").read_text())
    except (FileNotFoundError, ValueError, KeyError):
        url = ""
    if locked and (pin == f"=={pair[1]}" or (pin.startswith("@") and url in ("", pin.removeprefix("@ ")))):
        return locked
    return f"{name} @ {url}" if url else f"{name}=={pair[1]}"


def _install_beside(builder: Builder, lines: Sequence[str], here: Path, beside: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "lines.txt"
        listed.write_text("".join(f"{line}\n" for line in lines))
        place: tuple[str | Path, ...]
        if (here / "pyvenv.cfg").exists():
            # another of its kind: programs find their interpreter beside themselves, so they come out the same
            builder.run("venv", "--quiet", "--relocatable", "--python", here / "bin" / "python", beside)
            place = ("--python", beside / "bin" / "python")
        else:
            place = ("--python", here / "bin" / "python", "--prefix", beside)
        builder.run("pip", "install", "--no-deps", "--link-mode", "copy", *place, "--requirement", listed)


def _put_back(machine: Machine, entry: Path, beside: Path, here: Path) -> None:
    """Replace what differs of one distribution.

    What the environment's own record of it speaks of is put back exactly. Where that can't be (the record is
    damaged, or pip writes another program than uv), all of it comes from beside, the record too.
    """
    site = str(entry.parent.relative_to(beside))
    new = parse_record((entry / "RECORD").read_text(), "", site)
    there = here / site / entry.name
    try:
        old = parse_record((there / "RECORD").read_text(), "", site)
    except (ValueError, OSError):
        old = {}
    wanted = [path for path, row in (old or new).items() if not _is_there(here / path, row)]
    if not old or any(path not in new or new[path].digests != old[path].digests for path in wanted):
        _keep_installer(machine, entry, there, old.get(f"{site}/{entry.name}/INSTALLER"))
        new = parse_record((entry / "RECORD").read_text(), "", site)
        record = f"{site}/{entry.name}/RECORD"
        wanted = [path for path, row in new.items() if path != record and not _is_there(here / path, row)]
        wanted.append(record)
    for path in wanted:
        _move(machine, beside / path, here / path)


def _is_there(path: Path, row: Expected) -> bool:
    if row.kind == "byte code":
        return True
    if not row.digests:
        return path.is_file()
    try:
        return digest_of(path, row.digests[0][0]) == row.digests[0][1]
    except OSError:
        return False


def _keep_installer(machine: Machine, entry: Path, there: Path, row: Expected | None) -> None:
    """What pip installed stays pip's: that is how an admin's own packages are known."""
    text = f"{installer_of(there)}\n".encode()
    if text not in INSTALLERS and row:
        known = [text for text in INSTALLERS if ("sha256", hashlib.sha256(text).hexdigest()) in row.digests]
        text = known[0] if known else text
    if text != b"pip\n":
        return
    machine.write_file(entry / "INSTALLER", text)
    digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    line = re.compile(rf"^{re.escape(entry.name)}/INSTALLER,.*$", re.M)
    record = line.sub(f"{entry.name}/INSTALLER,sha256={digest},{len(text)}", (entry / "RECORD").read_text())
    machine.write_file(entry / "RECORD", record.encode())


def _move(machine: Machine, path: Path, to: Path) -> None:
    if not to.parent.is_dir():
        machine.remove(to.parent)
        machine.make_directory(to.parent)
    if to.is_dir() and not to.is_symlink():
        machine.remove(to)
    machine.move(path, to)


# ---- conda's packages


def as_it_is(facts: Facts, path: Path, lock: Lock, damaged: Iterable[str]) -> Lock:
    """The lock with the conda packages that an admin installed by hand, so that they are not taken away.

    Args:
        damaged: Packages whose records can't be read.

    Raises:
        TljhError: one of these is known from nowhere else.
    """
    fact = facts.environment(path)
    there: Mapping[str, str] = fact.conda if fact else {}
    lost = {name.removeprefix(CONDA) for name in damaged if name.startswith(CONDA)}
    known = {package.name: package for package in lock.conda}
    gone = {row.name.removeprefix(CONDA) for row in lock.requested if row.origin == BY_HAND} - set(there) - lost
    packages = {name: package for name, package in known.items() if name not in gone}
    for name, pin in there.items():
        if name in packages and packages[name].pin == pin:
            continue
        if name in lost:
            raise TljhError(
                f"the record of conda package {name}, which was installed by hand, can't be read",
                todo=f"install it again: conda install --force-reinstall {name}={pin.partition('=')[0]}",
            )
        packages[name] = package_of_record(facts.conda_record(path, name))
    return replace(lock, conda=tuple(packages[name] for name in sorted(packages)))
