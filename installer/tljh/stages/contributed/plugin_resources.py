"""What plugins state with ``tljh_resources``, on the machine: their files and their services.

A declaration comes as plain data (``tljh.declare.Declared.as_dict``), which a plugin's process has made; from it
come resources of the core's kinds, under the plugin's name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tljh.engine.build import Stage
from tljh.engine.resource import Diff, Resource
from tljh.errors import TljhError
from tljh.resources.download import Download
from tljh.resources.file import File
from tljh.resources.plugin_account import NO_HOME, Membership, PluginAccount, PluginGroup
from tljh.resources.plugin_file import (
    FolderAbove,
    NoFile,
    PluginFile,
    PluginFolder,
    PluginLink,
    UnitFile,
    digest_of,
)
from tljh.resources.unit import FOLDER as UNITS
from tljh.resources.unit import UnitState, ask_together, timer_texts
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds
from tljh.stages.contributed.plugin_deeds import speaking
from tljh.stages.contributed.plugin_places import Places

Declaration = Mapping[str, Any]
"""What ``Declared.as_dict`` gives."""

OUR_UNITS = ("jupyterhub.service", "traefik.service")
_ORDER = ("group", "account", "folder", "file", "download", "link", "unit", "timer")
_SERVICES = ("unit", "timer")


class PluginFiles(Stage[Context]):
    """Accounts, folders, files and links of plugins, and the services that the hub is to have."""

    name = "plugins' files"
    priority = 65

    def resources(self, context: Context) -> Iterable[Resource]:
        declared = [(name, row) for name, row in of_plugins(context) if row["kind"] not in _SERVICES]
        found = [*resources_from(context, declared), hub_services(context)]
        yield from found
        yield from plugin_deeds.accounts(context, found)
        yield from _no_longer_read(context)


class PluginServices(Stage[Context]):
    """Units and timers of plugins."""

    name = "plugins' services"
    priority = 85

    def resources(self, context: Context) -> Iterable[Resource]:
        declared = [(name, row) for name, row in of_plugins(context) if row["kind"] in _SERVICES]
        found = resources_from(context, declared)
        yield from found
        yield from plugin_deeds.units(context, found)


def of_plugins(context: Context) -> list[tuple[str, Declaration]]:
    """What every plugin states with ``tljh_resources``."""
    return [(report.name, row) for report in speaking(context) for row in report.resources]


def _of_stages(context: Context) -> list[tuple[str, Declaration]]:
    """What the stages of plugins state that run."""
    found: list[tuple[str, Declaration]] = []
    for stage in context.line_up.active if context.line_up else ():
        described: Mapping[str, Any] = getattr(stage, "described", {})
        name = stage.report.name if described else ""  # type: ignore[attr-defined]  # a PluginStage
        rendered = ({"kind": "file", "path": path} for path in described.get("rendered", ()))
        found += [(name, row) for row in (*described.get("resources", ()), *rendered)]
    return found


# ---- from declarations to resources


def resources_from(context: Context, declared: Iterable[tuple[str, Declaration]]) -> list[Resource]:
    """The resources that declarations come to, in the order in which they can be put.

    Hub services are not among them: the hub reads all of them as it starts (``hub_services``).

    Args:
        declared: Plugin and declaration. The same thing from two plugins is one.

    Raises:
        TljhError: two plugins state one thing differently, or a path is none of a plugin's business; the
            plugins are named.
    """
    owned = context.store.owned()
    maker = _Maker(context, owned, Places(context, owned))
    wanted = [row for row in _agreed(context, declared) if row.kind in _ORDER]
    found: dict[str, Resource] = {}
    for row in sorted(wanted, key=lambda row: (_ORDER.index(row.kind), row.place)):
        for resource in maker.make(row):
            there = found.get(resource.id)
            if there is None or there.gives_way:
                found[resource.id] = resource
    ask_together(found.values())
    return list(found.values())


@dataclass(frozen=True)
class _Wanted:
    """One declaration, and the names of the plugins that make it."""

    said: Declaration
    plugins: tuple[str, ...]
    whose: str

    @property
    def kind(self) -> str:
        return str(self.said["kind"])

    @property
    def place(self) -> str:
        return str(self.said.get("path") or self.said.get("name"))

    @property
    def origin(self) -> str:
        return ", ".join(self.plugins)


def _agreed(context: Context, declared: Iterable[tuple[str, Declaration]]) -> list[_Wanted]:
    """One for each thing.

    Raises:
        TljhError: two plugins state one thing differently.
    """
    labels = {report.name: report.label or f"plugin {report.name}" for report in speaking(context)}
    found: dict[tuple[str, str], _Wanted] = {}
    for plugin, said in declared:
        whose = labels.get(plugin, f"plugin {plugin}")
        row = _Wanted(said, (plugin,), whose)
        there = found.setdefault((_group(row.kind), row.place), row)
        if dict(there.said) != dict(said):
            raise _disagreement(there, row)
        if plugin not in there.plugins:
            names = tuple(sorted([*there.plugins, plugin]))
            found[_group(row.kind), row.place] = _Wanted(said, names, f"{there.whose} and {whose}")
    return list(found.values())


def _group(kind: str) -> str:
    """Kinds of one group can't both be at one place."""
    return "path" if kind in ("folder", "file", "download", "link") else kind


def _disagreement(one: _Wanted, other: _Wanted) -> TljhError:
    keys = [key for key in {**one.said, **other.said} if one.said.get(key) != other.said.get(key)]
    secret = ("content", "text", "api_token", "environment")
    differing = [
        f"{key} differs" if key in secret else f"{key} is {_shown(one, key)} and {_shown(other, key)}"
        for key in keys
    ]
    kinds = " and ".join(dict.fromkeys([f"the {one.kind}", f"the {other.kind}"]))
    both = one.whose if one.whose == other.whose else f"{one.whose} and {other.whose}"
    return TljhError(
        f"{both} state different things of {kinds} {one.place}: {'; '.join(differing)}",
        todo="leave one of the two out, or a version of it that agrees; nothing was changed",
    )


def _shown(row: _Wanted, key: str) -> str:
    return json.dumps(row.said.get(key))


@dataclass
class _Maker:
    """Makes the resources of one declaration.

    Attributes:
        owned: What was ours when the run began.
    """

    context: Context
    owned: Mapping[str, Mapping[str, str]]
    places: Places

    def make(self, row: _Wanted) -> list[Resource]:
        make: Callable[[_Wanted], Iterable[Resource]] = getattr(self, f"_{row.kind}")
        made = list(make(row))
        for resource in made:
            resource.origins = dict.fromkeys(resource.desired(), row.origin)
        return made

    def _placed(self, row: _Wanted) -> tuple[Path, list[Resource]]:
        """Where it is to be, and the folders above that are missing."""
        path = Path(row.place)
        thing = "folder" if row.kind == "folder" else "file"
        self.places.refuse(path, row.kind, row.whose)
        self.places.refuse_another_kind(path, thing, row.whose)
        above = self.places.missing_above(path)
        return path, [
            FolderAbove(f"directory:{folder}", **self._memory(f"directory:{folder}")) for folder in above
        ]

    def _memory(self, name: str) -> dict[str, Any]:
        return {"earlier": self.context.store.replaced(name), "say": self.context.reporter.warn}

    def _file(self, row: _Wanted) -> Iterable[Resource]:
        path, above = self._placed(row)
        content = content_of(row.said)
        if path.parent in _read_at_start(self.context):
            self.context.written[path] = content
        name = f"file:{path}"
        kind = UnitFile if UNITS in path.parents else PluginFile
        mode, owner = row.said["mode"], row.said["owner"]
        yield from above
        yield kind(name, content=content, mode=mode, owner=owner, **self._memory(name))

    def _download(self, row: _Wanted) -> Iterable[Resource]:
        path, above = self._placed(row)
        name = f"file:{path}"
        where = {key: row.said[key] for key in ("url", "sha256", "mode", "owner")}
        yield from above
        yield Download(name, **where, whose=row.whose, **self._memory(name))

    def _folder(self, row: _Wanted) -> Iterable[Resource]:
        path, above = self._placed(row)
        name = f"directory:{path}"
        yield from (folder for folder in above if folder.id != name)
        yield PluginFolder(name, mode=row.said["mode"], owner=row.said["owner"], **self._memory(name))

    def _link(self, row: _Wanted) -> Iterable[Resource]:
        path, above = self._placed(row)
        yield from above
        yield PluginLink(f"link:{path}", target=row.said["target"], **self._memory(f"link:{path}"))

    def _group(self, row: _Wanted) -> Iterable[Resource]:
        yield PluginGroup(f"group:{row.place}", self.context.store)

    def _account(self, row: _Wanted) -> Iterable[Resource]:
        name, said, store = row.place, row.said, self.context.store
        home = said["home"] or (NO_HOME if said["system"] else f"/home/{name}")
        if said["home"]:
            self.places.refuse(Path(home), "home", row.whose)
        known = f"account:{name}" in self.owned
        shell, system = said["shell"], said["system"]
        yield PluginAccount(f"account:{name}", store, home=home, shell=shell, system=system, known=known)
        for group in said["groups"]:
            yield Membership(f"member:{group}/{name}")
        if system and said["home"]:
            yield from self._home(row, home)

    def _home(self, row: _Wanted, home: str) -> Iterable[Resource]:
        folder = {"kind": "folder", "path": home, "mode": "0750", "owner": f"{row.place}:{row.place}"}
        yield from self._folder(_Wanted(folder, row.plugins, row.whose))

    def _unit(self, row: _Wanted) -> Iterable[Resource]:
        if self._can_have_units(row):
            yield from self._unit_and_file(
                row, row.place, row.said["text"], row.said["enabled"], row.said["started"]
            )

    def _timer(self, row: _Wanted) -> Iterable[Resource]:
        if not self._can_have_units(row):
            return
        said = row.said
        self._check_calendar(row)
        timer, service = timer_texts(row.place, said["command"], said["calendar"], said["user"])
        yield from self._unit_and_file(row, f"{row.place}.service", service, False, False)
        yield from self._unit_and_file(row, f"{row.place}.timer", timer, True, True)

    def _can_have_units(self, row: _Wanted) -> bool:
        if row.place in OUR_UNITS or f"{row.place}.service" in OUR_UNITS:
            raise TljhError(
                f"declares the unit {row.place}, which is the installer's own",
                whose=row.whose,
                todo=f"put additions into {UNITS}/{row.place}.d/NAME.conf; nothing was changed",
            )
        if not self.context.with_systemd:
            self.context.reporter.warn(
                f"{row.whose}: the {row.kind} {row.place} is left out, because systemd does not run this machine"
            )
        return self.context.with_systemd

    def _check_calendar(self, row: _Wanted) -> None:
        """See that systemd understands when; asked only before the timer is first there or changes."""
        calendar = row.said["calendar"]
        if f"OnCalendar={calendar}\n" in self.context.facts.text(UNITS / f"{row.place}.timer"):
            return
        done = self.context.machine.run(["systemd-analyze", "calendar", calendar], check=False, timeout=20.0)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise TljhError(
                f"the timer {row.place} is to run at {calendar!r}, which systemd does not understand"
                + (f": {said[-1]}" if said else ""),
                whose=row.whose,
                todo="its author has to write it as in systemd.time(7), such as 'daily'; nothing was changed",
            )

    def _unit_and_file(
        self, row: _Wanted, name: str, text: str, enabled: bool, started: bool
    ) -> Iterable[Resource]:
        path, content = UNITS / name, text.encode()
        self.places.refuse_another_kind(path, "file", row.whose)
        yield UnitFile(f"file:{path}", content=content, **self._memory(f"file:{path}"))
        known, digest = f"unit:{name}" in self.owned, digest_of(content)
        yield UnitState(f"unit:{name}", digest=digest, enabled=enabled, started=started, known=known)


def content_of(said: Declaration) -> bytes:
    """The content of a declared file."""
    content = said["content"]
    return base64.b64decode(content["base64"]) if isinstance(content, Mapping) else str(content).encode()


# ---- what the hub reads


def _no_longer_read(context: Context) -> Iterable[Resource]:
    """Files of plugins that services read as they start and that nobody wants any more: they go before that."""
    folders = _read_at_start(context)
    wanted = {str(row.get("path")) for _, row in (*of_plugins(context), *_of_stages(context))}
    for name in context.store.owned():
        path = Path(name.partition(":")[2])
        if name.startswith("file:") and path.parent in folders and str(path) not in wanted:
            context.unread.add(path)
            yield NoFile(name)


def _read_at_start(context: Context) -> list[Path]:
    """The folders from which the hub and the proxy read all files as they start."""
    return [context.paths.hub_config_d, *(UNITS / f"{unit}.d" for unit in OUR_UNITS)]


def hub_services(context: Context) -> Resource:
    """The file from which the hub takes the services that plugins state; it is always there."""
    declared = [row for row in (*of_plugins(context), *_of_stages(context)) if row[1]["kind"] == "hub service"]
    rows = sorted(_agreed(context, declared), key=lambda row: row.place)
    listed = [{"plugin": row.origin, **{k: v for k, v in row.said.items() if k != "kind"}} for row in rows]
    content = f"{json.dumps({'services': listed}, indent=1, sort_keys=True)}\n".encode()
    path = context.paths.plugin_services
    context.written[path] = content
    names = [row.place for row in rows]
    origin = ", ".join(dict.fromkeys(name for row in rows for name in row.plugins)) or "core"
    origins = dict.fromkeys(("content", "mode", "owner"), origin)
    return HubServices(f"file:{path}", content=content, mode="0600", origins=origins, names=names)


@dataclass
class HubServices(File):
    """The file of hub services; a plan tells their names."""

    names: Sequence[str] = ()

    def effect(self, diff: Diff) -> str:
        return f"hub services: {', '.join(self.names)}" if self.names else "no hub services of plugins"
