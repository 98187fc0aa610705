"""What environments come to when a lock is renewed: a solve in which only what is to move moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tljh.engine.facts import EnvironmentFact
from tljh.engine.parsers import canonical_name
from tljh.resources.conda_environment import package_of_record
from tljh.resources.environment import by_hand
from tljh.resources.lock import BY_HAND, CONDA, CondaPackage, Lock, Requested
from tljh.stages import solving
from tljh.stages.context import Context


def moves(context: Context, name: str) -> bool:
    """Whether a package is to be looked for anew.

    Args:
        name: A key of ``Lock.pins``.
    """
    named = context.options.upgrade
    # conda writes jupyter_client, the index jupyter-client
    return named is not None and (
        not named or canonical_name(name.removeprefix(CONDA)) in map(canonical_name, named)
    )


def renewed(context: Context, link: Path, asked: Sequence[Requested], provider: str) -> Lock:
    """What an environment would hold.

    Args:
        link: The environment's link.
        provider: ``conda`` or ``pypi``.

    Raises:
        TljhError: there is no solution.
    """
    fact = context.facts.environment(link)
    hands = by_hand(fact) if fact and fact.record else {}
    base = base_of(context, link)
    rows = [*asked, *(_freed(context, row) for row in solving.kept(context, fact, hands))]
    pins = {**base.pins, **hands} if base else {}
    prefer = {name: pin for name, pin in pins.items() if not name.startswith(CONDA) and not moves(context, name)}
    if provider == "pypi":
        return context.builder.resolve(rows, prefer)
    conda = _packages(context, base, fact, hands)
    stay = [package for package in conda if not moves(context, package.name)]
    return context.conda.resolve(rows, prefer, installed=stay, place=solving.next_place(context, link))


def base_of(context: Context, link: Path) -> Lock | None:
    """What an environment is to hold before anything moves: by the lock that is followed, else as it is."""
    fact = context.facts.environment(link)
    lock = Lock.of_record(fact.record) if fact else None
    if context.held and context.held.digest(link.name):
        part = context.held.part(link.name)
        return Lock(lock.requested if lock else (), tuple(part.lines), conda=part.conda)
    return lock


def _freed(context: Context, row: Requested) -> Requested:
    """A wish of the admin's own hands, without its version where it is to move."""
    name = row.name
    return Requested(name.removeprefix(CONDA), BY_HAND, row.manager) if name and moves(context, name) else row


def _packages(
    context: Context, base: Lock | None, fact: EnvironmentFact | None, hands: Mapping[str, str]
) -> list[CondaPackage]:
    """conda's packages of the base, and the admin's own."""
    conda = {package.name: package for package in (base.conda if base else ())}
    for name in _bare(hands):
        if fact:
            conda[name] = package_of_record(context.facts.conda_record(fact.path, name))
    return [conda[name] for name in sorted(conda)]


def _bare(names: Iterable[str]) -> list[str]:
    return [name.removeprefix(CONDA) for name in names if name.startswith(CONDA)]
