"""The system's packages: the Depends of one local metapackage, so that apt's own marks say who wants them."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.outside import fault
from tljh.engine.resource import CORE, Diff, Resource, State, Undo
from tljh.errors import CommandFailed, TljhError
from tljh.resources.apt_folder import only_from
from tljh.resources.apt_others import failed_packages, patience, wait_for_others
from tljh.resources.apt_others import finish_interrupted as finish_first

METAPACKAGE = "tljh-requirements"
_SPEC = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?)(?:=(?P<version>[0-9][\w.+:~-]*)|/(?P<release>[\w.-]+))?$"
)
# how apt-get names a package that it cannot find or install
_COMPLAINT = r"(?:[Pp]ackage '?|Depends: |for '|PreDepends: )"
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "LC_ALL": "C.UTF-8"}
_SETTINGS = "the sources of apt (/etc/apt/sources.list.d, proxies in /etc/apt/apt.conf.d)"
UPDATE_TIMEOUT = 300.0  # seconds for the package lists


@dataclass(frozen=True)
class AptSpec:
    """One wanted package as apt-get(8) takes it: ``name``, ``name:arch``, ``name=version``, ``name/release``."""

    text: str
    name: str
    version: str
    release: str

    @classmethod
    def parse(cls, text: str, whose: str) -> AptSpec:
        """Read one spec.

        Raises:
            TljhError: it is not one.
        """
        found = _SPEC.fullmatch(text)
        if not found:
            raise TljhError(
                f"{text!r} is not the name of an apt package",
                whose=whose,
                todo="write name, name=version or name/release",
            )
        return cls(text, found["name"], found["version"] or "", found["release"] or "")

    @property
    def is_plain(self) -> bool:
        """Whether any version will do."""
        return not (self.version or self.release)

    @property
    def depends(self) -> str:
        """The spec as a Depends field says it."""
        return f"{self.name} (= {self.version})" if self.version else self.name


@dataclass
class AptPackages(Resource):
    """All packages that we want from apt, in one transaction.

    Attributes:
        specs: What is wanted, in the order in which it was asked for.
        say: Told what apt is doing, for people.
        tell: Told what people have to know: whom apt waits for.
        source: A folder of packages with an index (``apt_folder``). What it has is taken from there alone.
    """

    specs: Sequence[AptSpec] = ()
    say: Callable[[str], None] = print
    tell: Callable[[str], None] = print
    source: Path | None = None

    undo: ClassVar[Undo] = Undo.INVERSE
    gives_up: ClassVar[bool] = True

    @classmethod
    def of(cls, wanted: Mapping[str, str], say: Callable[[str], None]) -> AptPackages:
        """Packages by spec, with who asked for each; a version or release wins over the mere name.

        Raises:
            TljhError: a spec is none, or two ask for different versions of one package; both are named.
        """
        found: dict[str, AptSpec] = {}
        for text, whose in wanted.items():
            spec = AptSpec.parse(text, whose)
            there = found.setdefault(spec.name, spec)
            if there.is_plain:
                found[spec.name] = spec
            elif not spec.is_plain and spec.text != there.text:
                both = f"{wanted[there.text]} asks for {there.text}, {whose} asks for {text}"
                raise TljhError(f"apt can install only one of them: {both}", todo="leave one of them out")
        origins = {name: wanted[spec.text] for name, spec in found.items()}
        return cls("apt", origins=origins, specs=list(found.values()), say=say)

    def desired(self) -> State:
        wanted = {spec.name: spec.version or "installed" for spec in self.specs}
        return {**wanted, METAPACKAGE: _version(self.specs)} if wanted else {}

    def observe(self, facts: Facts) -> State:
        pinned = {spec.name for spec in self.specs if spec.version}
        packages = facts.deb_packages
        names = [*(spec.name for spec in self.specs), *self.origins, METAPACKAGE]
        versions = {name: packages.version(name) for name in names}
        exact = {*pinned, METAPACKAGE}
        return {n: (v if n in exact else "installed") for n, v in versions.items() if v is not None}

    def change(self, diff: Diff, machine: Machine) -> None:
        if diff.put:
            ours = [spec for spec in self.specs if self.origin(spec.name) == CORE]
            missing = any(spec.name in diff.put for spec in ours)
            if missing:
                # what we need ourselves comes without what its packager would like to see beside it
                self._install(ours, machine, "--no-install-recommends")
            if ours != list(self.specs) or not missing:
                self._install(self.specs, machine)
        elif not self.specs:
            apt_get(machine, "remove", METAPACKAGE)
        gone = [name for name in diff.drop if name != METAPACKAGE]
        if gone:
            self._remove(gone, machine)

    def _install(self, specs: Sequence[AptSpec], machine: Machine, *options: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            package = _metapackage(Path(folder), specs, machine)
            releases = [spec.text for spec in specs if spec.release]
            sources = self._sources(specs, machine, Path(folder))
            if not sources and not _available(machine, specs):
                self.say("apt: reading the package lists")
                self._update(machine, specs)
            # --fix-broken: something that the metapackage needs may have been removed by force
            words = ("install", *sources, "--fix-broken", *options, *releases, str(package))
            try:
                apt_get(machine, *words, on_line=self.say, tell=self.tell)
            except CommandFailed as error:
                raise self._explained(error) from error
        _mark_named_as_auto(machine, specs)

    def _update(self, machine: Machine, specs: Sequence[AptSpec]) -> None:
        """Read the package lists. Where they can't be fetched apt only warns, and later knows no package."""
        try:
            said = _read_lists(machine, self.tell)
        except CommandFailed as error:
            raise self._explained(error) from error
        outside = fault(said, "the mirror of the system's packages", _SETTINGS)
        if outside and not _available(machine, specs):
            raise TljhError(
                f"the lists of the system's packages could not be read: {outside[0]}\n{_last_lines(said)}",
                todo=f"{outside[1]}, then run the same command again",
            )

    def _sources(self, specs: Sequence[AptSpec], machine: Machine, folder: Path) -> list[str]:
        """What makes apt take packages from our own folder; nothing where it hasn't all of them."""
        if not self.source:
            return []
        sources = only_from(self.source, folder)
        apt_get(machine, "update", *sources)
        return sources if _available(machine, specs, *sources) else []

    def _explained(self, error: CommandFailed) -> TljhError:
        """What kept apt from it, or whose package it was that apt could not find or install."""
        outside = fault(error.output, "the mirror of the system's packages", _SETTINGS)
        if outside:
            return TljhError(
                f"apt could not install what is wanted: {outside[0]}\n{_last_lines(error.output)}",
                todo=f"{outside[1]}, then run the same command again",
            )
        others = failed_packages(error.output)
        if others and not set(others.split(", ")) & {*self.origins, METAPACKAGE}:
            return TljhError(
                f"dpkg cannot finish {others}, which is none of the packages that are wanted here\n"
                f"{_last_lines(error.output)}",
                todo=f"mend or remove {others} (dpkg --configure -a), then run the same command again",
            )
        blamed = [
            f"{spec.name} (asked for by {self.origin(spec.name)})"
            for spec in self.specs
            if re.search(_COMPLAINT + re.escape(spec.name) + r"(?![\w.+-])", error.output)
        ]
        names = ", ".join(blamed) or "the packages wanted"
        return TljhError(
            f"apt could not install {names}\n{error}",
            todo="mend what apt complains of, or remove what asks for it, then run the same command again",
        )

    def _remove(self, names: Sequence[str], machine: Machine) -> None:
        """Remove what is ours, but nothing that anybody else needs."""
        for name in names:
            if simulated(machine, "remove", name) <= {*names, METAPACKAGE}:
                apt_get(machine, "remove", name)


def simulated(machine: Machine, *words: str) -> set[str]:
    """The packages that apt would remove.

    Raises:
        CommandFailed: it can't say.
    """
    said = machine.run(["apt-get", "-s", *words], env=_ENVIRONMENT, timeout=120.0).stdout
    return {name.partition(":")[0] for name in re.findall(r"^(?:Remv|Purg) (\S+)", said, re.M)}


def finish_interrupted(machine: Machine, tell: Callable[[str], None]) -> None:
    """Bring to its end what an interrupted dpkg left half done, also where apt has nothing else to do."""
    finish_first(machine, tell, partial(_dpkg, machine, None))


def _last_lines(output: str) -> str:
    return "\n".join(f"    {line}" for line in output.strip().splitlines()[-8:])


def _version(specs: Sequence[AptSpec]) -> str:
    """The metapackage's version: it changes with what it depends on."""
    text = ",".join(sorted(spec.text for spec in specs))
    return f"1+{int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)}"


def _metapackage(folder: Path, specs: Sequence[AptSpec], machine: Machine) -> Path:
    """Build the package that depends on what is wanted (deb-control(5))."""
    control = folder / "package" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.parent.chmod(0o755)
    depends = ", ".join(spec.depends for spec in specs)
    control.write_text(
        f"Package: {METAPACKAGE}\nVersion: {_version(specs)}\nArchitecture: all\n"
        f"Maintainer: The administrator of this machine <root@localhost>\nDepends: {depends}\n"
        "Description: what JupyterHub and its plugins need of this system\n"
        " Made by the installer in /opt/tljh; remove it only with that.\n"
    )
    folder.chmod(0o755)  # apt's own user reads it
    target = folder / f"{METAPACKAGE}.deb"
    machine.run(["dpkg-deb", "--root-owner-group", "--build", control.parent.parent, target])
    return target


def _read_lists(machine: Machine, tell: Callable[[str], None]) -> str:
    """Read the package lists; once more where apt comes to no end, as it does when one of its helpers is lost."""
    try:
        return apt_get(machine, "update", timeout=UPDATE_TIMEOUT, tell=tell)
    except CommandFailed as error:
        if error.returncode is not None:
            raise
        return apt_get(machine, "update", timeout=UPDATE_TIMEOUT, tell=tell)


def apt_get(
    machine: Machine,
    *words: str,
    on_line: Callable[[str], None] | None = None,
    timeout: float = 3600.0,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """Run apt-get when nobody else does; returns what it printed.

    Args:
        tell: Told what it has to wait for, and what it has to finish before.
    """
    deadline = time.monotonic() + patience()
    options = ["-y", "-q", "-o", f"DPkg::Lock::Timeout={patience():.0f}", "-o", "Dpkg::Use-Pty=0"]
    keep = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
    # --no-remove: to install a plugin's package must never take another package away
    careful = ["--no-remove", "--allow-downgrades"] if words[0] == "install" else []
    command = ["apt-get", *options, *keep, *careful, *words]
    while True:
        wait_for_others(machine, tell, deadline)
        finish_first(machine, tell, partial(_dpkg, machine, on_line))
        try:
            return machine.run(command, env=_ENVIRONMENT, timeout=timeout, on_line=on_line).output
        except CommandFailed as error:
            # somebody was faster, between our look and apt's
            if "Could not get lock" not in error.output or time.monotonic() > deadline:
                raise


def _dpkg(machine: Machine, on_line: Callable[[str], None] | None, *words: str) -> None:
    command = ["dpkg", "--force-confdef", "--force-confold", *words]
    machine.run(command, env=_ENVIRONMENT, timeout=1800.0, on_line=on_line)


def marked_auto(machine: Machine) -> set[str]:
    """The packages that are there for another's sake (apt-mark(8)), from apt's ``extended_states``."""
    text = (machine.read(Path("/var/lib/apt/extended_states")) or b"").decode()
    paragraphs = [
        paragraph for paragraph in text.split("\n\n") if re.search(r"^Auto-Installed: 1$", paragraph, re.M)
    ]
    return {name for paragraph in paragraphs for name in re.findall(r"^Package: (\S+)$", paragraph, re.M)}


def mark_auto(machine: Machine, names: Iterable[str]) -> None:
    """Mark those of ``names`` that are installed and not marked so."""
    wanted = set(names) & Facts(machine).deb_packages.installed.keys() - marked_auto(machine)
    if wanted:
        machine.run(["apt-mark", "auto", *sorted(wanted)], env=_ENVIRONMENT)


def _available(machine: Machine, specs: Sequence[AptSpec], *options: str) -> bool:
    """Whether apt's lists know every package; a fresh machine has no lists at all."""
    names = [spec.name for spec in specs]
    shown = machine.run(["apt-cache", "policy", *options, *names], env=_ENVIRONMENT, check=False).stdout
    return all(
        re.search(rf"^{re.escape(name)}:\n  Installed: .*\n  Candidate: [^(\s]", shown, re.M) for name in names
    )


def _mark_named_as_auto(machine: Machine, specs: Sequence[AptSpec]) -> None:
    """``name/release`` had to be named on the command line, which marks it as the admin's own."""
    mark_auto(machine, [spec.name for spec in specs if spec.release])
