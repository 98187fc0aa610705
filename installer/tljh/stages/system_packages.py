"""The system's packages that the hub and the plugins need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import CORE, Diff, Resource
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.plugins.contributions import merged
from tljh.resources.apt import AptPackages, mark_auto, marked_auto
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
MARKS = "packages marked auto"
"""The same for apt's marks: before it removes packages it drops the marks of all of them."""


@dataclass
class Brought(AptPackages):
    """The packages that are wanted; what comes with them is noted, so that an uninstall can take it away again."""

    store: Store = field(kw_only=True, repr=False)

    def change(self, diff: Diff, machine: Machine) -> None:
        # a run that was killed while apt was at work left what there was before
        if not self.store.wishes(BEFORE):
            self.store.set_wishes(BEFORE, [" ".join(sorted(_installed(machine)))])
        try:
            with marks_kept(self.store, machine):
                super().change(diff, machine)
        finally:
            _note_arrived(self.store, machine)


@contextmanager
def marks_kept(store: Store, machine: Machine) -> Iterator[None]:
    """While apt removes packages: if it is cut off, those that are left count as wanted by nobody, as before."""
    restore_marks(store, machine)
    store.set_wishes(MARKS, [" ".join(sorted(marked_auto(machine)))])
    try:
        yield
    except BaseException:
        with suppress(TljhError, OSError):  # then the next run does
            restore_marks(store, machine)
        raise
    store.set_wishes(MARKS, ())


def restore_marks(store: Store, machine: Machine) -> None:
    """Put back the marks of what an apt that was cut off was about to remove."""
    for names in store.wishes(MARKS):
        mark_auto(machine, names.split())
        store.set_wishes(MARKS, ())


def _note_arrived(store: Store, machine: Machine) -> None:
    """Own what has come since apt began its work."""
    for before in store.wishes(BEFORE):
        store.own(ARRIVED, sorted(_installed(machine) - set(before.split())), CORE)
        store.set_wishes(BEFORE, ())


def finish(context: Context) -> None:
    """At the end of a good run: note what a killed one has brought, and forget what is gone.

    What is gone is not ours when somebody else brings it back.
    """
    store, machine = context.store, context.machine
    restore_marks(store, machine)
    _note_arrived(store, machine)
    packages, owned = Facts(machine).deb_packages, store.owned()
    for resource in ("apt", ARRIVED):
        store.disown(resource, [name for name in owned.get(resource, {}) if packages.version(name) is None])


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
