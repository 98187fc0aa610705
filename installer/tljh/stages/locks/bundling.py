"""Makes an offline bundle of a machine that is as it should be; what a bundle holds is in ``resources.bundle``."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import resources as package_files
from pathlib import Path

from tljh.errors import TljhError
from tljh.resources.apt_folder import INDEX, download
from tljh.resources.archives import bundle
from tljh.resources.archives.bundle import Manifest
from tljh.resources.environments.wheels import Wheel, Wheels
from tljh.resources.locks import hub_lock
from tljh.resources.locks.bundle_lock import with_files
from tljh.resources.locks.held import Held, file_of
from tljh.resources.locks.lock import Lock, Requested
from tljh.resources.locks.lock_file import FILE
from tljh.stages.context import Context
from tljh.stages.contributed.plugin_sources import PLUGIN
from tljh.stages.locks import lock_writing
from tljh.stages.locks.lock_writing import Wanted
from tljh.stages.system_packages import CORE_PACKAGES, wanted_packages

PROJECT = "the-littlest-jupyterhub"


def create(context: Context, target: Path) -> Manifest:
    """Make a bundle of what this machine was built from.

    Args:
        context: Of a machine that was looked at.
        target: Where the bundle is to be; the work is done in a folder beside it.

    Raises:
        TljhError: this machine is not as it should be, or something can't be fetched.
    """
    check(context)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        work = Work(context, Path(name), lock_writing.as_it_is(context))
        stages = {
            "installer": work.installer,
            "lock": work.lock,
            "wheels": work.wheels,
            "conda packages": work.conda_packages,
            "system packages": work.system_packages,
        }
        for title, do in stages.items():
            with context.reporter.stage(title):
                note = do()
                if note:
                    context.reporter.note(note)
        with context.reporter.stage("bundle"):
            return work.write(target)


def check(context: Context) -> None:
    """See that a bundle of this machine can be used elsewhere.

    Raises:
        TljhError: what is wanted is not what serves, or a plugin asks for something by its address.
    """
    for name, link in (("hub", context.paths.hub), ("user", context.paths.user)):
        if context.facts.real_path(link) != context.facts.real_path(context.required(f"{name}_target")):
            raise TljhError(
                f"the {name} environment is not what is wanted of it, so that a bundle would not be this machine",
                todo="run `tljh install` first; `tljh plan` shows what it changes",
            )
    lock: Lock = context.required("hub_lock")
    for row in lock.requested:
        if row.origin not in ("core", PLUGIN) and " @ " in row.requirement:
            raise TljhError(
                f"{row.requirement} is asked for by its address, which can't be reached without a network",
                whose=f"plugin {row.origin}",
                todo="a bundle can only hold what plugins ask for by name; nothing was made",
            )


def bootstrap_file() -> Path:
    """``bootstrap.py`` as it was installed with this project.

    Raises:
        TljhError: it was not.
    """
    path = Path(str(package_files.files("tljh") / "bootstrap.py"))
    if not path.exists():
        raise TljhError(
            "this installation has no bootstrap.py: it is editable, or was made by an older version",
            todo="run the bootstrap script again, without TLJH_BOOTSTRAP_DEV",
        )
    return path


def put_bootstrap_beside(context: Context, target: Path) -> Path:
    """Put ``bootstrap.py`` beside a bundle: a machine without zstd can't take it out. Another file stays as it is.

    Returns:
        Where ours is.
    """
    ours = bootstrap_file()
    beside = target.with_name("bootstrap.py")
    if not beside.exists():
        context.machine.write_file(beside, ours.read_bytes(), mode=0o755)
    return beside if beside.read_bytes() == ours.read_bytes() else ours


def pinned_uv() -> str:
    """The uv that bootstrap brings on a machine like this, as a line of a lock."""
    module = importlib.import_module("tljh.bootstrap")
    return f"uv=={module.UV_VERSION} --hash=sha256:{module.UV_WHEELS[platform.machine()][1]}"


@dataclass
class Work:
    """A bundle that is being put together; each step says what it brought.

    Attributes:
        folder: What will be in the bundle, as it will be there.
        wanted: The environments as they are.
        hub: Canonical name → wheel of the hub environment.
    """

    context: Context
    folder: Path
    wanted: Wanted
    hub: dict[str, Wheel] = field(default_factory=dict)

    @property
    def _held(self) -> Held:
        return Held(self.context.machine, str(self.folder / "lock" / FILE))

    def installer(self) -> str:
        """bootstrap.py and uv."""
        shutil.copyfile(bootstrap_file(), self.folder / "bootstrap.py")
        line = pinned_uv()
        self._gather("uv", [line], self.context.paths.hub)
        return line.split(" --hash=")[0]

    def lock(self) -> str:
        """The locks, as `tljh lock` writes them."""
        written = lock_writing.texts_of(self.context, self.wanted, ())
        lock_writing.write(self.context, written, self.folder / "lock")
        return ""

    def wheels(self) -> str:
        """The wheels of all environments; the locks then speak of these very files."""
        held = self._held
        known = held.hub.lines.values() if held.hub else ()
        local = [line for line in self.wanted.hub.lines if " @ file:" in line and not line.startswith("-")]
        editable = [line for line in self.wanted.hub.lines if line.startswith("-e")]
        lines = self._gather("wheels", [*editable, *known, *local], self.context.paths.hub)
        self.hub = {wheel.name: wheel for wheel in (_wheel(line, self.folder / "wheels") for line in lines)}
        ours = {Requested(line, "").name for line in local}
        left = {name: wheel.version for name, wheel in self.hub.items() if name in ours}
        self._write(hub_lock.FILE, hub_lock.text_of([line for line in lines if _name(line) not in left], left))
        for name, (link, _) in self.wanted.environments.items():
            part = held.part(name)
            lines = self._gather("wheels", part.lines, link)
            digests = {_name(line): line.rpartition(":")[2] for line in lines}
            self._write(file_of(name), with_files(held.text(file_of(name)) or "", digests))
        return str(len(list((self.folder / "wheels").glob("*.whl"))))

    def conda_packages(self) -> str:
        """The archives of conda's packages."""
        packages = {
            package.url: package for name in self.wanted.environments for package in self._held.part(name).conda
        }
        if packages:
            self.context.conda.fetch(Lock((), (), conda=tuple(packages.values())), self.folder / "conda")
        return str(len(packages))

    def system_packages(self) -> str:
        """What apt needs on a machine that has nothing yet."""
        context, folder = self.context, self.folder / "apt"
        kept = bundle.kept(context.paths)
        if kept and (kept.packages / INDEX).exists():
            shutil.copytree(kept.packages, folder)
        else:
            context.machine.make_directory(folder)
            wanted = list(wanted_packages(context))
            others = set(wanted) - set(CORE_PACKAGES)
            download(context.machine, wanted, folder, recommended=bool(others), say=context.reporter.detail)
        return str(len(list(folder.glob("*.deb"))))

    def write(self, target: Path) -> Manifest:
        """The file itself."""
        reporter, done = self.context.reporter, 0
        size = 2 * sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

        def told(number: int) -> None:
            nonlocal done
            done += number
            reporter.progress("writing", done, size, size=True)

        manifest = Manifest(
            version=self.hub[PROJECT].version,
            system=system(),
            machine=platform.machine(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
            project=f"wheels/{self.hub[PROJECT].path.name}",
            plugins=[_plugin(spec, self.wanted.hub, self.hub) for spec in self.context.plugin_specs],
            files=bundle.entries(self.folder, told),
        )
        bundle.write(target, self.folder, manifest, told)
        return manifest

    def _gather(self, folder: str, lines: Sequence[str], environment: Path) -> list[str]:
        """The wheels of some lines; pip is the user environment's, which always has one."""
        context = self.context
        wheels = Wheels(
            context.machine,
            self.folder / folder,
            [context.paths.user / "bin" / "python", "-I", "-m", "pip"],
            os.environ,
            say=context.reporter.detail,
            told=partial(context.reporter.progress, "wheels"),
        )
        return wheels.gather(lines, environment / "bin" / "python")

    def _write(self, name: str, text: str) -> None:
        self.context.machine.write_file(self.folder / "lock" / name, text.encode())


def _name(line: str) -> str:
    return Requested(line, "").name


def _wheel(line: str, folder: Path) -> Wheel:
    """The wheel of a line that ``Wheels.gather`` gave."""
    name, _, version = line.split(" --hash=")[0].partition("==")
    found = (Wheel.of(path) for path in folder.glob(f"{name.replace('-', '_')}-*.whl"))
    return next(wheel for wheel in found if wheel.version == version)


def _plugin(spec: str, lock: Lock, wheels: Mapping[str, Wheel]) -> str:
    """What asks for a plugin where there is only the bundle: its name, or its wheel if it had another place."""
    if spec in lock.sources:
        name = _name(lock.sources[spec]["requirement"])
    elif "://" in spec:
        place = spec.partition(" @ ")[2] or spec
        lines = (line for line in lock.lines if line.partition(" @ ")[2].startswith(place.partition("#")[0]))
        name = _name(next(lines, spec))
    else:
        return spec
    return f"wheels/{wheels[name].path.name}"


def system() -> str:
    """``debian 12``: this machine's operating system."""
    found = platform.freedesktop_os_release()
    return f"{found.get('ID', '')} {found.get('VERSION_ID', '')}".strip()
