"""The system's packages that the hub and the plugins need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import CORE, Diff, Resource
from tljh.engine.store import Store
from tljh.plugins.contributions import merged
from tljh.resources.apt import AptPackages
from tljh.resources.archives.bundle import kept
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds

CORE_PACKAGES = (
    "git",  # nbgitpuller runs it
    "sudo",  # admins use it
)


ARRIVED = "arrived packages"
"""Under which name the store keeps every package that came with those that were wanted."""
BEFORE = "packages before"
"""The kind of wish that keeps what there was before apt began, as long as it is at work."""


@dataclass
class Brought(AptPackages):
    """The packages that are wanted; what comes with them is noted, so that an uninstall can take it away again."""

    store: Store = field(kw_only=True, repr=False)

    def change(self, diff: Diff, machine: Machine) -> None:
        # a run that was killed while apt was at work left what there was before
        if not self.store.wishes(BEFORE):
            self.store.set_wishes(BEFORE, [" ".join(sorted(_installed(machine)))])
        try:
            super().change(diff, machine)
        finally:
            before = set(self.store.wishes(BEFORE)[0].split())
            now = _installed(machine)
            self.store.own(ARRIVED, sorted(now - before), CORE)
            # what is gone again is not ours when somebody else brings it back
            self.store.disown(ARRIVED, sorted({*self.store.owned().get(ARRIVED, {})} - now))
            self.store.set_wishes(BEFORE, ())


def _installed(machine: Machine) -> set[str]:
    return set(Facts(machine).deb_packages.installed)


class SystemPackages(Stage[Context]):
    """What comes from apt, before any environment is switched to."""

    name = "system packages"
    priority = 30

    def resources(self, context: Context) -> Iterable[Resource]:
        found = AptPackages.of(wanted_packages(context), context.reporter.detail)
        packages = Brought(found.id, found.specs, found.say, origins=found.origins, store=context.store)
        packages.tell = context.reporter.say
        bundle = kept(context.paths)
        if bundle and bundle.packages.exists():
            packages.source = bundle.packages
        yield packages


def wanted_packages(context: Context) -> dict[str, str]:
    """What is wanted from apt, with who asked for it."""
    wanted = dict.fromkeys(CORE_PACKAGES, CORE)
    for row in merged(context.reports, "tljh_extra_apt_packages"):
        wanted.setdefault(row.value, row.plugin)
    for package, plugin in plugin_deeds.apt_packages(context).items():
        wanted.setdefault(package, plugin)
    return wanted
