"""The user environment of another installer, taken over in place: all that is in it stays, and it becomes ours.

Its folder is moved below ``envs``, and a link stands where it was, so that what names the old path goes on
working: programs' first lines, notebooks that run, people's habits. What we want of it and isn't there is added in
another environment beside it; where that can't be had, people go on working with what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine.facts import EnvironmentFact, Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import canonical_name
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import TljhError
from tljh.resources.conda.environment import package_of_record, specs_of_history, specs_of_record
from tljh.resources.environments.environment import next_number, pins_of
from tljh.resources.locks.lock import BY_HAND, CONDA, RECORD, CondaPackage, Lock, Requested, record_of
from tljh.resources.predecessor import wanted_for_itself
from tljh.stages.context import Context

TAKEN_OVER = "taken over"
"""Where ``Lock.sources`` says of an environment that another installer made it, and what of ours it has not."""
MISSING = "missing"


# ---- looking


def look(context: Context, asked: Sequence[Requested]) -> None:
    """See whether there is one to take over; from then on it is looked at as if it were ours already.

    Args:
        asked: All that the user environment is to hold.
    """
    link = context.paths.user
    fact = context.facts.environment(link)
    status = context.machine.status(link)
    if fact is None or status is None or status.kind != "directory" or not fact.has_python:
        return
    if fact.record and not _is_taken_over(Lock.of_record(fact.record)):
        return
    number = next_number(context.facts, link.name, context.paths.envs)
    place = context.facts.real_path(context.paths.envs) / f"{link.name}-{number}"
    lock = _lock_of(context, fact, asked)
    record = json.loads(record_of(lock, fact.packages))
    context.facts.assume(link, replace(fact, path=place, record=record), link)


def _is_taken_over(lock: Lock | None) -> bool:
    return lock is not None and TAKEN_OVER in lock.sources


def _lock_of(context: Context, fact: EnvironmentFact, asked: Sequence[Requested]) -> Lock:
    """What it holds, as if built from a lock: what is asked for and there, and what somebody wanted."""
    records = _records(context.facts.real_path(fact.path))
    conda = {name: _package(said) for name, said in records.items()}
    missing = _missing(context, fact, conda.values(), asked)
    met = [row for row in asked if row not in missing]
    lines = [f"{name}{_spaced(pin)}" for name, pin in pins_of(fact).items() if not name.startswith(CONDA)]
    said = {MISSING: "; ".join(row.requirement for row in missing)}
    wanted = _wanted(context, fact, records, {row.name.removeprefix(CONDA) for row in asked})
    rows = tuple(conda[name] for name in sorted(conda))
    return Lock((*met, *wanted), tuple(lines), sources={TAKEN_OVER: said}, conda=rows)


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """What ``conda-meta`` says of each package (CEP 34); a record that is empty or cut off doesn't count."""
    found = {}
    for entry in sorted(path.glob("conda-meta/*.json")):
        try:
            said = json.loads(entry.read_text())
            found[str(said["name"])] = said
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _package(said: Mapping[str, Any]) -> CondaPackage:
    known = {"url": "", "subdir": "noarch", "build": "", "build_number": 0, **said}
    return package_of_record(known)


def _spaced(pin: str) -> str:
    return f" {pin}" if pin.startswith("@") else pin


def _missing(
    context: Context, fact: EnvironmentFact, conda: Iterable[CondaPackage], asked: Sequence[Requested]
) -> list[Requested]:
    """What is asked for and not there. Of our own list any version will do: people work with it today."""
    versions = {canonical_name(name): pin.partition("=")[0] for name, pin in fact.conda.items()} | fact.packages
    specs = [row for row in asked if row.manager == "conda"]
    unmet: set[str] = set()
    if specs and fact.conda:
        said = {"packages": [asdict(package) for package in conda], "specs": [row.requirement for row in specs]}
        unmet = set(context.conda.ask("check", said, specs)["unmet"])
    return [row for row in asked if not _is_there(row, versions, unmet)]


def _is_there(row: Requested, versions: Mapping[str, str], unmet: set[str]) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    if row.manager in ("channel", "if there") or not row.name:
        return True
    if row.manager == "conda":
        return row.requirement not in unmet
    version = versions.get(row.name)
    if version is None or row.origin == "core":
        return version is not None
    try:
        wanted = Requirement(row.requirement)
    except InvalidRequirement:
        return True
    return wanted.url is not None or wanted.specifier.contains(version, prereleases=True)


def _wanted(
    context: Context, fact: EnvironmentFact, records: Mapping[str, Mapping[str, Any]], asked: set[str]
) -> list[Requested]:
    """What somebody put there for itself: conda remembers it; so does pip."""
    from importlib.metadata import distributions

    path = context.facts.real_path(fact.path)
    history = context.facts.text(path / "conda-meta" / "history")
    named = set(specs_of_history(history)) | {name for name, said in records.items() if specs_of_record(said)}
    rows = [
        Requested(f"{name} =={records[name]['version']}", BY_HAND, "conda")
        for name in sorted(named & records.keys() - asked)
        if canonical_name(name) not in asked
    ]
    sites = [str(site) for site in path.glob("lib/python3*/site-packages")]
    tops = wanted_for_itself(list(distributions(path=sites)))
    pins = pins_of(fact)
    return rows + [
        Requested(f"{name}{_spaced(pins[name])}", BY_HAND) for name in sorted(tops & fact.packages.keys() - asked)
    ]


def as_it_is(
    context: Context, link: Path, lock: Lock | None, asked: Sequence[Requested], error: TljhError
) -> Lock:
    """An environment that was taken over, where what it lacked then can't be added; it serves as it did.

    Args:
        lock: What it holds.
        asked: All that it is to hold.
        error: Why it can't.

    Raises:
        TljhError: it is not that: ``error``.
    """
    there = {row for row in lock.requested if row.origin != BY_HAND} if lock else set()
    lacking = "; ".join(row.requirement for row in asked if row not in there)
    if lock is None or not _is_taken_over(lock) or lock.sources[TAKEN_OVER].get(MISSING, "") != lacking:
        raise error
    context.conda.forget()
    context.reporter.warn(
        f"{link} is used as it is: {lacking} could not be added ({error.what.splitlines()[0]}); "
        "'tljh install' tries again"
    )
    return lock


# ---- changing


def resources(context: Context) -> Iterable[Resource]:
    """The move, where there is one to be made."""
    link = context.paths.user
    fact = context.facts.environment(link)
    if fact and context.facts.moving.get(fact.path) == link:
        yield Adopted("takeover:user", link=link, place=context.paths.envs / fact.path.name, record=fact.record)


@dataclass
class Adopted(Resource):
    """A user environment that another installer made, at a place of ours.

    Attributes:
        link: Where it was, and where a link to it is then.
        place: Where it is to be.
        record: What is to be written into it.
    """

    link: Path = field(kw_only=True)
    place: Path = field(kw_only=True)
    record: Mapping[str, Any] = field(kw_only=True, repr=False)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {str(self.link): f"moved to {self.place}, with all that is in it"}

    def observe(self, facts: Facts) -> State:
        status = facts.machine.status(self.link)
        return {} if status and status.kind == "directory" else self.desired()

    def effect(self, diff: Diff) -> str:
        return f"{self.link} is a link to it; what runs from it goes on"

    def change(self, diff: Diff, machine: Machine) -> None:
        machine.write_file(self.link / RECORD, json.dumps(self.record, indent=1).encode())
        machine.make_link(self.place, f"{self.place.parent.name}/{self.place.name}")
        machine.exchange(self.link, self.place)
