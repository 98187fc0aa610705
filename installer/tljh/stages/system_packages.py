"""The system's packages that the hub and the plugins need."""

from __future__ import annotations

from collections.abc import Iterable

from tljh.engine.build import Stage
from tljh.engine.resource import CORE, Resource
from tljh.plugins.contributions import merged
from tljh.resources.apt import AptPackages
from tljh.resources.bundle import kept
from tljh.stages import plugin_deeds
from tljh.stages.context import Context

CORE_PACKAGES = (
    "git",  # nbgitpuller runs it
    "sudo",  # admins use it
)


class SystemPackages(Stage[Context]):
    """What comes from apt, before any environment is switched to."""

    name = "system packages"
    priority = 30

    def resources(self, context: Context) -> Iterable[Resource]:
        packages = AptPackages.of(wanted_packages(context), context.reporter.detail)
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
