"""The hub environment: what ``plugins`` found out, switched to; and the commands that live in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.machine import Machine
from tljh.engine.resource import Resource
from tljh.resources.command import script
from tljh.resources.environments.environment import Environment
from tljh.resources.file import File, Link
from tljh.stages.context import Context

COMMANDS = ("tljh", "tljh-config")
COMMANDS_FOLDER = Path("/usr/bin")
VERIFY = (("bin/python", "-c", "import jupyterhub.app, tljh.installer"),)


class HubEnvironment(Stage[Context]):
    """JupyterHub, the proxy, the authenticators, this project and the plugins."""

    name = "hub environment"
    priority = 40

    def resources(self, context: Context) -> Iterable[Resource]:
        if not context.predecessor:  # whose hub serves from its own until the services' stage
            yield environment(context)
        for command in COMMANDS:
            started_by = context.paths.bin / command
            yield File.at(started_by, script(command, context.paths.prefix), mode="0755")
            yield Link.at(COMMANDS_FOLDER / command, str(started_by))


def environment(context: Context) -> Environment:
    """The hub environment, and the link to it."""
    lock = context.required("hub_lock")
    return Environment(
        "environment:hub",
        link=context.paths.hub,
        lock=lock,
        target=context.required("hub_target"),
        builder=context.builder,
        finish=_nothing_more,
        verify=VERIFY,
        origins=lock.origins,
    )


def _nothing_more(machine: Machine, path: Path) -> None:
    """A hub environment needs nothing beside its packages."""
