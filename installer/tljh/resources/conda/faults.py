"""What rattler failed at, in our words before its own, and who asked for what it speaks of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tljh.engine.outside import fault
from tljh.errors import TljhError
from tljh.resources.locks.lock import BY_HAND, CONDA, Requested


def indented(text: str) -> str:
    """The last lines of what a program said, to stand below our own words."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-25:])


# what the worker calls a fault → what it means, what to do
_FAULTS = {
    "spec": (
        "this is not a conda spec",
        "write a name, or a name and a version: numpy, 'numpy >=2,<3', numpy=2.1",
    ),
    "channel": (
        "a conda channel cannot be used",
        "check its address and the network (proxies, .condarc), or take packages of PyPI, as provider auto does "
        "for a new environment: tljh-config set user_environment.provider pypi",
    ),
    "solve": ("the conda packages asked for cannot be installed together", "correct what asks for it"),
    "hash": (
        "a conda package is not the one that the channel's index or the lock speaks of",
        "find out who changed it; a channel that is being updated may be right again in a while",
    ),
    "install": ("a conda package could not be installed", "mend what it complains of"),
}


def explained(answer: Mapping[str, str], requested: Sequence[Requested]) -> TljhError:
    """What rattler failed at, in our words before its own, and who asked for what it speaks of."""
    what, todo = _FAULTS[answer["fault"]]
    text, about = answer["text"], answer.get("about", "")
    found = fault(text, "the channel", "how it is reached (proxies, .condarc)")
    if found and answer["fault"] == "channel":
        what = f"{what}: {found[0]}"
    elif found and answer["fault"] == "install":
        what, todo = found
    if re.search(r"hash\s?mismatch|corrupt", text.lower()):
        what, todo = _FAULTS["hash"]
    names = "; ".join(_blamed(text, about, requested))
    head = f"{what}: {about}" if about else what
    return TljhError(
        f"{head}{' (' + names + ')' if names else ''}\n{indented(text)}",
        todo=f"{todo}; what serves now was not changed",
    )


def _blamed(text: str, about: str, requested: Sequence[Requested]) -> list[str]:
    """``plugin x asks for numpy <2`` for each wish that the text speaks of."""
    rows = [
        row for row in requested if row.manager in ("conda", "channel") and row.origin not in ("core", BY_HAND)
    ]
    exact = [row for row in rows if row.requirement == about]
    words = set(text.replace(",", " ").split())
    speaks = exact or [row for row in rows if (row.name.removeprefix(CONDA) or row.requirement) in words]
    return [f"{row.origin} asks for {row.requirement}" for row in speaks]
