"""Files that are fetched: they are put in place when their content is what was said, and not before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, State, Undo
from tljh.errors import TljhError
from tljh.fetch import blocks_of, without_credentials
from tljh.resources.plugin_file import PluginFile

_BLOCK = 1 << 20  # bytes


@dataclass
class Download(PluginFile):
    """A file that comes from a URL.

    Attributes:
        url: https, or file for one of this machine.
        sha256: Of its content, hexadecimal.
        whose: Who asks for it, for errors.
    """

    url: str = ""
    sha256: str = ""
    whose: str = ""

    undo: ClassVar[Undo] = Undo.EXACT

    @property
    def wanted(self) -> bool:
        return True

    def desired(self) -> State:
        return {"content": self.sha256, "mode": self.mode, "owner": self.owner}

    def effect(self, diff: Diff) -> str:
        return f"downloads {without_credentials(self.url)}" if "content" in diff.put else ""

    def saved(self, machine: Machine) -> bytes | None:
        # what is ours comes from its URL again; only what we take the place of is needed
        return None if self.earlier or machine.digest(self.path) == self.sha256 else machine.read(self.path)

    def _put(self, diff: Diff, machine: Machine) -> None:
        there = None if "content" in diff.put else self.path
        blocks = self._checked(_read(machine.at(there)) if there else self._fetched(machine))
        machine.write_blocks(self.path, blocks, mode=int(self.mode, 8), owner=self.owner)

    def _fetched(self, machine: Machine) -> Iterator[bytes]:
        parts = urlsplit(self.url)
        if parts.scheme != "file":
            return blocks_of(self.url, whose=self.whose)
        path = Path(unquote(parts.path))
        if machine.status(path) is None:
            raise TljhError(f"{self.url} is to be put at {self.path}, but is not there", whose=self.whose)
        return _read(machine.at(path))

    def _checked(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks; an error at the end where they aren't what was said."""
        total = hashlib.sha256()
        for block in blocks:
            total.update(block)
            yield block
        if total.hexdigest() != self.sha256:
            raise TljhError(
                f"{without_credentials(self.url)} is not what it should be: its sha256 is {total.hexdigest()}, "
                f"expected is {self.sha256}; {self.path} stays as it was",
                whose=self.whose,
                todo="see whether the file has been replaced there; the plugin's author has to say the new sha256",
            )


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
