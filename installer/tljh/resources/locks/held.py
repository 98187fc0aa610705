"""A lock as it is given: the user environment's file, and what lies beside it.

Beside ``conda-lock.yml`` there may be ``NAME.conda-lock.yml`` for each further environment, and
``requirements-hub.lock``. All are read when they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.fetch import fetch_text, without_credentials
from tljh.resources.conda.environment import subdir
from tljh.resources.locks import hub_lock, lock_file
from tljh.resources.locks.hub_lock import HubLock
from tljh.resources.locks.lock_file import LockFile, PlatformLock, digest_of

FLAG = "--lock"


def file_of(environment: str) -> str:
    """What the lock of an environment is called; ``user`` is the user environment."""
    return lock_file.FILE if environment == "user" else f"{environment}.{lock_file.FILE}"


@dataclass
class Held:
    """A lock: the user environment's file and those beside it.

    Attributes:
        place: Of the user environment's: path or URL.
        texts: What has been read: the name that a file has in the machine's copy → its text, ``None`` of none.
    """

    machine: Machine
    place: str
    texts: dict[str, str | None] = field(default_factory=dict)

    def place_of(self, name: str) -> str:
        """Where a file is, by the name that it has in the machine's copy."""
        if name == lock_file.FILE:
            return self.place
        if not is_url(self.place):
            return str(Path(self.place).with_name(name))
        parts = urlsplit(self.place)
        return urlunsplit(parts._replace(path=f"{parts.path.rpartition('/')[0]}/{name}"))

    def text(self, name: str) -> str | None:
        """The text of a file; ``None`` where there is none.

        Raises:
            TljhError: it can't be read.
        """
        if name not in self.texts:
            self.texts[name] = self._read(self.place_of(name))
        return self.texts[name]

    def _read(self, place: str) -> str | None:
        if is_url(place):
            return _fetched(place)
        try:
            content = self.machine.read(Path(place))
            return content.decode() if content is not None else None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise TljhError(f"the lock {place} cannot be read: {reason}", whose=FLAG) from error

    def digest(self, environment: str) -> str:
        """What an environment's lock is known by; empty where there is none."""
        text = self.text(file_of(environment))
        return digest_of(text) if text is not None else ""

    def part(self, environment: str) -> PlatformLock:
        """What an environment is to hold on this machine; it has a lock.

        Raises:
            TljhError: the lock is broken, or for another platform.
        """
        return self.file(environment).part(subdir(), self.shown(environment))

    def file(self, environment: str) -> LockFile:
        """What an environment's lock says; it has one."""
        name = file_of(environment)
        if name not in self._files:
            self._files[name] = lock_file.parse(self.text(name) or "", self.shown(environment))
        return self._files[name]

    def shown(self, environment: str) -> str:
        """Where an environment's lock is, for messages."""
        return without_credentials(self.place_of(file_of(environment)))

    @cached_property
    def _files(self) -> dict[str, LockFile]:
        return {}

    @cached_property
    def hub(self) -> HubLock | None:
        """What the hub environment is to hold; ``None`` where nothing says."""
        text = self.text(hub_lock.FILE)
        return (
            hub_lock.parse(text, without_credentials(self.place_of(hub_lock.FILE))) if text is not None else None
        )


def is_url(place: str) -> bool:
    """Whether a place is one of the web."""
    return urlsplit(place).scheme in ("http", "https")


def _fetched(url: str) -> str | None:
    """The text behind a URL; ``None`` where the server says that there is none."""
    try:
        return fetch_text(url, whose=FLAG)
    except TljhError as error:
        answer = getattr(error.__cause__, "response", None)
        if getattr(answer, "status_code", None) in (404, 410):
            return None
        raise
