"""config.yaml with what plugins and flags put into it, and the folders that everything else lies in.

Plugins' ``tljh_config_post_install`` runs here, on a copy, before the plan is made, so that its keys hold when
the hub first starts. The admin's own values win.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tljh.configurer import load_secrets, with_defaults
from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import merge
from tljh.plugins.calls import run_config_hooks
from tljh.plugins.merge import Setting
from tljh.plugins.values import ABSENT
from tljh.resources.file import Directory
from tljh.resources.hook import Hooks
from tljh.settings.document import Document, edit
from tljh.settings.validation import check
from tljh.stages.context import Context

HOOK = "tljh_config_post_install"
ADMIN = "--admin"
_SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key", re.IGNORECASE)
_RUN = secrets.token_bytes(16)


class Config(Stage[Context]):
    """The admin's wishes, and where they are kept."""

    name = "config"
    priority = 20

    def resources(self, context: Context) -> Iterable[Resource]:
        paths = context.paths
        for path in (paths.prefix, paths.envs, paths.bin):
            yield Directory.at(path)
        private = (paths.config, paths.hub_config_d, paths.traefik_config_d, paths.state, paths.rules, paths.cache)
        for path in private:
            yield Directory.at(path, mode="0700")
        origins = {".".join(row.path): row.plugin for row in context.settings}
        yield ConfigKeys(
            "config.yaml",
            path=paths.config_file,
            settings=context.settings,
            admins=context.new_admins,
            origins={**origins, **{_admin_key(name): ADMIN for name in context.new_admins}},
        )
        names = context.plugins_with(HOOK)
        if names:
            yield ConfigHooks(f"hook:{HOOK}", HOOK, names, context.store, context=context)


def _admin_key(name: str) -> str:
    return f"users.admin: {name}"


@dataclass
class ConfigKeys(Resource):
    """The keys of config.yaml that this run sets; all others are none of its business."""

    path: Path
    settings: Sequence[Setting] = ()
    admins: Sequence[str] = ()

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False  # the file is the admin's; what plugins put into it is recorded with their hooks

    def desired(self) -> State:
        wanted = {".".join(row.path): _shown(row) for row in self.settings if row.value is not ABSENT}
        removed = {".".join(row.path): "removed" for row in self.settings if row.value is ABSENT}
        return {**wanted, **removed, **{_admin_key(name): "present" for name in self.admins}}

    def observe(self, facts: Facts) -> State:
        document = Document(facts.text(self.path), str(self.path))
        there: dict[str, str] = {}
        for row in self.settings:
            value = document.get(row.path, ABSENT)
            if value is not ABSENT:
                there[".".join(row.path)] = _shown(row._replace(value=value))
            elif row.value is ABSENT:
                there[".".join(row.path)] = "removed"
        listed = document.get("users.admin") or []
        return {**there, **{_admin_key(name): "present" for name in self.admins if name in listed}}

    def change(self, diff: Diff, machine: Machine) -> None:
        with edit(self.path, machine=machine) as document:
            put_into(document, self.settings, self.admins)

    def saved(self, machine: Machine) -> bytes | None:
        return machine.read(self.path)


def put_into(document: Document, settings: Sequence[Setting], admins: Sequence[str]) -> None:
    """Add admins and set keys; what is there already stays as it is written."""
    for name in admins:
        if name not in (document.get("users.admin") or []):
            document.add_item("users.admin", name)
    for path, value, _ in settings:
        if value is ABSENT:
            if document.get(path, ABSENT) is not ABSENT:
                document.unset(path)
        elif document.get(path, ABSENT) != value:
            document.set(path, value)


def _shown(setting: Setting) -> str:
    """A value as plans and the journal show it; of a secret only whether it is the same within this run."""
    text = json.dumps(setting.value, default=str)
    if not _SECRET.search(str(setting.path[-1])):
        return text
    return f"a secret ({hashlib.blake2b(text.encode(), key=_RUN, digest_size=4).hexdigest()})"


def look_first(context: Context) -> None:
    """Read config.yaml as it stands, before anything is asked of plugins. Fills ``config``.

    Raises:
        TljhError: the file is wrong; file, line, key and what is expected are named.
    """
    path = context.paths.config_file
    document = Document.load(path)
    for problem in check(document, str(path)):
        context.reporter.warn(problem.at(str(path)))
    context.config = with_defaults(document.as_dict(), load_secrets(context.paths.state))


def look(context: Context) -> None:
    """Read config.yaml, let the plugins' hooks propose changes, and work out what it will say.

    Fills ``config``, ``config_text``, ``settings``, ``new_admins`` and ``hook_runs``. A hook runs when its
    plugin, config.yaml or what is asked for differs from its last good run; never while planning.

    Raises:
        TljhError: the file is wrong (file, line, key and what is expected), or a hook failed.
    """
    path = context.paths.config_file
    document = Document.load(path)
    listed = document.get("users.admin") or []
    context.new_admins = [name for name in dict.fromkeys(context.options.admins) if name not in listed]
    put_into(document, (), context.new_admins)
    if _due(context, document) and not context.planning:
        _run_hooks(context, document)
    context.config_text = document.dumps()
    context.config = with_defaults(document.as_dict(), load_secrets(context.paths.state))


def _due(context: Context, document: Document) -> list[str]:
    """The plugins whose hook has to run."""
    inputs = inputs_of(context, document.as_dict())
    runs = {name: context.store.hook_run(name, HOOK) for name in context.plugins_with(HOOK)}
    return [name for name, run in runs.items() if run is None or run.inputs != inputs[name]]


def inputs_of(context: Context, settings: Mapping[str, Any]) -> dict[str, str]:
    """For each plugin a digest of all that its imperative hooks could depend on."""
    pins = context.required("hub_lock").pins
    asked = [[report.name, report.version, dict(report.contributions)] for report in context.reports]
    common = json.dumps([asked, settings], sort_keys=True, default=str)
    return {
        report.name: hashlib.sha256(f"{pins.get(report.distribution)}\0{common}".encode()).hexdigest()
        for report in context.reports
    }


def _run_hooks(context: Context, document: Document) -> None:
    results = run_config_hooks(context.machine, Path(sys.executable), document.dumps())
    failed = next((result for result in results if result.failure), None)
    if failed:
        raise TljhError(
            failed.failure or "", todo="update or leave out the plugin, then run the same command again"
        )
    names = [result.plugin for result in results]
    runs = {name: context.store.hook_run(name, HOOK) for name in names}
    last = merge.applied_from_json({name: run.keys["applied"] for name, run in runs.items() if run})
    outcome = merge.merge(document.as_dict(), last, results)
    for kept in outcome.kept:
        context.reporter.note(f"{'.'.join(kept.path)} stays as the admin has it (plugin {kept.plugin})")
    context.settings = outcome.set
    put_into(document, outcome.set, ())
    applied = merge.applied_to_json(outcome.applied)
    inputs = inputs_of(context, document.as_dict())
    context.hook_runs = {name: HookRun(inputs[name], {"applied": applied.get(name, [])}) for name in names}


@dataclass
class ConfigHooks(Hooks):
    """Every plugin's ``tljh_config_post_install``.

    While a plan is made none has run, and nobody can know what it will do; in an install they have run by now,
    on a copy, and what is left to do is to remember it.
    """

    context: Context = field(kw_only=True, repr=False)

    def desired(self) -> State:
        inputs = inputs_of(self.context, Document(self.context.config_text).as_dict())
        return {name: inputs[name] for name in self.names}

    def effect(self, diff: Diff) -> str:
        runs = [run for name in diff.put if (run := self.context.store.hook_run(name, HOOK))]
        keys = [".".join(path) for run in runs for path, _ in run.keys["applied"]]
        return "will run, cannot be undone" + (f"; last time it set {', '.join(keys)}" if keys else "")

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.put:
            self.context.store.remember_hook(name, HOOK, self.context.hook_runs[name])
