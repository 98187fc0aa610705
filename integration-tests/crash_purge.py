#!/usr/bin/env python3
"""Kills an uninstall at any moment; the same command must then leave the machine as it was before the install.

    crash_purge.py up NAME                  a fresh machine, looked at; what an uninstall takes undisturbed
    crash_purge.py kill NAME [--kills 20] [--how all|alone|power|any] [--at step|moment|time|any] [--seed 1]

Each time a hub with a plugin that brings a thing of each kind is installed, `tljh uninstall --purge` is killed as
``crash`` kills an installer, and given again. One that was killed in the very end, when all that `tljh` itself
runs from was gone, is given again after bootstrap has brought that back, as docs/admin/uninstall.md has it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import snapshot
from crash import AT_STEP, PLUGIN, PURGE, SHARED_CACHE, Crashes, Kill, one, sorts_of_kills, tell
from machine import Machine
from server import Server

KEPT = (*snapshot.APT_KEEPS, *snapshot.ACCOUNTS_KEEP)


class Purges(Crashes):
    """A machine on which uninstalls are killed."""

    def prepare(self, rounds: int = 1, *, upgrades: bool = False) -> None:
        """See the machine as it is before the install, and count the steps of an undisturbed uninstall."""
        self.lay_ready()
        self.machine.write("/etc/python3.11/sitecustomize.py", AT_STEP)
        before = self.server.whole_disk("/srv/plugins")
        self._reference.write_text(json.dumps({"before": before, "counted": {}}))
        for _ in range(rounds):
            self.install()
            counted = self.counted(PURGE)
            left = self.left()
            assert not left, left
        self._reference.write_text(json.dumps({"before": before, "counted": counted}))

    def install(self) -> None:
        """A hub with a plugin that brings a thing of each kind."""
        self.server.bootstrap("--admin", "ada", "--plugin", f"/srv/plugins/{PLUGIN.file_name}").check()

    def left(self) -> list[str]:
        """What is not as it was before the install."""
        found = snapshot.differences(self.undisturbed["before"], self.server.whole_disk("/srv/plugins"))
        return [f"{path}: {what}" for path, what in snapshot.without(found, KEPT).items()]

    def afterwards(self, kill: Kill) -> Sequence[str]:
        """Give the same command again, if there is anything left to uninstall; returns what is left."""
        if not self.left():
            return ()
        if self.machine.run("sh", "-c", "tljh --version").returncode:
            kill.what += " (tljh was gone)"
            self.install()
        kill.seconds = self.run(PURGE)
        return self.left()

    def some(self, kills: int, seed: int, how: str = "any", at: str = "any") -> Iterator[Kill]:
        """So many kills, each after an install."""
        chosen = random.Random(seed)
        counted: dict[str, Any] = self.undisturbed["counted"]
        for _ in range(kills):
            self.install()
            yield self.kill(one(PURGE, counted, chosen, how, at))


def purges(name: str) -> Purges:
    """A fresh machine, looked at."""
    made = Purges(Server(Machine(name, binds=SHARED_CACHE).up()))
    made.prepare()
    return made


def main() -> int:
    """The command line; the exit status says whether all ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["up", "kill"])
    parser.add_argument("name")
    sorts_of_kills(parser)
    given = parser.parse_args()
    if given.verb == "up":
        print(json.dumps(purges(given.name).undisturbed["counted"]))
        return 0
    machine = Machine(given.name, binds=SHARED_CACHE)
    machine.boot()
    made = Purges(Server(machine, checkout=False))
    return tell(made.some(given.kills, given.seed, given.how, given.at))


if __name__ == "__main__":
    sys.exit(main())
