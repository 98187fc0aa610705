"""Makes this machine what a backup says: first what no install makes, then an install.

In this order, each step safe to be done again: accounts and homes, files, passwords and the hub's database, what
the state database remembers. What is there on a machine in use is kept beside: its own state as a backup, homes
under another name. The install that follows builds the environments as they were (``stages.restored``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tljh.engine.facts import Facts
from tljh.engine.resource import difference
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.hub import passwords
from tljh.resources.people import servers_of
from tljh.settings.document import locked
from tljh.stages.backups import backup, moved_accounts, restored
from tljh.stages.backups.backup_file import DATABASE, STORE, BackupFile, Contents
from tljh.stages.backups.moved_accounts import People
from tljh.stages.backups.restored_homes import Homes, make_empty
from tljh.stages.context import Context
from tljh.user import HOMES

SPARE = 200_000_000  # bytes that are to be left on each disk
_NOTHING = "nothing was changed"


@dataclass(frozen=True)
class Restoration:
    """A backup that was read, and what putting it here means.

    Attributes:
        people: With the numbers that they will have here.
        homes: Whose homes come from the backup.
        in_use: Whether people have used the hub of this machine: it is asked before that goes.
        notes: Sentences for whoever decides.
    """

    file: BackupFile
    contents: Contents
    people: People
    homes: tuple[str, ...]
    in_use: bool
    notes: tuple[str, ...] = ()


# ---- before anything is changed


@contextlib.contextmanager
def looked_at(context: Context, file: BackupFile, *, homes: bool, renumber: bool) -> Iterator[Restoration]:
    """Read all of a backup and see whether it can be put here.

    Args:
        homes: Whether homes that are in it are to be restored.
        renumber: Give accounts other numbers where theirs are taken here.

    Raises:
        TljhError: it is damaged, not for this machine, a number is taken, or a disk is too small. Nothing was
            changed.
    """
    manifest = file.manifest()
    if manifest.prefix != str(context.paths.prefix):
        raise TljhError(
            f"the backup is of a hub in {manifest.prefix}, and here it is in {context.paths.prefix}",
            todo=f"run the same command with TLJH_INSTALL_PREFIX={manifest.prefix}; {_NOTHING}",
        )
    folder = context.paths.prefix / ".restore"
    context.machine.remove(folder)
    folder.mkdir(mode=0o700)
    try:
        _refuse_small_disk({context.paths.prefix: manifest.state})
        total, done = manifest.state + sum(manifest.homes.values()), 0

        def told(number: int) -> None:
            nonlocal done
            done += number
            context.reporter.progress("reading", min(done, total), total, size=True)

        with context.reporter.stage("backup is whole"):
            contents = file.unpack(folder, told)
        yield _judged(context, file, contents, homes=homes, renumber=renumber)
    finally:
        context.machine.remove(folder)


def _judged(context: Context, file: BackupFile, contents: Contents, *, homes: bool, renumber: bool) -> Restoration:
    people, manifest = contents.people, contents.manifest
    if renumber:
        people = moved_accounts.renumbered(people)
    faults = moved_accounts.conflicts(people)
    if faults:
        raise TljhError(
            "accounts of the backup cannot be made on this machine:\n  " + "\n  ".join(faults),
            todo="give them other numbers (--renumber; files outside homes keep the old ones), or give others to "
            f"the accounts that are in the way (usermod --uid); {_NOTHING}",
        )
    wanted = tuple(row.name for row in people.accounts if homes and row.name in manifest.homes)
    faults = moved_accounts.home_faults(people, wanted)
    if faults:
        raise TljhError(
            "homes of the backup cannot be put on this machine:\n  " + "\n  ".join(faults),
            todo=f"restore without them (--without-homes); {_NOTHING}",
        )
    places = {Path(row.home).parent: 0 for row in people.accounts if row.name in wanted}
    for row in people.accounts:
        if row.name in wanted:
            places[Path(row.home).parent] += manifest.homes[row.name]
    _refuse_small_disk({**places, context.paths.prefix: manifest.state + manifest.environments})
    with Store(contents.folder / STORE, read_only=True):
        pass  # it can be read
    in_use = bool(context.store.newest()) and context.paths.hub_database.exists()
    return Restoration(file, contents, people, wanted, in_use, tuple(_notes(contents, people)))


def _refuse_small_disk(needed: Mapping[Path, int]) -> None:
    """Each disk has room for all that is to come to it."""
    disks: dict[int, tuple[Path, int]] = {}
    for place, size in needed.items():
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        disk = there.stat().st_dev
        first, already = disks.get(disk, (there, 0))
        disks[disk] = (first, already + size)
    for place, size in disks.values():
        free = shutil.disk_usage(place).free
        if free < size + SPARE:
            raise TljhError(
                f"{(size + SPARE) / 1e6:.0f} MB are needed at {place}, and {free / 1e6:.0f} MB are free",
                todo=f"make room there; {_NOTHING}",
            )


def _notes(contents: Contents, people: People) -> Iterator[str]:
    for then, row in zip(contents.people.accounts, people.accounts, strict=True):
        if (then.uid, then.gid) != (row.uid, row.gid):
            was = f"in the backup {then.uid}:{then.gid}"
            yield f"{row.name} gets the numbers {row.uid}:{row.gid} ({was})"
    if not contents.manifest.database:
        yield "the hub's database is not in the backup: bring it back yourself, or users are made as they log in"


# ---- what no install makes


@dataclass
class Restorer:
    """Puts a backup in place.

    Attributes:
        run: The run's number in the store.
        aside: Where homes are that stood in the way.
        kept: The backup of what was here; ``None`` where nothing was.
    """

    context: Context
    what: Restoration
    run: int
    stamp: str = field(default_factory=lambda: time.strftime("%Y%m%dT%H%M%S"))
    aside: list[Path] = field(default_factory=list)
    kept: Path | None = None

    def put(self) -> None:
        """All of it, in order.

        Raises:
            TljhError: something could not be done; the same command goes on from where it stopped.
        """
        stages = {
            "services": self._stop,
            "what is here": self._keep,
            "accounts": self._accounts,
            "homes": self._homes,
            "files": self._files,
            "database": self._databases,
            "memory": self._memory,
        }
        for title, do in stages.items():
            idle = title in ("services", "what is here") and not self.what.in_use
            try:
                with self.context.reporter.stage(title, idle=idle):
                    note = do()
                    if note:
                        self.context.reporter.note(note)
            except BaseException:
                if self.what.in_use and title in ("what is here", "accounts", "homes"):
                    self.context.manager.start("jupyterhub")  # nothing of it has been replaced yet
                raise
        self.context.machine.remove(self._notes)
        self.context.facts.refresh()

    def _stop(self) -> str:
        """The hub, so that nobody writes what is being replaced; and people's servers, which it would not know."""
        if not self.what.in_use:
            return ""
        machine = self.context.machine
        self.context.manager.stop("jupyterhub")
        servers = servers_of(self.context.paths)
        running = difference(servers, Facts(machine), set())
        servers.change(running, machine)
        return f"{len(running.drop)} servers of people stopped" if running else ""

    def _keep(self) -> str:
        if not self.what.in_use:
            return ""
        folder = self.context.paths.backups
        self.context.machine.make_directory(folder, mode=0o700)
        self.kept = folder / f"before-restore-{self.stamp}.tar.zst"
        try:
            made = backup.create(self.context, self.kept, passphrase=None, homes=False)
            for sentence in made.left_out:
                self.context.reporter.warn(f"not in the backup of what is here: {sentence}")
        except TljhError as error:  # a hub that is damaged is what backups are for
            self.context.reporter.warn(f"no backup can be made of what is here, so files are copied: {error.what}")
            self.kept = folder / f"before-restore-{self.stamp}"
            self._copy_files(self.kept)
        return str(self.kept)

    def _copy_files(self, folder: Path) -> None:
        paths, machine = self.context.paths, self.context.machine
        machine.make_directory(folder, mode=0o700)
        there = [path for path in paths.state.iterdir() if path.is_file()]
        machine.run(["cp", "--archive", "--", paths.config, *there, folder])

    def _accounts(self) -> str:
        store, people, machine = self.context.store, self.what.people, self.context.machine
        with Store(self.what.contents.folder / STORE, read_only=True) as then:
            ours = then.origins_of_accounts()
        made = moved_accounts.make(people, machine, lambda what, name: store.own(what, [name], "core"))
        for row in people.accounts:
            if row.name in ours and not os.path.lexists(row.home):
                store.own(HOMES, [row.home], ours[row.name])
            if row.name not in self.what.homes and not Path(row.home).exists():
                make_empty(row, machine)
        return f"{len(people.accounts)}, {len(made)} of them new"

    def _homes(self) -> str:
        machine, wanted = self.context.machine, self.what.homes
        if wanted:
            homes = Homes(machine, self.what.contents.people, self.what.people, self.stamp, done=self._note_home)
            homes.put(self.what.file.homes(), set(wanted) - set(self._homes_done()))
            self.aside += homes.aside
        return str(len(wanted)) if wanted else ""

    # a run that was cut off must not put what it has brought back aside as what was there before

    @property
    def _notes(self) -> Path:
        return self.context.paths.state / "restored-homes.json"

    @property
    def _backup(self) -> list[object]:
        return [self.what.contents.manifest.host, self.what.contents.manifest.when]

    def _homes_done(self) -> list[str]:
        text = self.context.machine.read(self._notes)
        said = json.loads(text) if text else {}
        return list(said["homes"]) if said.get("of") == self._backup else []

    def _note_home(self, name: str) -> None:
        said = {"of": self._backup, "homes": [*self._homes_done(), name]}
        self.context.machine.write_file(self._notes, json.dumps(said).encode(), mode=0o600)

    # ---- files

    def _files(self) -> str:
        paths, folder = self.context.paths, self.what.contents.folder
        with Store(folder / STORE, read_only=True) as then:
            known = then.owned()
        self._own(paths.config, known)
        self.context.machine.make_directory(paths.config, mode=0o700)
        with locked(paths.config_file):
            there = self._put_folder(folder / "config", paths.config, known)
            for path in sorted(paths.config.rglob("*"), reverse=True):
                if path not in there and path.name != f"{paths.config_file.name}.lock":
                    self.context.machine.remove(path)
        return str(len(there) + len(self._put_folder(folder / "state", paths.state, known)))

    def _put_folder(self, source: Path, target: Path, known: Mapping[str, Mapping[str, str]]) -> set[Path]:
        """Put files in place, one by one."""
        machine, put = self.context.machine, {target}
        self._own(target, known)
        machine.make_directory(target, mode=0o700)
        for path in sorted(source.rglob("*")):
            place = target / path.relative_to(source)
            status = path.lstat()
            put.add(place)
            owner = f"{status.st_uid}:{status.st_gid}"
            self._own(place, known)
            if path.is_symlink():
                machine.make_link(place, os.readlink(path))
            elif path.is_dir():
                machine.make_directory(place, mode=stat.S_IMODE(status.st_mode), owner=owner)
            else:
                with path.open("rb") as file:
                    blocks = iter(partial(file.read, 1 << 20), b"")
                    machine.write_blocks(place, blocks, mode=stat.S_IMODE(status.st_mode), owner=owner)
        return put

    def _own(self, place: Path, known: Mapping[str, Mapping[str, str]]) -> None:
        """What an install made on the other machine is an install's here too, if it wasn't there before."""
        if self.context.machine.status(place) is not None:
            return
        for resource in (f"file:{place}", f"link:{place}", f"directory:{place}"):
            for key, origin in known.get(resource, {}).items():
                self.context.store.own(resource, [key], origin)

    def _databases(self) -> str:
        """Passwords, and the hub's own: with nothing of the old one beside it that SQLite would play back."""
        paths, contents = self.context.paths, self.what.contents
        passwords.write_anew(paths.state / "passwords.dbm", contents.passwords)
        there = contents.folder / DATABASE
        if not there.exists():
            return ""
        for ending in ("-journal", "-wal", "-shm"):
            self.context.machine.remove(Path(f"{paths.hub_database}{ending}"))
        with there.open("rb") as file:
            blocks = iter(partial(file.read, 1 << 20), b"")
            self.context.machine.write_blocks(paths.hub_database, blocks, mode=0o600)
        return f"{len(contents.passwords)} passwords"

    def _memory(self) -> str:
        """What was wished for and done; and what the environments are to hold, for the install that follows."""
        store, contents, machine = self.context.store, self.what.contents, self.context.machine
        manifest, copy = contents.manifest, contents.folder / STORE
        text = restored.as_text(contents.locks, manifest.python, manifest.machine)
        machine.write_file(restored.file_of(self.context.paths), text.encode(), mode=0o600)
        with Store(copy):
            pass  # brought up to date, where it is an older one's
        with Store(copy, read_only=True) as then:
            memory, origins = then.memory(), then.origins_of_accounts()
        numbers = {row.name: row for row in self.what.people.accounts}
        taken, higher = store.take_history(copy)
        self.run += higher
        store.take_accounts(
            {"name": name, "uid": row.uid, "gid": row.gid, "home": row.home, "origin": origins[name]}
            for name, row in numbers.items()
            if name in origins
        )
        store.recall(memory)
        return f"{taken} generations" if taken else ""
