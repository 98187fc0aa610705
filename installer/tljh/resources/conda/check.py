"""Whether conda packages are what specs ask for; no channel is asked.

``check`` runs in the worker (``worker``), which has rattler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tljh.resources.locks.lock import CondaPackage

if TYPE_CHECKING:
    from rattler import PackageRecord


async def check(packages: Sequence[Mapping[str, Any]], specs: Sequence[str], **ignored: Any) -> dict[str, Any]:
    """Compare packages with specs, and with this machine.

    Args:
        packages: As a lock gives them.
        specs: What somebody asks for.
        ignored: What the worker is told for its other work.

    Returns:
        ``unmet``: specs that none of the packages satisfies; ``machine``: for each package that asks for something
        of the machine that it does not have, its name, the spec, and what the machine has. Or, as the worker's
        answers do, a ``fault``: ``spec`` where one is none.
    """
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    records = [_record(CondaPackage.of(said)) for said in packages]
    unmet = []
    for spec in specs:
        try:
            match = MatchSpec(spec, strict=False)
        except InvalidMatchSpecError as error:
            return {"fault": "spec", "text": str(error), "about": spec}
        if not any(map(match.matches, records)):
            unmet.append(spec)
    virtual = _virtual_packages()
    machine = []
    for package in map(CondaPackage.of, packages):
        for spec in (spec for spec in package.depends if spec.startswith("__")):
            has = virtual.get(spec.split()[0])
            if has is None or not MatchSpec(spec, strict=False).matches(has):
                machine.append([package.name, spec, str(has.version) if has else ""])
    return {"unmet": unmet, "machine": machine}


def _record(package: CondaPackage) -> PackageRecord:
    from rattler import BuildString, PackageRecord

    build = BuildString(package.build)
    return PackageRecord(package.name, package.version, build, package.build_number, package.subdir)


def _virtual_packages() -> dict[str, PackageRecord]:
    """What this machine has, as if they were packages (CEP 30)."""
    from rattler import PackageRecord, VirtualPackage, VirtualPackageOverrides

    found: dict[str, PackageRecord] = {}
    for package in VirtualPackage.detect(VirtualPackageOverrides.from_env()):
        generic = package.into_generic()
        name, version = generic.name.normalized, str(generic.version)
        found[name] = PackageRecord(name, version, generic.build_string, 0, "noarch")
    return found
