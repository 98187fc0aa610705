"""Taking over an installation of The Littlest JupyterHub in place: nothing of it is lost, and all can go back.

What was here before is kept in ``<prefix>/generation-0``, and is generation 0 of the history: first copies of the
files that an install writes, before anything is changed; then, right before the services start anew, a copy of the
hub's database and the old hub environment itself. The old hub serves until then. How users' environment is taken
over is in ``adoption``, how all of it goes back in ``before_us``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources as package_files
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine import sqlite
from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.generation_tables import NOTHING
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.engine.store import Store
from tljh.paths import Paths
from tljh.resources import predecessor
from tljh.resources.locks.lock import Requested
from tljh.resources.predecessor import Predecessor, points_of
from tljh.settings.document import Document
from tljh.stages.context import Context
from tljh.stages.hub_environment import environment
from tljh.stages.taking_over import inherited_config

UNITS = tuple(Path("/etc/systemd/system") / f"{name}.service" for name in ("jupyterhub", "traefik"))
SUDOERS = Path("/etc/sudoers.d/jupyterhub-admins")
COMMAND = Path("/usr/bin/tljh-config")
ZERO = 0
"""The generation that stands for what was here before."""


def folder(paths: Paths) -> Path:
    """Where what was here before is kept."""
    return paths.prefix / "generation-0"


def kept_hub(paths: Paths) -> Path:
    """Where the hub environment of before is once it serves no more."""
    return folder(paths) / "hub"


def kept_database(paths: Paths) -> Path:
    """The copy of the hub's database."""
    return folder(paths) / "jupyterhub.sqlite"


def kept_file(paths: Paths, path: Path) -> Path:
    """The copy of a file that was there before."""
    return folder(paths) / "files" / path.relative_to("/")


def written_files(paths: Paths) -> list[Path]:
    """The files that TLJH makes, and that we write in its stead."""
    state = ("traefik.toml", "traefik-api.secret", "rules/dynamic.toml", "rules/rules.toml")
    return [paths.config_file, *UNITS, SUDOERS, *(paths.state / name for name in state)]


def record_of(store: Store) -> Mapping[str, Any] | None:
    """What is known of what was here before; ``None`` where this installation took over nothing."""
    record = store.generation(ZERO)
    found: Mapping[str, Any] | None = record.get("takeover") if record else None
    return found


def kept_environments(paths: Paths, store: Store) -> set[str]:
    """Names of environments that stay as long as what was here before can come back."""
    record = record_of(store) if folder(paths).exists() else None
    return {record["user"]} if record and record.get("user") else set()


# ---- looking


def look(context: Context, *, again: bool) -> None:
    """Find out whether there is an installation to take over. Fills ``predecessor`` and ``inherited``.

    Args:
        again: Whether this run has begun in another environment and has told it there.
    """
    if context.earlier:
        return
    context.predecessor = found = predecessor.find(context.machine, context.paths)
    if found is None:
        return
    text = context.facts.text(context.paths.config_file)
    settings, said = inherited_config.mended(text, str(context.paths.config_file))
    allowed, more = inherited_config.keep_who_may_come(found, Document.load(context.paths.config_file))
    context.inherited = [*settings, *allowed]
    if again:
        return
    hub = found.versions.get("jupyterhub", "none")
    context.reporter.say(
        f"TLJH {found.version} with JupyterHub {hub} is here: it is taken over; what was there is kept in "
        f"{folder(context.paths)}"
    )
    for sentence in (*said, *more):
        context.reporter.warn(sentence)


def specs(context: Context) -> list[str]:
    """What the hub environment of before holds that ours has to hold too, as if ``--plugin`` had named it."""
    found = context.predecessor
    if found is None:
        return []
    known = [*_ours(), *found.plugins]
    wanted = [*found.plugins.values(), *found.named_in_settings(known).values()]
    return [_spec(context, one) for one in wanted]


def versions(context: Context) -> dict[str, str]:
    """The versions that those had, as pins: they stay where nothing asks for others."""
    found = context.predecessor
    if found is None:
        return {}
    names = {*found.plugins, *found.named_in_settings(_ours())}
    return {name: f"=={found.versions[name]}" for name in names}


def _ours() -> list[str]:
    """Canonical names of what every hub environment of ours holds."""
    lines = (package_files.files("tljh") / "requirements" / "hub.txt").read_text().splitlines()
    return [name for line in lines if not line.startswith("#") and (name := Requested(line, "").name)]


def _spec(context: Context, one: Any) -> str:
    spec = predecessor.spec_of(one)
    if not spec.startswith("/") or Path(spec).exists():
        return spec
    # installed from a folder that is gone: what was installed is there
    base = context.scratch if context.planning else context.paths.state / "wheels"
    return str(predecessor.as_wheel(one, base / "taken-over"))


# ---- changing


class Takeover(Stage[Context]):
    """Copies of all that an install is about to change, before it changes anything."""

    name = "takeover"
    priority = 15

    def resources(self, context: Context) -> Iterable[Resource]:
        if context.predecessor:
            files = [path for path in written_files(context.paths) if context.machine.status(path)]
            moving = next(iter(context.facts.moving), Path())
            link = context.machine.status(COMMAND)
            yield Before(
                "takeover",
                context=context,
                files=files,
                before=context.predecessor,
                user=moving.name,
                command=link.target if link else "",
            )


@dataclass
class Before(Resource):
    """Generation 0: what is known of what was here before, with copies of its files.

    Attributes:
        user: The name that its user environment has below ``envs``; empty where it had none.
        command: Where the link ``tljh-config`` led.
    """

    context: Context = field(kw_only=True, repr=False)
    files: Sequence[Path] = field(kw_only=True)
    before: Predecessor = field(kw_only=True, repr=False)
    user: str = field(kw_only=True)
    command: str = field(kw_only=True)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {f"TLJH {self.before.version}": f"kept in {folder(self.context.paths)}"}

    def observe(self, facts: Facts) -> State:
        return self.desired() if record_of(self.context.store) else {}

    def effect(self, diff: Diff) -> str:
        return "'tljh rollback 0' brings it back"

    def change(self, diff: Diff, machine: Machine) -> None:
        paths = self.context.paths
        machine.make_directory(folder(paths), mode=0o700)
        for path in self.files:
            copy_file(machine, path, kept_file(paths, path))
        self.context.store.remember_before(self._record())

    def _record(self) -> dict[str, Any]:
        """Of the form of every generation's record, so that lists and comparisons need not know of it."""
        names = {point.name: one.version for one in self.before.plugins.values() for point in points_of(one)}
        takeover = {
            "version": self.before.version,
            "jupyterhub": self.before.versions.get("jupyterhub", ""),
            "packages": self.before.versions,
            "files": [str(path) for path in self.files],
            "command": self.command,
            "user": self.user,
        }
        return {
            "config": self.context.facts.text(self.context.paths.config_file),
            "plugins": names,
            "reports": {},
            "environments": {"hub": folder(self.context.paths).name, "user": self.user},
            "locks": {},
            "memory": NOTHING,
            "takeover": takeover,
        }


def copy_file(machine: Machine, path: Path, target: Path) -> None:
    """A copy with the same content, mode and owner."""
    status = machine.status(path)
    if status is None or status.kind != "file":
        return
    machine.at(target.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
    machine.write_file(target, machine.read(path) or b"", mode=int(status.mode, 8), owner=status.owner)


def hand_over(context: Context) -> Iterable[Resource]:
    """The old hub makes way; the first thing of the services' stage."""
    if context.predecessor:
        target = context.required("hub_target")
        yield OldHub("takeover:hub", paths=context.paths, target=target, with_systemd=context.with_systemd)
        yield environment(context)


@dataclass
class OldHub(Resource):
    """The hub that served before: stopped, its database copied, its environment put aside.

    Attributes:
        target: The hub environment that serves from then on.
    """

    paths: Paths = field(kw_only=True)
    target: Path = field(kw_only=True)
    with_systemd: bool = field(kw_only=True)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {str(self.paths.hub): f"moved to {kept_hub(self.paths)}"}

    def observe(self, facts: Facts) -> State:
        status = facts.machine.status(self.paths.hub)
        return {} if status and status.kind == "directory" else self.desired()

    def effect(self, diff: Diff) -> str:
        return "stops the old hub for some seconds; people's servers go on"

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.with_systemd:
            machine.run(["systemctl", "stop", "jupyterhub.service"], check=False, timeout=120.0)
        try:
            if machine.status(self.paths.hub_database):
                sqlite.copy(self.paths.hub_database, kept_database(self.paths))
            aside = kept_hub(self.paths)
            machine.make_link(aside, os.path.relpath(self.target, self.paths.hub.parent))
            machine.exchange(self.paths.hub, aside)
        except BaseException:
            if self.with_systemd:
                machine.run(["systemctl", "start", "jupyterhub.service"], check=False, timeout=120.0)
            raise


def forget(context: Context) -> None:
    """What was here before is back: nothing is kept of it any more."""
    context.store.forget_before()
    context.machine.remove(folder(context.paths))
