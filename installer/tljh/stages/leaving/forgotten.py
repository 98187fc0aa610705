"""What no stage speaks of any more, as resources that want nothing: how an install and an uninstall remove it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tljh.engine.resource import Resource
from tljh.resources.plugin_account import Membership, PluginAccount, PluginGroup
from tljh.resources.plugin_file import PluginFile, PluginFolder, PluginLink, UnitFile
from tljh.resources.service import Service
from tljh.resources.unit import FOLDER, UnitState
from tljh.stages.context import Context
from tljh.stages.contributed import deployment


def makers(context: Context) -> dict[str, Callable[[str], Resource]]:
    """For each kind, what makes such a resource of an id."""
    nowhere = Path("/nonexistent")
    store, say = context.store, context.reporter.warn

    def file(name: str) -> Resource:
        # a unit's file: systemd has to read its units again
        kind = UnitFile if FOLDER in Path(name.partition(":")[2]).parents else PluginFile
        return kind(name, earlier=store.replaced(name), say=say)

    return {
        "file": file,
        "link": lambda name: PluginLink(name, earlier=store.replaced(name), say=say),
        "directory": lambda name: PluginFolder(name, wanted=False, earlier=store.replaced(name), say=say),
        "group": lambda name: PluginGroup(name, store, wanted=False),
        "account": lambda name: PluginAccount(name, store, wanted=False),
        "member": lambda name: Membership(name, wanted=False),
        "unit": lambda name: UnitState(name),
        "service": lambda name: Service(
            name, manager=context.manager, started=nowhere, environment=nowhere, wanted=False
        ),
        deployment.KIND: deployment.forgotten(context),
    }
