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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tljh.configurer import load_secrets, with_defaults
from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import merge, recording
from tljh.plugins.calls import run_config_hooks
from tljh.plugins.merge import Setting
from tljh.plugins.values import ABSENT, KeyPath
from tljh.resources.file import Directory, File
from tljh.resources.hook import Hooks
from tljh.settings.document import Document, edit
from tljh.settings.validation import check, validate
from tljh.stages.context import Context
from tljh.stages.going_back.earlier_config import EarlierConfig
from tljh.stages.inputs import BEGUN, Inputs, reasons
from tljh.stages.leaving import removal

HOOK = "tljh_config_post_install"
ADMIN = "--admin"
_SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key", re.IGNORECASE)
_RUN = secrets.token_bytes(16)
_DISABLED = "# plugins that are switched off; written by the installer (tljh plugin disable, tljh plugin enable)\n"


class Config(Stage[Context]):
    """The admin's wishes, and where they are kept."""

    name = "config"
    priority = 20

    def resources(self, context: Context) -> Iterable[Resource]:
        paths = context.paths
        for path in (paths.prefix, paths.envs, paths.bin):
            yield Directory.at(path)
        private = (paths.config, paths.hub_config_d, paths.traefik_config_d, paths.plugins_d)
        for path in (*private, paths.state, paths.rules, paths.cache):
            yield Directory.at(path, mode="0700")
        disabled = File.at(paths.plugins_disabled, _DISABLED + "".join(f"{name}\n" for name in context.disabled))
        context.written[paths.plugins_disabled] = disabled.content or b""
        yield disabled
        if context.earlier:
            file, going = paths.config_file, context.earlier
            now, text = context.facts.text(file), context.config_text
            back = EarlierConfig("config.yaml", path=file, text=text, now=now, applied=going.applied)
            back.origins = dict.fromkeys(back.desired(), f"generation {going.of}")
            yield back
            return  # hooks don't run: what they have put into it then is in it again
        origins = {".".join(row.path): row.plugin for row in context.settings}
        yield ConfigKeys(
            "config.yaml",
            path=paths.config_file,
            settings=context.settings,
            admins=context.new_admins,
            begin=partial(_note_begun, context),
            origins={**origins, **{_admin_key(name): ADMIN for name in context.new_admins}},
        )
        names = _speaking(context)
        if names:
            must = context.options.run_hooks
            yield ConfigHooks(f"hook:{HOOK}", HOOK, names, context.store, forced=must, context=context)


def _admin_key(name: str) -> str:
    return f"users.admin: {name}"


@dataclass
class ConfigKeys(Resource):
    """The keys of config.yaml that this run sets; all others are none of its business.

    Attributes:
        begin: Called before the file is changed.
    """

    path: Path
    settings: Sequence[Setting] = ()
    admins: Sequence[str] = ()
    begin: Callable[[], None] = lambda: None

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
        self.begin()
        with edit(self.path, machine=machine) as document:
            put_into(document, self.settings, self.admins)

    def saved(self, machine: Machine) -> bytes | None:
        return machine.read(self.path)


def _note_begun(context: Context) -> None:
    """Record what is about to be put into config.yaml for plugins, or to be taken out, before it is.

    After a kill in between, what is in the file would otherwise be taken for the admin's, and what is not for
    removed by him.
    """
    current = context.document().as_dict()
    runs = context.hook_runs.items()
    begun = {name: (_applied(context, name, current), run.keys["applied"]) for name, run in runs}
    for name in removal.withdrawn_names(context):
        if context.store.hook_run(name, HOOK):
            begun[name] = ([], _applied(context, name, current))
    for name, (before, then) in begun.items():
        if before != then:
            context.store.remember_hook(name, HOOK, HookRun(BEGUN, {"applied": before, "begun": then}))


def _applied(context: Context, plugin: str, current: Mapping[str, Any]) -> list[list[Any]]:
    """What a plugin's hook put into config.yaml the last time, as far as it got there, in JSON's form."""
    run = context.store.hook_run(plugin, HOOK)
    return merge.applied_to_json({plugin: merge.in_effect(run.keys, current) if run else {}})[plugin]


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
    document = context.document()
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
    document = context.document()
    listed = document.get("users.admin") or []
    context.new_admins = [name for name in dict.fromkeys(context.options.admins) if name not in listed]
    if Config.name in context.line_up.excluded:
        context.new_admins = []
        context.config_text = document.dumps()
        return
    put_into(document, (), context.new_admins)
    if context.earlier:
        context.config_text = document.dumps()
        context.config = with_defaults(document.as_dict(), load_secrets(context.paths.state))
        return
    withdrawn = removal.withdrawn(context, document)
    put_into(document, withdrawn, ())
    if _due(context, document) and not context.planning:
        _run_hooks(context, document)
    context.settings = removal.together([*context.inherited, *withdrawn], context.settings)
    context.config_text = document.dumps()
    context.config = with_defaults(document.as_dict(), load_secrets(context.paths.state))


def _due(context: Context, document: Document) -> list[str]:
    """The plugins whose hook has to run."""
    inputs = _inputs(context, document.as_dict())
    runs = {name: context.store.hook_run(name, HOOK) for name in _speaking(context)}
    must = context.options.run_hooks
    return [name for name, run in runs.items() if must or run is None or run.inputs != inputs[name]]


def _speaking(context: Context) -> list[str]:
    """The plugins whose hook may be called in this run."""
    return [name for name in context.plugins_with(HOOK) if name not in context.left_out]


def _inputs(context: Context, settings: Mapping[str, Any]) -> dict[str, str]:
    """For each plugin all that its hook could depend on; what users get is not known yet."""
    inputs = Inputs(context, settings, with_environments=False)
    return {report.name: inputs.of(report) for report in context.reports}


def _run_hooks(context: Context, document: Document) -> None:
    with recording.kept(context.store, "", context.scratch):
        results = run_config_hooks(
            context.machine, Path(sys.executable), document.dumps(), variables=context.plugin_variables
        )
    failed = next((result for result in results if result.failure), None)
    if failed:
        raise TljhError(failed.failure or "", todo=_without(failed.plugin))
    names = [result.plugin for result in results]
    runs = {name: context.store.hook_run(name, HOOK) for name in names}
    current = document.as_dict()
    last = {name: merge.in_effect(run.keys, current) for name, run in runs.items() if run}
    outcome = merge.merge(current, last, results)
    for kept in outcome.kept:
        context.reporter.note(f"{'.'.join(kept.path)} stays as the admin has it (plugin {kept.plugin})")
    context.settings = outcome.set
    put_into(document, outcome.set, ())
    _refuse_wrong_values(document, outcome.set, {result.plugin: result.label for result in results})
    applied = merge.applied_to_json(outcome.applied)
    inputs = _inputs(context, document.as_dict())
    context.hook_runs = {name: HookRun(inputs[name], {"applied": applied.get(name, [])}) for name in names}


def _refuse_wrong_values(document: Document, settings: Sequence[Setting], labels: Mapping[str, str]) -> None:
    """What hooks have set is checked like what an admin writes: the hub would not start with it.

    Raises:
        TljhError: a value is not what its key expects; the plugin that set it is named.
    """
    for problem in validate(document):
        setting = next((found for found in settings if _concerns(problem.key, found.path)), None)
        if problem.severity == "error" and setting:
            raise TljhError(
                f"{labels.get(setting.plugin, setting.plugin)}: {HOOK} set what can't be used: {problem.text}",
                todo=_without(setting.plugin),
            )


def _concerns(key: str, path: KeyPath) -> bool:
    """Whether what is wrong at ``key`` is the value at ``path``, something in it, or around it."""
    mine = ".".join(map(str, path))
    return f"{mine}.".startswith(f"{key}.") or f"{key}.".startswith(f"{mine}.")


def _without(plugin: str) -> str:
    return (
        "config.yaml is as it was; update the plugin, or go on without it for now: the same command with "
        f"--without {plugin}"
    )


@dataclass
class ConfigHooks(Hooks):
    """Every plugin's ``tljh_config_post_install``.

    While a plan is made none has run, and nobody can know what it will do; in an install they have run by now,
    on a copy, and what is left to do is to remember it.
    """

    context: Context = field(kw_only=True, repr=False)

    def desired(self) -> State:
        inputs = _inputs(self.context, Document(self.context.config_text).as_dict())
        return {name: inputs[name] for name in self.names}

    def effect(self, diff: Diff) -> str:
        runs = self.runs()
        keys = [".".join(path) for name in diff.put if name in runs for path, _ in runs[name].keys["applied"]]
        reason = reasons(runs, diff.put, forced=self.forced)
        return f"will run, cannot be undone; {reason}" + (f"; last time it set {', '.join(keys)}" if keys else "")

    def change(self, diff: Diff, machine: Machine) -> None:
        for name, inputs in diff.put.items():
            # as it came out in the end: plugins may have been asked again since the hooks ran
            self.remember(name, HookRun(inputs, self.context.hook_runs[name].keys))
