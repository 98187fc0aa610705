"""What a plugin's imperative code could depend on, as a text that is the same for the same, and why it differs.

Code runs when what is *wanted* has changed: its plugin, that plugin's settings, config.yaml, what any plugin or
flag asks for, the hub environment, the user environment. That damage is mended is no such change: ``tljh plan``
then shows what was damaged and nothing beside it, and a hook that is not safe to run twice is left in peace. Nor
is what an admin installs by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.engine.parsers import canonical_name
from tljh.engine.store import HookRun
from tljh.plugins.contributions import PluginReport
from tljh.stages.context import Context
from tljh.stages.contributed.plugin_deeds import without_hooks

REASONS = {
    "plugin": "the plugin",
    "settings": "its settings",
    "config": "config.yaml",
    "wishes": "what is asked for",
    "hub": "the hub environment",
    "user": "the user environment",
}
"""The parts of inputs, and what an admin calls them."""

FIRST = "it has not run yet"
BEGUN = "begun, not finished"
"""The inputs of what was begun: the same as nothing that it could depend on."""
_MODULUS = 1 << 48


class Inputs:
    """What any plugin's code could depend on, looked at once for all plugins.

    Args:
        settings: config.yaml as it will be.
        with_environments: Whether what users get counts; while config.yaml is being made it is not known yet.
    """

    def __init__(self, context: Context, settings: Mapping[str, Any], *, with_environments: bool = True) -> None:
        self._context = context
        plugins = settings.get("plugins")
        self._settings = _numbers(plugins if isinstance(plugins, Mapping) else {})
        self._pins = _numbers(context.required("hub_lock").pins)
        wishes: list[Any] = [_asked(context)]
        environments = {}
        if with_environments:
            wishes += [sorted(context.requirements), sorted(context.channels)]
            user_lock = without_hooks(context, context.required("user_lock"))
            locks = [user_lock, *(row.lock for row in context.environments)]
            environments["user"] = _number([lock.wishes for lock in locks])
        self._common = {"wishes": _number(wishes), **environments}
        self._config = _number({key: value for key, value in settings.items() if key != "plugins"})
        # sums, so that one plugin's own part can be taken out of what is the same for all
        self._all_settings = sum(self._settings.values()) + self._config
        self._all_pins = sum(self._pins.values())

    def of(self, report: PluginReport) -> str:
        """All that the imperative code of one plugin could depend on: ``part:digest`` for each part."""
        pin = self._pins.get(canonical_name(report.distribution), 0)
        mine = self._settings.get(report.name, 0)
        parts = {
            "plugin": _number([report.version, pin, _content(self._context, report)]),
            "settings": mine,
            "config": self._all_settings - mine,
            "hub": self._all_pins - pin,
            **self._common,
        }
        return " ".join(f"{name}:{value % _MODULUS:012x}" for name, value in parts.items())


def forced(context: Context) -> bool:
    """Whether imperative code runs though the same is wanted: asked for, or packages move to new versions."""
    if context.options.run_hooks:
        return True
    target = context.user_target
    moves = target is not None and target.name != context.facts.real_path(context.paths.user).name
    return context.options.upgrade is not None and moves


def why(before: str | None, after: str, *, forced: bool = False) -> str:
    """What is different since the last good run, for the admin."""
    if forced:
        return "it is asked for"
    if before == BEGUN:
        return "it did not finish the last time"
    if before is None or ":" not in before:
        return FIRST
    old = dict(part.split(":", 1) for part in before.split() if ":" in part)
    new = dict(part.split(":", 1) for part in after.split() if ":" in part)
    differing = [words for part, words in REASONS.items() if old.get(part) != new.get(part)]
    return f"changed: {', '.join(differing)}" if differing else FIRST


def reasons(runs: Mapping[str, HookRun], put: Mapping[str, str], *, forced: bool = False) -> str:
    """Why hooks run, of several plugins; each is named where they differ."""
    found: dict[str, list[str]] = {}
    for name, inputs in put.items():
        reason = why(runs[name].inputs if name in runs else None, inputs, forced=forced)
        found.setdefault(reason, []).append(name)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())


def _content(context: Context, report: PluginReport) -> str:
    """The content of a plugin that is a file; a package has it in its pin."""
    path = Path(report.origin_path) if report.origin_path.startswith("/") else None
    content = context.machine.read(path) if path else None
    return hashlib.sha256(content).hexdigest() if content is not None else ""


def _asked(context: Context) -> list[list[Any]]:
    """What every plugin asks for, also one that only this run does without."""
    rows = {**context.left_out, **{report.name: report for report in context.reports}}
    return [
        [row.name, row.version, dict(row.contributions), list(row.resources), list(row.stages)]
        for _, row in sorted(rows.items())
    ]


def _numbers(values: Mapping[str, Any]) -> dict[str, int]:
    return {name: _number([name, value]) for name, value in values.items()}


def _number(value: Any) -> int:
    """A digest, as a number."""
    text = json.dumps(value, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
