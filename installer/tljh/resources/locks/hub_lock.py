"""``requirements-hub.lock``: the hub environment's packages, each with its hashes; pip and uv read it too.

What comes from this machine only, such as the installer itself and plugins of a folder, has no place in it: it is
named in a comment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tljh.errors import TljhError
from tljh.resources.environments.pip_part import joined
from tljh.resources.locks.lock import Lock, Requested

FILE = "requirements-hub.lock"
OURS = ("the-littlest-jupyterhub",)
"""What bootstrap brings: the installer itself, in whatever version it was asked for."""
HEADER = """\
# Written by "tljh lock": what the hub environment holds, with hashes. Don't edit it.
# It is used with the conda-lock.yml beside it: tljh install --lock FOLDER
"""


@dataclass(frozen=True)
class HubLock:
    """What a ``requirements-hub.lock`` says.

    Attributes:
        place: Its path or URL, for messages.
        lines: Canonical name → the line that gives exactly this.
    """

    place: str
    lines: Mapping[str, str]

    @property
    def pins(self) -> dict[str, str]:
        """Canonical name → ``==version`` or ``@ url``."""
        return Lock((), tuple(self.lines.values())).pins

    def agrees_with(self, pins: Mapping[str, str]) -> bool:
        """Whether an environment with these packages is as this lock has it."""
        mine = self.pins
        return all(_is_apart(name, pin) or mine.get(name) == pin for name, pin in pins.items())

    def applied(self, lock: Lock) -> Lock:
        """A resolve's lock with this one's hashes.

        Raises:
            TljhError: what was resolved is not what this lock has; it says which packages and who asks for them.
        """
        mine = self.pins
        faults = [
            _fault(name, pin, mine.get(name), lock.requested)
            for name, pin in lock.pins.items()
            if not _is_apart(name, pin) and mine.get(name) != pin
        ]
        if faults:
            raise TljhError(
                "the lock does not have what the hub is asked to hold: " + "; ".join(faults),
                whose=self.place,
                todo="write one that has it: tljh lock --upgrade PACKAGE, with the same --plugin; or leave out "
                "what asks for it. Nothing was changed",
            )
        return replace(lock, lines=tuple(self._line(line) for line in lock.lines))

    def _line(self, line: str) -> str:
        name = "" if line.startswith("-") else Requested(line, "").name
        return line if " @ file:" in line or name in OURS else self.lines.get(name, line)


def _fault(name: str, pin: str, locked: str | None, requested: Iterable[Requested]) -> str:
    asking = [f"{row.origin} asks for {row.requirement}" for row in requested if row.name == name]
    has = f"the lock has {locked.removeprefix('==')}" if locked else "which is not in it"
    return f"{name} {pin.removeprefix('==')}, {has}{' (' + ', '.join(asking) + ')' if asking else ''}"


def _is_apart(name: str, pin: str) -> bool:
    """Whether no lock speaks of it: it is the installer, or comes from this machine."""
    return name in OURS or pin.startswith("@ file:")


def parse(text: str, place: str) -> HubLock:
    """What the text of a ``requirements-hub.lock`` says. Options of pip's are passed over.

    Raises:
        TljhError: a line is no exact requirement, or has no hash; the message has its number.
    """
    lines: dict[str, str] = {}
    faults: list[str] = []
    for line in joined(text):
        if line.startswith("-"):
            continue
        requirement = line.partition(" --hash=")[0]
        name = Requested(requirement, "").name
        if not name or not ("==" in requirement or " @ " in requirement):
            faults.append(f"{_where(text, requirement, place)}: {requirement[:60]!r} is not name==version")
        elif " --hash=sha256:" not in line and " @ git+" not in line:
            faults.append(
                f"{_where(text, requirement, place)}: {name} has no sha256; it can be tampered with unseen"
            )
        else:
            lines[name] = line
    if faults or not lines:
        raise TljhError(
            "\n".join(faults[:8]) or f"{place}: there is no package in it",
            todo="get the file anew, or write it anew with tljh lock; nothing was changed",
        )
    return HubLock(place, lines)


def _where(text: str, requirement: str, place: str) -> str:
    """The place of a requirement, with the number of the line that it begins at."""
    beginning = requirement.split()[0]
    numbers = [number for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith(beginning)]
    return f"{place} line {numbers[0]}" if numbers else place


def text_of(lines: Iterable[str], local: Mapping[str, str]) -> str:
    """The text of a ``requirements-hub.lock``.

    Args:
        lines: With hashes.
        local: Name → version of what this machine alone has.
    """
    left_out = [f"# not in it, because it is no package of an index: {n} {v}\n" for n, v in local.items()]
    broken = (line.replace(" --hash=", " \\\n    --hash=") for line in lines)
    return HEADER + "".join(left_out) + "".join(f"{line}\n" for line in broken)
