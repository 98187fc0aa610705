"""conda-lock in an environment of its own: what it requires would bind every plugin of the hub's.

It is made by the first ``tljh lock``, beside the environments that are built and collected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.facts import Facts
from tljh.errors import CommandFailed, TljhError
from tljh.resources.environments.python_environment import Builder
from tljh.resources.locks.entries import entry_of, more_of, pip_entry_of
from tljh.resources.locks.lock import Lock, Requested
from tljh.resources.locks.lock_file import OURS, PlatformLock

REQUIREMENT = Requested("conda-lock>=4.0.3,<4.1", "core")
"""Its writer is no public interface, so only versions that were tried."""
SCRIPT = Path(__file__).with_name("conda_lock_script.py")


@dataclass
class CondaLock:
    """The program.

    Attributes:
        builder: Makes its environment.
        path: Where that is.
    """

    builder: Builder
    path: Path

    def text_of(self, document: Mapping[str, Any]) -> str:
        """The text of a ``conda-lock.yml``.

        Args:
            document: As ``document`` makes it.

        Raises:
            TljhError: conda-lock cannot be had, or does not write it.
        """
        self._provide()
        try:
            command: list[str | Path] = [self.path / "bin" / "python", "-I", SCRIPT]
            return self.builder.machine.run(command, input=json.dumps(document), timeout=300.0).stdout
        except CommandFailed as error:
            said = "\n".join(f"    {line}" for line in error.output.strip().splitlines()[-10:])
            raise TljhError(
                f"conda-lock did not write the lock\n{said}",
                todo=f"remove {self.path} and run the same command again, which makes it anew",
            ) from error

    def _provide(self) -> None:
        """Make its environment, or make it anew where another version is wanted or its Python has gone."""
        machine = self.builder.machine
        fact = Facts(machine).environment(self.path)
        lock = Lock.of_record(fact.record) if fact else None
        if fact and fact.has_python and lock and lock.asks_for_the_same([REQUIREMENT]):
            return
        self.builder.say("making an environment for conda-lock")
        machine.remove(self.path)
        machine.make_directory(self.path.parent)
        # nothing of the hub's holds here
        builder = Builder(machine, self.builder.uv, self.builder.python, self.builder.cache, say=self.builder.say)
        builder.build(builder.resolve([REQUIREMENT], {}), self.path)


@dataclass(frozen=True)
class Locked:
    """What is to be written for one platform.

    Attributes:
        part: Its packages.
        requested: What they were made from.
    """

    part: PlatformLock
    requested: Sequence[Requested] = field(default_factory=tuple)


def document(parts: Mapping[str, Locked], channels: Sequence[str], sources: Sequence[str]) -> dict[str, Any]:
    """What ``conda_lock_script`` is told.

    Args:
        parts: By platform.
        channels: Names or URLs, without credentials.
        sources: What says what is wanted, for people.

    Raises:
        TljhError: a package lacks what the format demands.
    """
    packages: list[dict[str, Any]] = []
    ours: dict[str, dict[str, Any]] = {}
    for platform, locked in sorted(parts.items()):
        part = locked.part
        packages += [entry_of(package, platform) for package in part.conda]
        packages += [pip_entry_of(package, platform) for package in part.pip]
        more = {package.name: known for package in part.conda if (known := more_of(package, platform))}
        sizes = {package.name: package.size for package in part.conda if package.size is not None}
        said = {"python": part.python, "packages": more, "brings": part.brings, "sizes": sizes}
        ours[platform] = {name: value for name, value in said.items() if value}
    return {
        "channels": list(channels),
        "platforms": sorted(parts),
        "content_hash": {platform: _hash(locked.requested) for platform, locked in parts.items()},
        "sources": list(sources),
        "custom": {OURS: json.dumps(ours, sort_keys=True)},
        "packages": packages,
    }


def _hash(requested: Sequence[Requested]) -> str:
    wishes = sorted(f"{row.manager} {row.requirement}" for row in requested)
    return hashlib.sha256("\n".join(wishes).encode()).hexdigest()
