"""Taking all away: the same line, started from nothing. What is ours goes, in reverse order; nothing else does.

What an install made, the store knows (``owned``). Beside it go the environments, caches and what the services
wrote, which are below our own folders. The hub environment, from which this runs, goes last, so that an uninstall
that was cut off goes on when it is run again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from tljh import systemd
from tljh.configurer import load_secrets, with_defaults
from tljh.engine import lock
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.files import fresh_prefix, scratch_prefix
from tljh.engine.machine import Machine
from tljh.engine.parsers import Account
from tljh.engine.plan import Change, Plan, Step, make_plan
from tljh.engine.resource import Diff, Resource
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.resources import predecessor
from tljh.resources.apt import finish_interrupted
from tljh.resources.people import MadeGroups, People, RunningServers, ancestors, servers_of
from tljh.resources.remains import BroughtPackages, Gone, StoppedService, StoppedSupervisor, unneeded
from tljh.settings.document import Document
from tljh.stages import core_stages
from tljh.stages.config import ConfigKeys
from tljh.stages.context import Context, Options
from tljh.stages.contributed import deployment, plugin_stages
from tljh.stages.hub_environment import COMMANDS, COMMANDS_FOLDER
from tljh.stages.leaving import forgotten, removal
from tljh.stages.leaving import uninstall_words as words
from tljh.stages.system_packages import ARRIVED, marks_kept, restore_marks
from tljh.user import GROUPS, HOMES

OURS_IN_STATE = (
    "wheels", "bundle", "lock", "rules", "servers", "traefik.toml", "plugin-services.json", "plugins-disabled",
    "plugin-traits.json", "supervisord.conf", "supervisord.log", "supervisord.pid", "supervisor.sock",
    "jupyterhub.log", "traefik.log", "hub-database", "admins.json",
)  # fmt: skip
"""What goes of ``state/`` without ``--purge``: what an install makes anew."""
SERVICES = ("jupyterhub", "traefik")


@dataclass
class Uninstall:
    """What is to be done, found out before anybody is asked.

    Attributes:
        last: What this program itself needs; goes when all else is gone.
        stays: What is left on the machine, a sentence each.
        lost: What ``--purge`` deletes of people's and of the admin's, a sentence each.
        servers: People's servers that are stopped.
    """

    context: Context
    plan: Plan
    last: Program
    purge: bool
    stays: Sequence[str]
    lost: Sequence[str]
    servers: Sequence[str]

    def changes(self) -> list[Change]:
        """Every line of the plan."""
        return self.plan.changes() + [line for step in self.last_steps() for line in step.changes()]

    def last_steps(self) -> Sequence[Step]:
        """What is done at the very end."""
        return make_plan([self.last], self.context.facts, {}).drops


@dataclass
class Program(Gone):
    """What this program needs itself. Its environment is moved away first, so that it is there or not at all."""

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.drop:
            path = Path(name)
            if path.parent.name == "envs":
                # an install that comes after a kill removes it, if this one can't
                machine.move(path, path.with_name(f"{fresh_prefix()}{path.name}"))
            else:
                machine.remove_tree(path)


@contextlib.contextmanager
def opened(paths: Paths, reporter: Reporter, *, planning: bool) -> Iterator[Context]:
    """As ``run.opened``, without what an uninstall can do without: all may be half gone already."""
    os.umask(0o022)
    held = -1 if planning else lock.acquire(paths.lock, say=reporter.say)
    machine = Machine(inherit=() if planning else (held,))
    scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix()))
    nothing = cast("Any", None)  # nothing is built
    try:
        # one that was cut off at its very end has no store any more
        with Store(paths.store, read_only=planning or not paths.store.exists()) as store:
            yield Context(
                paths, Options(), machine, Facts(machine), store, reporter, nothing, nothing, scratch,
                planning=planning, with_systemd=systemd.is_running(),
            )  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not planning:
            lock.release(held)


# ---- looking


def look(context: Context, *, purge: bool) -> Uninstall:
    """Find out what goes and what stays.

    Raises:
        TljhError: it can't be done from here, or not by this program.
    """
    _refuse(context)
    _read_config(context)
    owned = context.store.owned()
    context.stage_code = deployment.StageCode(context)
    if not context.planning:
        finish_interrupted(context.machine, context.reporter.say)
        restore_marks(context.store, context.machine)
    packages = unneeded(context.machine, context.facts, brought_packages(owned), purge=purge)
    people = _people(context, owned)
    drops = [
        *_services(context, owned),
        *owned_things(context, owned, purge),
        *(_of_people(owned, people) if purge else ()),
        BroughtPackages("apt", packages, purge, context.reporter.say, stage="system packages"),
        Gone("files", paths=list(_files(context)), ours_alone=True, stage="clean-up"),
    ]
    resources = [*_last_words(context, purge), *reversed(drops)]
    plan = plugin_stages.destroyed_first(make_plan(resources, context.facts, owned))
    context.stage_code.leaving = deployment.dropped(plan)
    servers = [name for step in plan.drops if isinstance(step.resource, RunningServers) for name in step.diff.drop]
    last = Program("this program", paths=list(_program(context, purge)), stage="clean-up")
    brought = (name for name in brought_packages(owned) if name not in packages)
    kept = [name for name in brought if context.facts.deb_packages.version(name)]
    stays = list(words.stays(context, owned, people, kept, purge=purge))
    lost = list(words.lost(context, owned, people)) if purge else []
    return Uninstall(context, plan, last, purge, stays, lost, servers)


def _refuse(context: Context) -> None:
    if context.store.generation(0) or predecessor.find(context.machine, context.paths):
        raise TljhError(
            "there was a TLJH on this machine before, whose users, homes and settings this hub has taken over",
            todo="'tljh rollback 0' brings that one back and takes this one away",
        )
    mine = ancestors(context.machine, os.getpid())
    groups = (context.machine.read(Path("/proc/self/cgroup")) or b"").decode()
    local = servers_of(context.paths).processes(context.machine)
    if "/jupyter-" in groups or mine & local.keys():
        raise TljhError(
            "this runs in somebody's server of the hub, which would be stopped before all is done",
            todo="log in to this machine itself (ssh, its console) and run it there; nothing was changed",
        )


def _read_config(context: Context) -> None:
    """What config.yaml says; a broken one keeps nobody from taking all away."""
    try:
        text = context.paths.config_file.read_text()
        context.config = with_defaults(Document(text).as_dict(), load_secrets(context.paths.state))
        context.config_text = text
    except (OSError, TljhError):
        context.config = with_defaults({}, {})


def _last_words(context: Context, purge: bool) -> Iterator[Resource]:
    """What is said and done while plugins are still there; what they put into config.yaml, if that stays."""
    for resource in removal.Removal().resources(context):
        resource.stage = removal.Removal.name
        yield resource
    if context.config_text and not purge:
        settings = removal.withdrawn(context, Document(context.config_text))
        origins = {".".join(row.path): row.plugin for row in settings}
        path = context.paths.config_file
        yield ConfigKeys("config.yaml", path=path, settings=settings, origins=origins, stage="config")


# ---- what goes, the first first


def _services(context: Context, owned: Mapping[str, Mapping[str, str]]) -> Iterator[Resource]:
    """All that runs: plugins' units, the hub (so that nobody starts a server), the proxy, people's servers."""
    for name, stage in by_age(context, owned, ("unit",)):
        yield forgotten_one(context, owned, name, stage)
    for name in SERVICES:
        yield StoppedService(f"service:{name}", manager=context.manager, stage="services")
    yield StoppedSupervisor("supervisord", manager=context.manager, stage="services")
    yield replace(servers_of(context.paths), stage="services")


def owned_things(context: Context, owned: Mapping[str, Mapping[str, str]], purge: bool) -> Iterator[Resource]:
    """What the store says is ours; what is below our own folder goes with it."""
    kinds = ("file", "link", "directory", "member", "account", "group", deployment.KIND)
    for name, stage in by_age(context, owned, kinds):
        kind, _, place = name.partition(":")
        path = Path(place)
        inside = kind in ("file", "link", "directory") and context.paths.prefix in path.parents
        plugins = context.paths.config in path.parents and kind != "directory" and not purge
        commands = kind == "link" and path.parent == COMMANDS_FOLDER and path.name in COMMANDS
        if (not inside or plugins) and not commands:
            yield forgotten_one(context, owned, name, stage)


def by_age(context: Context, owned: Iterable[str], kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Ids of these kinds, each with its stage, in the reverse of the order in which an install makes them."""
    order = {stage.name: stage.priority for stage in core_stages()}
    found = {
        name: (order.get(stage, order["plugins' files"]), number, stage)
        for name, (stage, number) in context.store.made_by().items()
    }
    mine = {name: found.get(name, (0, 0, "clean-up")) for name in owned if name.partition(":")[0] in kinds}
    return [(name, mine[name][2]) for name in sorted(mine, key=lambda name: mine[name], reverse=True)]


def forgotten_one(context: Context, owned: Mapping[str, Mapping[str, str]], name: str, stage: str) -> Resource:
    """What is ours and nobody wants any more, as a resource that goes."""
    resource = forgotten.makers(context)[name.partition(":")[0]](name)
    resource.stage, resource.origins = stage, dict(owned[name])
    return resource


def _people(context: Context, owned: Mapping[str, Mapping[str, str]]) -> dict[str, Account]:
    """The accounts that were made for people."""
    return {name: a for name, a in context.store.accounts().items() if f"account:{name}" not in owned}


def _of_people(owned: Mapping[str, Mapping[str, str]], people: Mapping[str, Account]) -> Iterator[Resource]:
    yield People("people", known=people, stage="accounts")
    yield Gone("homes", paths=[Path(home) for home in owned.get(HOMES, {})], stage="accounts")
    yield MadeGroups("groups", names=[*owned.get("groups", {}), *owned.get(GROUPS, {})], stage="accounts")


def brought_packages(owned: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The Debian packages that installs brought, wanted ones and those that came with them, by name."""
    return sorted({*owned.get("apt", {}), *owned.get(ARRIVED, {})})


def made_anew(paths: Paths, but: Iterable[str] = ()) -> Iterator[Path]:
    """What an install, a lock or a start makes where it is missing; nobody but root can write in it.

    Args:
        but: Names below ``state`` to leave out.
    """
    yield from (paths.cache, paths.tools, paths.run)
    yield from (paths.state / name for name in OURS_IN_STATE if name not in but)


def _files(context: Context) -> Iterator[Path]:
    """Environments but the one that this runs from, caches, and what services wrote."""
    paths = context.paths
    serving = context.facts.real_path(paths.hub)
    yield from sorted(path for path in paths.envs.glob("*") if context.facts.real_path(path) != serving)
    if context.machine.status(paths.user) and paths.user.is_symlink():
        yield paths.user
    yield from made_anew(paths)
    yield from sorted(found for name in OURS_IN_STATE for found in paths.state.glob(f"{name}.*"))


def _program(context: Context, purge: bool) -> Iterator[Path]:
    """What goes last, in order."""
    paths = context.paths
    if purge:
        yield from (paths.config, paths.state)
    serving = context.facts.real_path(paths.hub)
    if serving.parent == context.facts.real_path(paths.envs):
        yield paths.envs / serving.name
    yield paths.bin  # the commands are there as long as the environment is that they start
    for name in COMMANDS:
        link = COMMANDS_FOLDER / name
        status = context.machine.status(link)
        if status and status.kind == "link" and Path(status.target).is_relative_to(paths.prefix):
            yield link
    if paths.hub.is_symlink():
        yield paths.hub
    yield paths.envs
    if purge:
        yield from sorted(paths.prefix.glob(f"{paths.log.name}*"))


# ---- doing


def carry_out(found: Uninstall, command: str) -> list[Change]:
    """Take all away.

    Raises:
        TljhError: something could not be removed; the same command goes on from there.
    """
    context, store = found.context, found.context.store
    run = store.begin_run(command)
    store.end_killed_runs(run)
    applier = Applier(context.machine, context.facts, store, run)
    with store.failing(run):
        with deployment.running(context), marks_kept(store, context.machine):
            changes = _apply(context, applier, found.plan)
        _forget(context, run, command)
        if not found.purge:
            changes += [line for step in found.last_steps() for line in applier.apply(step)]
    store.end_run(run, "done")
    if found.purge:  # the store goes too, so nobody can write down any more what is done
        for step in found.last_steps():
            step.resource.change(step.diff, context.machine)
            changes += step.changes()
    _remove_empty(context.paths.prefix)
    return changes


def _apply(context: Context, applier: Applier, plan: Plan) -> list[Change]:
    """By stage, as an install does it."""
    changes: list[Change] = []
    for name, steps in groupby([*plan.puts, *plan.drops], key=lambda step: step.resource.stage):
        with context.reporter.stage(name):
            done = [line for step in steps for line in applier.apply(step)]
            context.reporter.note(f"{len(done)} done")
            changes += done
    return changes


def _forget(context: Context, run: int, command: str) -> None:
    """Nothing is wished for any more, so that an install begins anew; that is recorded as a generation, too."""
    store = context.store
    store.forget_all()
    for resource, keys in store.owned().items():
        kind, _, place = resource.partition(":")
        path = Path(place)
        below = context.paths.prefix in path.parents and context.machine.status(path) is None
        if (below and kind in ("file", "link", "directory")) or kind in ("service", "apt", ARRIVED):
            store.disown(resource, keys)
    if store.newest().get("environments"):
        file = context.paths.config_file
        config = file.read_text() if file.exists() else ""
        empty: dict[str, Any] = {"plugins": {}, "reports": {}, "environments": {}, "locks": {}}
        record = {**empty, "config": config, "memory": store.memory(), "uninstalled": True}
        store.add_generation(run, command, record)


def _remove_empty(prefix: Path) -> None:
    """Our own folder, unless the admin made it a link or another file system, or has something in it."""
    if not prefix.is_symlink():
        with contextlib.suppress(OSError):
            prefix.rmdir()
