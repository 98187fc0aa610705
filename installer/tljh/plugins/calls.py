"""The parent's side of ``child.py``: starts it, reads its messages, and names the plugin that stopped it.

What the answers mean for an install is decided by the caller; list hooks are in ``contributions.py``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import CommandFailed, TljhError
from tljh.plugins.merge import Change, ConfigHookResult
from tljh.plugins.values import ABSENT

log = logging.getLogger("tljh.plugins")


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


@dataclass(frozen=True)
class HookFailure:
    """How an imperative hook failed.

    Attributes:
        problem: One sentence that names the plugin, its version and the hook.
        traceback: For the log; empty where the process ended without one.
    """

    problem: str
    traceback: str = ""


@dataclass
class _Reader:
    """Reads messages as they were sent."""

    loaded: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    begun: dict[str, Any] | None = None
    ended: bool = False

    def read(self, output: str) -> None:
        for line in output.splitlines():
            message = _message(line)
            kind = message.get("tljh")
            if kind == "begin":
                self.begun = message
            elif kind == "loaded":
                self.loaded.append(message)
                self.begun = None
            elif kind == "result":
                self.results.append(message)
                self.begun = None
            elif kind == "end":
                self.ended = True
            if message.get("traceback"):
                log.debug("%s", message["traceback"])


def call_child(
    machine: Machine,
    python: Path,
    arguments: Sequence[str],
    *,
    timeout: float,
    input: str | None = None,
    cwd: Path | None = None,
) -> ChildAnswer:
    """Run ``tljh.plugins.child`` in the environment of ``python`` and read what it says.

    Args:
        timeout: Seconds for all plugins together.
        cwd: Its working folder; ``/`` when not given.

    Raises:
        TljhError: the process ended before it had come to a plugin.
    """
    reader = _Reader()
    command: list[str | Path] = [python, "-m", "tljh.plugins.child", *arguments]
    # otherwise a file in the working folder that is named like a module of ours would be imported instead
    env = {"PYTHONSAFEPATH": "1"}
    try:
        done = machine.run(command, input=input, env=env, cwd=cwd or Path("/"), timeout=timeout, check=False)
        reader.read(done.stdout)
        output, how = done.output, _ending(done.returncode)
    except CommandFailed as error:
        reader.read(error.output)
        output, how = error.output, f"did not end within {timeout:g} s"
    if reader.ended:
        return ChildAnswer(tuple(reader.loaded), tuple(reader.results))
    if reader.begun is None:
        said = "\n".join(line for line in output.splitlines()[-15:] if not _message(line))
        raise TljhError(f"the process that asks the plugins ({python}) {how}\n{said}".rstrip())
    begun = reader.begun
    doing = begun["hook"] or "loading it"
    stopped = Stopped(begun["plugin"], begun["version"], begun["label"], f"{begun['label']}: {doing} {how}")
    return ChildAnswer(tuple(reader.loaded), tuple(reader.results), stopped)


def run_config_hooks(
    machine: Machine, python: Path, text: str, *, timeout: float = 60.0
) -> list[ConfigHookResult]:
    """Let each plugin's ``tljh_config_post_install`` change a copy of config.yaml.

    Args:
        text: What stands in config.yaml.
        timeout: Seconds for all plugins together.

    Returns:
        What each did, in the order in which they ran; a failed one with its ``failure`` and no changes.
    """
    answer = call_child(machine, python, ["config"], input=text, timeout=timeout)
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
    machine: Machine, python: Path, plugin: str, *, cwd: Path, timeout: float = 900.0
) -> HookFailure | None:
    """Run ``tljh_post_install`` of one plugin.

    Args:
        plugin: The name of its entry point.
        cwd: The working folder, to which plugins write with relative paths.
        timeout: Seconds.

    Returns:
        How it failed; ``None`` when it did not.
    """
    answer = call_child(machine, python, ["post-install", plugin], cwd=cwd, timeout=timeout)
    if answer.stopped:
        return HookFailure(answer.stopped.problem)
    for message in answer.results:
        if message.get("problem"):
            return HookFailure(message["problem"], message.get("traceback", ""))
    if not answer.loaded:
        return HookFailure(f"plugin {plugin}: it is not installed in the environment of {python}")
    if answer.results:
        return None
    found = answer.loaded[0]
    problems = problems_of(found, "tljh_post_install")
    return HookFailure(problems[0], found["traceback"]) if problems else None


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


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"ended the process (signal {-returncode})"
    return f"ended the process (status {returncode})"
