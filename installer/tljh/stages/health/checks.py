"""The core's own health checks, which ``tljh doctor`` does: five questions, each answered in a few seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tljh.configurer import load_secrets, with_defaults
from tljh.declare import HealthCheck
from tljh.engine.resource import Diff, difference
from tljh.errors import TljhError
from tljh.resources.environments import inventory
from tljh.resources.environments.environment import is_intact
from tljh.resources.locks.lock import Lock
from tljh.resources.service import Service
from tljh.settings.document import Document
from tljh.settings.reload import check_hub
from tljh.settings.validation import check
from tljh.stages.context import Context
from tljh.stages.services import Services
from tljh.stages.verification import hub_answer, wait_for_hub

LEAST_FREE = 1_000_000_000  # bytes: what building an environment anew takes
LEAST_INODES = 20_000  # an environment has about as many files
FIXED_WITHIN = 60.0  # seconds until the hub must answer again


def core_checks(context: Context) -> list[HealthCheck]:
    """The five checks of the core, in the order in which their answers explain each other."""
    core = _Core(context)
    return [
        HealthCheck("config", "config.yaml is valid, and what it says is what runs", core.config, core.reload),
        HealthCheck("disk space", "there is room for the installation and people's homes", core.disk_space),
        HealthCheck("environments", "each environment holds what it should", core.environments, core.mend),
        HealthCheck("services", "hub and proxy run with what is on disk", core.services, core.restart),
        HealthCheck("hub", "the hub answers through the proxy", core.hub, core.start),
    ]


class _Core:
    """What the checks have in common."""

    def __init__(self, context: Context) -> None:
        self.context = context

    # ---- config.yaml

    def config(self) -> str:
        document = self._document()
        warnings = [problem.at(self._name) for problem in check(document, self._name)]
        pending = [f"{service}: {self._name} has changed since it was started" for service in self._pending()]
        return "\n".join([*pending, *warnings])

    @property
    def _name(self) -> str:
        return str(self.context.paths.config_file)

    def _document(self) -> Document:
        return Document.load(self.context.paths.config_file)

    def _settings(self) -> Mapping[str, Any]:
        document = self._document()
        check(document, self._name)
        return with_defaults(document.as_dict(), load_secrets(self.context.paths.state))

    def _pending(self) -> list[str]:
        key = f"with {self._name}"
        return [service.name for service, diff in self._running() if key in diff.put and "active" not in diff.put]

    def reload(self) -> None:
        """Restart what has not read config.yaml since it was changed; a wrong one is left to the admin."""
        self._settings()
        self._start(self._pending())

    # ---- disks

    def disk_space(self) -> str:
        said = []
        seen: set[int] = set()
        for path in (self.context.paths.prefix, Path("/home")):
            if not path.exists() or path.stat().st_dev in seen:
                continue
            seen.add(path.stat().st_dev)
            said += _too_little(path)
        return "\n".join(said)

    # ---- environments

    def environments(self) -> str:
        faults = (_fault(self.context, name, path) for name, path in self._environments().items())
        return "\n".join(fault for fault in faults if fault)

    def _environments(self) -> Mapping[str, Path]:
        self.context.facts.refresh()
        return inventory.links(self.context.paths, self.context.facts)

    def mend(self) -> None:
        """Install what is missing anew, as the environment's lock has it.

        Raises:
            TljhError: it is more than single packages.
        """
        from tljh.stages.health.mending import reinstall

        for name, path in self._environments().items():
            fact = self.context.facts.environment(path)
            lock = Lock.of_record(fact.record) if fact else None
            if fact is None or lock is None or not fact.has_python:
                raise TljhError(
                    f"the environment {name} can't be mended piece by piece", todo="run 'tljh install'"
                )
            missing = [pin for pin in lock.pins if not is_intact(fact, {pin: lock.pins[pin]})]
            if missing:
                reinstall(self.context, fact.path, missing)

    # ---- services

    def services(self) -> str:
        said = []
        config = f"with {self._name}"
        for service, diff in self._running():
            differing = [key for key in diff.put if key != config]  # that one has a check of its own
            if "active" in diff.put:
                differing = ["active"]  # what is not running runs with nothing
            if differing:
                said.append(f"{service.name}: " + "; ".join(_in_words(key, diff) for key in differing))
        return "\n".join(said)

    def _running(self) -> list[tuple[Service, Diff]]:
        self.context.facts.refresh()
        target = self.context.facts.real_path(self.context.paths.hub)
        # what runs is compared with what is on disk, not with what an install would write
        as_it_is = replace(self.context, hub_target=target, config_text="", written={}, unread=set())
        services = [found for found in Services().resources(as_it_is) if isinstance(found, Service)]
        for service in services:
            service.planned = {}
        return [(service, difference(service, self.context.facts, set())) for service in services]

    def restart(self) -> None:
        """Restart what runs with something else."""
        self._start([service.name for service, diff in self._running() if diff.put])

    # ---- the hub

    def hub(self) -> str:
        try:
            settings = self._settings()
        except TljhError:  # there is a check of its own for that; the hub runs with what was there before
            recorded = self.context.store.newest().get("config", "")
            settings = with_defaults(Document(recorded).as_dict())
        return hub_answer(settings).get("error", "")

    def start(self) -> None:
        """Start the proxy and the hub anew."""
        self._start(["traefik", "jupyterhub"])

    def _start(self, names: Sequence[str]) -> None:
        settings = check_hub(self.context.paths, self.context.machine)
        for name in names:
            self.context.manager.start(name)
        if names:
            started = self.context.paths.started("jupyterhub")
            wait_for_hub(settings, self.context.manager, FIXED_WITHIN, started=started)


def _too_little(path: Path) -> list[str]:
    found = os.statvfs(path)
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    said = []
    if free < LEAST_FREE:
        said.append(f"{path}: {free / 1e6:,.0f} MB are free, {LEAST_FREE / 1e6:,.0f} MB are needed to be safe")
    if found.f_files and inodes < LEAST_INODES:
        said.append(f"{path}: room for {inodes:,} more files, {LEAST_INODES:,} are needed to be safe")
    return said


def _fault(context: Context, name: str, path: Path) -> str:
    """What is wrong with an environment, as far as a quick look tells; ``tljh env verify`` reads every file."""
    fact = context.facts.environment(path)
    lock = Lock.of_record(fact.record) if fact else None
    if fact is None:
        return f"{name}: there is no environment at {path}"
    if lock is None or not fact.has_python:
        return f"{name}: {fact.path} is not complete"
    missing = [pin for pin in lock.pins if not is_intact(fact, {pin: lock.pins[pin]})]
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f"{name}: not there, or in another version: {', '.join(missing[:5])}{more}" if missing else ""


def _in_words(key: str, diff: Diff) -> str:
    if key in ("active", "enabled"):
        return f"{key}: {diff.before.get(key, 'no')}"
    if key == "environment":
        return f"it runs from {diff.before.get(key, 'nowhere')}, not from {diff.put[key]}"
    return f"it was started before {key.removeprefix('with ')} was changed"
