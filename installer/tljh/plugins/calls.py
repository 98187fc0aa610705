"""The parent's side of ``child.py``: starts it, reads its messages, and names the plugin that stopped it.

What the answers mean for an install is decided by the caller; list hooks are in ``contributions.py``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.engine.processes import ending
from tljh.errors import CommandFailed, TljhError
from tljh.plugins.merge import Change, ConfigHookResult
from tljh.plugins.values import ABSENT

log = logging.getLogger("tljh.plugins")

SLOW = 5.0
"""Seconds that a hook may take without being reported."""


@dataclass(frozen=True)
class Stopped:
    """The plugin at which the process ended or hung.

    Attributes:
        problem: One sentence that says so.
    """

    plugin: str
    version: str
    label: str
    problem: str


@dataclass(frozen=True)
class ChildAnswer:
    """The messages that came, by kind, and the plugin that kept the rest from coming."""

    loaded: tuple[dict[str, Any], ...] = ()
    results: tuple[dict[str, Any], ...] = ()
    stopped: Stopped | None = None
    found: tuple[dict[str, Any], ...] = ()
    settings: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class HookFailure:
    """How an imperative hook failed.

    Attributes:
        problem: One sentence that names the plugin, its version and the hook.
        traceback: For the log; empty where the process ended without one.
    """

    problem: str
    traceback: str = ""


@dataclass(frozen=True)
class CheckResult:
    """What one health check of a plugin came to.

    Attributes:
        why: What is wrong; empty when all is well.
        fixable: Whether the plugin can mend it.
    """

    plugin: str
    name: str
    sentence: str
    why: str = ""
    fixable: bool = False

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.why


@dataclass
class _Reader:
    """Reads messages as they were sent."""

    found: list[dict[str, Any]] = field(default_factory=list)
    loaded: list[dict[str, Any]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    begun: dict[str, Any] | None = None
    ended: bool = False

    def read(self, output: str) -> None:
        for line in output.splitlines():
            message = _message(line)
            kind = message.get("tljh")
            if kind == "begin":
                self.begun = message
            elif kind == "end":
                self.ended = True
            elif kind in ("found", "settings"):
                (self.found if kind == "found" else self.settings).append(message)
            elif kind in ("loaded", "result"):
                (self.loaded if kind == "loaded" else self.results).append(message)
                self.begun = None
            if message.get("traceback"):
                log.debug("%s", message["traceback"])

    def answer(self, stopped: Stopped | None = None) -> ChildAnswer:
        return ChildAnswer(
            tuple(self.loaded), tuple(self.results), stopped, tuple(self.found), tuple(self.settings)
        )


def call_child(
    machine: Machine,
    python: Path,
    arguments: Sequence[str],
    *,
    timeout: float,
    input: str | None = None,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> ChildAnswer:
    """Run ``tljh.plugins.child`` in the environment of ``python`` and read what it says.

    Args:
        timeout: Seconds for all plugins together.
        cwd: Its working folder; ``/`` when not given.
        variables: Which plugins it loads (``sources.variables``); otherwise all that are switched on.

    Raises:
        TljhError: the process ended before it had come to a plugin.
    """
    reader = _Reader()
    command: list[str | Path] = [python, "-m", "tljh.plugins.child", *arguments]
    # otherwise a file in the working folder that is named like a module of ours would be imported instead
    env = {"PYTHONSAFEPATH": "1", **(variables or {})}
    try:
        done = machine.run(command, input=input, env=env, cwd=cwd or Path("/"), timeout=timeout, check=False)
        reader.read(done.stdout)
        output, how = done.output, ending(done.returncode)
    except CommandFailed as error:
        reader.read(error.output)
        output, how = error.output, f"did not end within {timeout:g} s"
    if reader.ended:
        return reader.answer()
    if reader.begun is None:
        said = "\n".join(line for line in output.splitlines()[-15:] if not _message(line))
        raise TljhError(f"the process that asks the plugins ({python}) {how}\n{said}".rstrip())
    begun = reader.begun
    doing = begun["hook"] or "loading it"
    stopped = Stopped(begun["plugin"], begun["version"], begun["label"], f"{begun['label']}: {doing} {how}")
    return reader.answer(stopped)


def run_config_hooks(
    machine: Machine,
    python: Path,
    text: str,
    *,
    variables: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> list[ConfigHookResult]:
    """Let each plugin's ``tljh_config_post_install`` change a copy of config.yaml.

    Args:
        text: What stands in config.yaml.
        timeout: Seconds for all plugins together.

    Returns:
        What each did, in the order in which they ran; a failed one with its ``failure`` and no changes.
    """
    answer = call_child(machine, python, ["config"], input=text, variables=variables, timeout=timeout)
    results = [_config_result(message) for message in answer.results]
    for message in answer.loaded:
        for problem in problems_of(message, "tljh_config_post_install")[:1]:
            trace = message["traceback"]
            results.append(
                ConfigHookResult(
                    message["plugin"], message["version"], message["label"], failure=problem, traceback=trace
                )
            )
    if answer.stopped:
        stopped = answer.stopped
        results.append(ConfigHookResult(stopped.plugin, stopped.version, stopped.label, failure=stopped.problem))
    return results


def run_post_install(
    machine: Machine,
    python: Path,
    plugin: str,
    *,
    cwd: Path,
    wrappers: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    timeout: float = 900.0,
) -> HookFailure | None:
    """Run ``tljh_post_install`` of one plugin.

    Args:
        plugin: The name of its entry point.
        cwd: The working folder, to which plugins write with relative paths.
        wrappers: The plugins that wrap this hook.
        timeout: Seconds.

    Returns:
        How it failed; ``None`` when it did not.
    """
    around = [name for name in wrappers if name != plugin]
    return _run_one(
        machine, python, ["post-install", plugin, *around], cwd=cwd, variables=variables, timeout=timeout
    )


def run_post_remove(
    machine: Machine,
    python: Path,
    plugin: str,
    *,
    variables: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> HookFailure | None:
    """Run ``tljh_post_remove`` of one plugin, also of one that is switched off.

    Returns:
        How it failed; ``None`` when it did not, also where the plugin has no such hook.
    """
    return _run_one(machine, python, ["post-remove", plugin], variables=variables, timeout=timeout)


def _run_one(
    machine: Machine,
    python: Path,
    words: Sequence[str],
    *,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None,
    timeout: float,
) -> HookFailure | None:
    """Run an imperative hook of one plugin: ``words`` begins with the command and the plugin's name."""
    hook, plugin = f"tljh_{words[0].replace('-', '_')}", words[1]
    answer = call_child(machine, python, words, cwd=cwd, variables=variables, timeout=timeout)
    if answer.stopped:
        return HookFailure(answer.stopped.problem)
    for message in answer.results:
        if message.get("problem"):
            return HookFailure(message["problem"], message.get("traceback", ""))
        warning = slow(message)
        if warning:
            log.warning("%s", warning)
    found = next((message for message in answer.loaded if message["plugin"] == plugin), None)
    if found is None:
        return HookFailure(f"plugin {plugin}: it is not installed in the environment of {python}")
    problems = problems_of(found, hook)
    return HookFailure(problems[0], found["traceback"]) if problems else None


def run_checks(
    machine: Machine,
    python: Path,
    plugins: Sequence[str] = (),
    *,
    variables: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> list[CheckResult]:
    """Do the health checks of all plugins, or of some.

    A check that fails, hangs or ends the process is not well, and says so; the other plugins' are done anyway.

    Args:
        timeout: Seconds for all plugins together; anew after each one that hangs.
    """
    found: list[CheckResult] = []
    wanted = list(plugins)
    while True:
        answer = call_child(machine, python, ["check", *wanted], variables=variables, timeout=timeout)
        found += [_check_result(message) for message in answer.results]
        found += [
            CheckResult(message["plugin"], "loading", "The plugin can be loaded", problem)
            for message in answer.loaded
            for problem in problems_of(message, "tljh_health_checks")
        ]
        stopped = answer.stopped
        if stopped is None:
            return found
        found.append(CheckResult(stopped.plugin, "checks", "The plugin's checks can be done", stopped.problem))
        told = {result.plugin for result in found}
        wanted = [m["plugin"] for m in answer.found if m["plugin"] not in told and m["state"] != "disabled"]
        if not wanted:
            return found


def run_fix(
    machine: Machine,
    python: Path,
    plugin: str,
    check: str,
    *,
    variables: Mapping[str, str] | None = None,
    timeout: float = 600.0,
) -> CheckResult:
    """Let a plugin mend what one of its checks found, and look again."""
    answer = call_child(machine, python, ["fix", plugin, check], variables=variables, timeout=timeout)
    if answer.stopped:
        return CheckResult(plugin, check, check, answer.stopped.problem, True)
    if answer.results:
        return replace(_check_result(answer.results[-1]), name=check)
    problems = [problem for message in answer.loaded for problem in problems_of(message)]
    return CheckResult(plugin, check, check, problems[0] if problems else "it can't be mended by the plugin")


def _check_result(message: dict[str, Any]) -> CheckResult:
    about = message.get("check") or {"name": "checks", "sentence": "The plugin's checks can be done"}
    why = message.get("problem") or message.get("why") or ""
    return CheckResult(message["plugin"], about["name"], about["sentence"], why, bool(about.get("fixable")))


def slow(message: Mapping[str, Any]) -> str:
    """What to say of a hook that took too long; empty where it did not."""
    seconds = message.get("seconds", 0.0)
    return f"{message['label']}: {message.get('hook')} took {seconds:.1f} s" if seconds > SLOW else ""


def _config_result(message: dict[str, Any]) -> ConfigHookResult:
    changes = (
        Change(tuple(change["path"]), change.get("before", ABSENT), change.get("after", ABSENT))
        for change in message.get("changes", ())
    )
    return ConfigHookResult(
        message["plugin"],
        message["version"],
        message["label"],
        tuple(changes),
        message.get("problem"),
        message.get("traceback", ""),
    )


def problems_of(message: dict[str, Any], hook: str | None = None) -> list[str]:
    """Why a plugin (or one hook of it) can't be used, from what the child said when it loaded it."""
    failure = [message["failure"]] if message["failure"] else []
    broken = message["broken"]
    return failure + [sentence for name, sentence in broken.items() if hook in (None, name)]


def _message(line: str) -> dict[str, Any]:
    """One message of the child; empty where the line is none."""
    if not line.startswith('{"tljh": '):
        return {}
    try:
        message = json.loads(line)
    except ValueError:
        return {}  # cut off where the process ended
    return message if isinstance(message, dict) else {}
