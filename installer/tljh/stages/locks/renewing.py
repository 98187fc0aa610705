"""What environments come to when versions move: a solve in which only what is to move does.

``options.upgrade`` names environments, of which everything moves, and packages, which move wherever they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tljh.engine.facts import EnvironmentFact
from tljh.engine.parsers import canonical_name
from tljh.errors import TljhError
from tljh.plugins.manager import suggestion
from tljh.resources.conda.environment import package_of_record
from tljh.resources.environments import inventory
from tljh.resources.environments.environment import by_hand
from tljh.resources.locks.lock import BY_HAND, CONDA, CondaPackage, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.locks import solving


def _all_moves(context: Context, environment: str) -> bool:
    """Whether every package of an environment is to be looked for anew."""
    named = context.options.upgrade
    return named is not None and (not named or environment in named)


def moves(context: Context, environment: str, name: str) -> bool:
    """Whether a package of an environment is to be looked for anew.

    Args:
        name: A key of ``Lock.pins``.
    """
    # conda writes jupyter_client, the index jupyter-client
    named = map(canonical_name, context.options.upgrade or ())
    return _all_moves(context, environment) or canonical_name(name.removeprefix(CONDA)) in named


def concerns(context: Context, environment: str) -> bool:
    """Whether anything of an environment may move: who names a package means it wherever it is."""
    named = set(context.options.upgrade or ())
    return _all_moves(context, environment) or bool(named - {*inventory.links(context.paths, context.facts)})


def held_by(context: Context) -> dict[str, set[str]]:
    """Environment → the names of the packages that it holds, as the index writes them."""
    found: dict[str, set[str]] = {}
    for environment, link in inventory.links(context.paths, context.facts).items():
        fact = context.facts.environment(link)
        lock = Lock.of_record(fact.record) if fact else None
        pins = {**(lock.pins if lock else {}), **(by_hand(fact) if fact and lock else {})}
        found[environment] = {canonical_name(name.removeprefix(CONDA)) for name in pins}
    return found


def refuse(context: Context) -> None:
    """Whether an install can move what is named, before anything is solved.

    Raises:
        TljhError: the machine follows a lock, or nothing here has such a name.
    """
    named = context.options.upgrade or ()
    if context.held is not None:
        words = " ".join(["tljh lock --upgrade", *named])
        raise TljhError(
            "this machine follows a lock, which says what version of everything it has",
            todo=f"renew the lock: {words}; then tljh install. Nothing was changed",
        )
    held = held_by(context)
    known = {*held, *set().union(*held.values())}
    for name in named:
        if name not in held and canonical_name(name) not in known:
            raise TljhError(
                f"there is neither an environment nor a package {name} here{suggestion(name, sorted(known))}",
                todo=f"name a package (tljh env packages shows them) or an environment: {', '.join(held)}",
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
    rows = [*asked, *(_freed(context, link.name, row) for row in solving.kept(context, fact, hands))]
    pins = {**base.pins, **hands} if base else {}
    ours = {name: pin for name, pin in pins.items() if not name.startswith(CONDA)}
    prefer = {name: pin for name, pin in ours.items() if not moves(context, link.name, name)}
    if provider == "pypi":
        return context.builder.resolve(rows, prefer, refresh=ours.keys() - prefer.keys())
    conda = _packages(context, base, fact, hands)
    stay = [package for package in conda if not moves(context, link.name, package.name)]
    return context.conda.resolve(rows, prefer, installed=stay, place=solving.next_place(context, link))


def base_of(context: Context, link: Path) -> Lock | None:
    """What an environment is to hold before anything moves: by the lock that is followed, else as it is."""
    fact = context.facts.environment(link)
    lock = Lock.of_record(fact.record) if fact else None
    if context.held and context.held.digest(link.name):
        part = context.held.part(link.name)
        return Lock(lock.requested if lock else (), tuple(part.lines), conda=part.conda)
    return lock


def _freed(context: Context, environment: str, row: Requested) -> Requested:
    """A wish of the admin's own hands, without its version where it is to move."""
    name = row.name
    free = name and moves(context, environment, name)
    return Requested(str(name).removeprefix(CONDA), BY_HAND, row.manager) if free else row


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
