"""Homes out of a backup: each is put together where nobody but root can write, then moved into its place."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from tljh.engine.machine import Machine
from tljh.resources.archives.tree_archive import Unpacker
from tljh.stages.backups.moved_accounts import People, Person

_HOME = PurePosixPath("home")


@dataclass
class Homes:
    """Puts homes in their places; what stands there is kept under another name.

    Attributes:
        then: The people with the numbers that they have in the backup; ``now``: here.
        stamp: Of the other names.
        done: Called with the name of each account whose home is in its place.
        aside: Where homes are that stood in the way.
    """

    machine: Machine
    then: People
    now: People
    stamp: str
    done: Callable[[str], None] = lambda name: None
    aside: list[Path] = field(default_factory=list)

    def put(
        self,
        members: Iterable[tuple[str, PurePosixPath, tarfile.TarInfo, IO[bytes] | None]],
        wanted: Collection[str],
    ) -> None:
        """Put those of these accounts in place.

        Args:
            members: As ``BackupFile.homes`` gives them: all of one home, then all of the next.
        """
        rows = {row.name: row for row in self.now.accounts if row.name in wanted}
        unpacker: Unpacker | None = None
        name = ""
        try:
            for owner, path, member, content in members:
                if owner not in rows:
                    continue
                if unpacker is None or owner != name:
                    self._finish(rows.get(name), unpacker)
                    name, unpacker = owner, self._begin(rows[owner])
                if member.islnk():
                    target = PurePosixPath(*PurePosixPath(member.linkname).parts[2:])
                    unpacker.link(_HOME / path, _HOME / target, member)
                else:
                    unpacker.put(_HOME / path, member, content)
            self._finish(rows.get(name), unpacker)
            unpacker = None
        finally:
            if unpacker:
                unpacker.__exit__()
                self.machine.remove(unpacker.root)

    def _begin(self, row: Person) -> Unpacker:
        fresh = _beside(Path(row.home))
        self.machine.remove(fresh)
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir(mode=0o700)
        return Unpacker(fresh, self._owner()).__enter__()

    def _owner(self) -> Callable[[int, int], tuple[int, int]]:
        """The numbers of these people change with them, all others stay what they are."""
        pairs = list(zip(self.then.accounts, self.now.accounts, strict=True))
        uids = {old.uid: new.uid for old, new in pairs}
        gids = {old.gid: new.gid for old, new in pairs}
        return lambda uid, gid: (uids.get(uid, uid), gids.get(gid, gid))

    def _finish(self, row: Person | None, unpacker: Unpacker | None) -> None:
        """Into its place, now that it is complete."""
        if row is None or unpacker is None:
            return
        unpacker.finish()
        unpacker.__exit__()
        home = Path(row.home)
        if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
            home.rmdir()
        elif os.path.lexists(home):
            aside = home.with_name(f"{home.name}.before-restore-{self.stamp}")
            self.machine.move(home, aside)
            self.aside.append(aside)
        self.machine.move(unpacker.root / "home", home)
        self.done(row.name)
        unpacker.root.rmdir()


def _beside(home: Path) -> Path:
    return home.with_name(f".{home.name}.tljh-restore")


def make_empty(row: Person, machine: Machine) -> None:
    """A home as a new account gets it, which others can't read."""
    home = Path(row.home)
    fresh = _beside(home)
    machine.remove(fresh)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.mkdir(mode=0o700)
    machine.run(["cp", "--recursive", "--no-target-directory", "/etc/skel", fresh / "home"])
    machine.run(["chown", "--recursive", "--no-dereference", f"{row.uid}:{row.gid}", fresh / "home"])
    machine.run(["chmod", "0750", fresh / "home"])
    machine.move(fresh / "home", home)
    fresh.rmdir()
