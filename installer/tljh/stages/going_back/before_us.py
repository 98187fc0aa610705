"""Going back to generation 0: the TLJH that was here before is put back as it was, and ours is taken away.

Each step looks whether it is done already, so a rollback that was cut off goes on when it is run again. What this
program itself needs goes last, when the old hub serves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tljh.configurer import load_secrets, with_defaults
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import Change, Plan, make_plan
from tljh.engine.resource import Resource
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources import predecessor
from tljh.resources.environments.environment import by_hand, unused
from tljh.resources.file import Link
from tljh.resources.hub_database import Loss, loss, revision_of
from tljh.resources.locks.lock import CONDA
from tljh.resources.remains import BroughtPackages, Gone, unneeded
from tljh.settings.document import Document
from tljh.stages import verification
from tljh.stages.context import Context
from tljh.stages.going_back.old_things import (
    OURS,
    OldDatabase,
    OldFiles,
    OldHubBack,
    OldUser,
    Serving,
    StoppedHub,
    is_folder,
)
from tljh.stages.leaving import uninstall
from tljh.stages.system_packages import marks_kept, restore_marks
from tljh.stages.taking_over import inherited_config, takeover

STAGE = "what was here before"
_GOES = "the command tljh goes; to come here again, run the bootstrap script"
NOT_OURS = ("rules", "traefik.toml")
"""What an uninstall removes of ``state/`` and TLJH has too."""


@dataclass
class Return:
    """What is to be done, found out before anybody is asked.

    Attributes:
        record: What is known of what was here before.
        notes: What is good to know before one agrees, a sentence each.
    """

    context: Context
    record: Mapping[str, Any]
    plan: Plan
    notes: Sequence[str]


def look(context: Context) -> Return:
    """Find out what goes back.

    Raises:
        TljhError: there was nothing here before, or something of it is gone; nothing was changed.
    """
    paths, record = context.paths, takeover.record_of(context.store)
    if record is None and predecessor.find(context.machine, paths):
        return Return(context, {}, Plan((), ()), [_GOES])  # it is back; what is left of ours goes
    if record is None:
        raise TljhError(
            "nothing was here before the first install",
            todo="'tljh uninstall' takes all away; nothing was changed",
        )
    _refuse_what_is_gone(context, record)
    lost = _loss(paths)
    resources: list[Resource] = [
        StoppedHub("old services", paths=paths, manager=context.manager),
        OldDatabase("hub-database", paths=paths, lost=lost),
        OldFiles("old files", paths=paths, names=[Path(name) for name in record["files"]]),
        OldHubBack("old hub", paths=paths),
        *([Link.at(takeover.COMMAND, record["command"])] if record["command"] else []),
        *([OldUser("old user environment", paths=paths, name=record["user"])] if record["user"] else []),
        Serving("old hub serves", paths=paths, manager=context.manager),
    ]
    for resource in resources:
        resource.stage = STAGE
    owned = {name: keys for name, keys in context.store.owned().items() if not _is_old(name, record)}
    plan = make_plan([*resources, *reversed(_brought(context, owned))], context.facts, owned)
    return Return(context, record, plan, list(_notes(context, record, lost)))


def _brought(context: Context, owned: Mapping[str, Mapping[str, str]]) -> list[Resource]:
    """What is ours elsewhere than below our own folder, the first to go first."""
    units = uninstall.by_age(context, owned, ("unit",))
    found = [uninstall.forgotten_one(context, owned, name, stage) for name, stage in units]
    return [*found, *uninstall.owned_things(context, owned, purge=False)]


def _is_old(name: str, record: Mapping[str, Any]) -> bool:
    """Whether a resource was there before, and another step puts it back."""
    kind, _, place = name.partition(":")
    return kind in ("file", "link") and place in (*record["files"], str(takeover.COMMAND))


def _refuse_what_is_gone(context: Context, record: Mapping[str, Any]) -> None:
    paths, machine = context.paths, context.machine
    hub = paths.hub if is_folder(machine, paths.hub) else takeover.kept_hub(paths)
    user = paths.user if is_folder(machine, paths.user) else paths.envs / record["user"]
    needed = [hub / "bin", *([user / "bin"] if record["user"] else [])]
    needed += [takeover.kept_file(paths, Path(name)) for name in record["files"]]
    gone = [str(path) for path in needed if machine.status(path) is None]
    if gone:
        raise TljhError(
            f"what was here before is not there any more: {', '.join(gone)}",
            todo="bring it back from a backup of this machine, then try again; nothing was changed",
        )


def _loss(paths: Paths) -> Loss | None:
    """What is lost where the database of then takes the place of that of now; ``None`` where it need not."""
    then = takeover.kept_database(paths)
    if not then.exists() or not revision_of(paths.hub_database):
        return None
    same = revision_of(then) == revision_of(paths.hub_database)
    return None if same else loss(paths.hub_database, then)


def _notes(context: Context, record: Mapping[str, Any], lost: Loss | None) -> Iterator[str]:
    if lost:
        yield f"the hub's database is that of then again, and a copy is made of that of now: {lost.in_words}"
    yield "passwords that people have set since, homes and accounts are kept"
    path = context.paths.config_file
    if context.machine.read(path) != context.machine.read(takeover.kept_file(context.paths, path)):
        yield f"config.yaml is that of then again; that of now is kept beside it, as {path.name}.before-rollback-…"
    user = context.facts.environment(context.paths.user)
    if user and user.record and user.path.name != record["user"]:
        names = sorted(name.removeprefix(CONDA) for name in by_hand(user))
        hands = f"; installed by hand in the one of now: {', '.join(names)}" if names else ""
        yield f"the user environment is that of then again{hands}"
    yield _GOES


# ---- doing


def carry_out(found: Return, command: str, *, stay: bool = False) -> list[Change]:
    """Put back what was here before, and take ours away.

    Args:
        stay: Whether the environment stays that this runs from: an install that has failed runs from it, too.

    Raises:
        TljhError: something could not be done; the same command goes on from there.
    """
    context, store = found.context, found.context.store
    run = store.begin_run(command)
    store.end_killed_runs(run)
    applier = Applier(context.machine, context.facts, store, run)
    changes: list[Change] = []
    with store.failing(run):
        if found.record:
            changes = _put_back(found, applier)
            _forget(context, run, command)
        with context.reporter.stage("clean-up"):
            _clean_up(context, applier)
    store.end_run(run, "done")
    if not stay:
        _remove_this_program(context)
    return changes


def _put_back(found: Return, applier: Applier) -> list[Change]:
    context = found.context
    stops = [step for step in found.plan.puts if isinstance(step.resource, StoppedHub)]
    rest = [step for step in found.plan.puts if step not in stops]
    with context.reporter.stage(STAGE):
        changes = [line for step in (*stops, *found.plan.drops, *rest) for line in applier.apply(step)]
        version = verification.wait_for_hub(_settings(context), context.manager)
        context.reporter.note(f"JupyterHub {version} answers")
    return changes


def _settings(context: Context) -> Mapping[str, Any]:
    """What the old config.yaml says, as far as we understand it: where its hub is to answer."""
    path = context.paths.config_file
    text = (context.machine.read(path) or b"").decode(errors="replace")
    document = Document(text, str(path))
    inherited_config.inherit(document, inherited_config.mended(text, str(path))[0])
    return with_defaults(document.as_dict(), load_secrets(context.paths.state))


def _remove_this_program(context: Context) -> None:
    """At the very end; from here on nothing may be imported any more."""
    envs = context.paths.envs
    for path in (Path(os.path.realpath(sys.prefix)), envs, context.paths.bin, OURS):
        there = context.machine.status(path)
        if there and not (path == envs and any(envs.iterdir())):
            context.machine.remove(path)


def _clean_up(context: Context, applier: Applier) -> None:
    """What only we needed: environments that nothing runs from, caches, apt's packages that nobody else needs."""
    paths, facts, machine = context.paths, Facts(context.machine), context.machine
    left = unused(facts, paths.envs, {Path(os.path.realpath(sys.prefix)).name})
    links = [path for path in machine.at(paths.envs).glob("*") if path.is_symlink()]
    in_use = machine.run(["pgrep", "-af", f"{paths.envs}/"], check=False).stdout
    left += [path for path in links if f"{path}/" not in in_use]
    left += [takeover.folder(paths), *uninstall.made_anew(paths, but=NOT_OURS)]
    if machine.status(paths.plugins_d) and not any(paths.plugins_d.iterdir()):
        left.append(paths.plugins_d)
    owned = context.store.owned()
    restore_marks(context.store, machine)
    packages = unneeded(machine, facts, uninstall.brought_packages(owned))
    rest: list[Resource] = [
        Gone("files", paths=left, ours_alone=True, stage="clean-up"),
        BroughtPackages("apt", names=packages, purge=False, stage="clean-up"),
    ]
    with marks_kept(context.store, machine):
        for step in make_plan(rest, facts, owned).drops:
            applier.apply(step)
    for resource, keys in context.store.owned().items():
        context.store.disown(resource, keys)


def _forget(context: Context, run: int, command: str) -> None:
    """Nothing is wished for any more; what happened stays in the history."""
    zero = context.store.generation(takeover.ZERO) or {}
    context.store.forget_all()
    kept = {key: value for key, value in zero.items() if key not in ("id", "takeover")}
    context.store.add_generation(run, command, {**kept, "of": takeover.ZERO})
    takeover.forget(context)
