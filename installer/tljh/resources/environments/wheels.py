"""Gathers the wheels of a lock: local ones are copied, all others are fetched, or built, by pip.

uv has no command for that. pip chooses the file that fits an environment's interpreter, compares it with the
lock's hashes, and builds what exists only as source.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

from tljh.engine.machine import Machine
from tljh.engine.parsers import canonical_name
from tljh.errors import CommandFailed, TljhError
from tljh.resources.environments.integrity import digest_of

_LOCAL = re.compile(r"^[\w.-]+(?:\[[^\]]*\])? @ file://(?P<path>\S+\.whl)(?:\s|$)")

OLDEST_DATE = "315532800"  # 1980-01-01 in seconds since the epoch: the first that an archive's entry can have

# what uv is told → what pip is told where nobody told it anything
_SETTINGS = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_CERT": ("SSL_CERT_FILE",),
    "PIP_NO_INDEX": ("UV_OFFLINE",),
}


@dataclass(frozen=True)
class Wheel:
    """One wheel, by its file's name (PyPA's "Binary distribution format")."""

    path: Path
    name: str
    version: str

    @classmethod
    def of(cls, path: Path) -> Wheel:
        from packaging.utils import parse_wheel_filename

        name, version, _, _ = parse_wheel_filename(path.name)
        return cls(path, name, str(version))


@dataclass
class Wheels:
    """A folder of wheels that is being filled.

    Attributes:
        pip: A command line that runs pip; ``--python`` is added to it.
        environment: The caller's variables: what they say to uv is said to pip too.
        say: Told what is fetched, for people.
        told: Told how many lines are done, of how many.
    """

    machine: Machine
    folder: Path
    pip: Sequence[str | Path]
    environment: Mapping[str, str]
    say: Callable[[str], None]
    told: Callable[[int, int], None]

    TOGETHER: ClassVar[int] = 12  # lines that one pip gets
    SIDE_BY_SIDE: ClassVar[int] = 4

    def gather(self, lines: Iterable[str], python: Path) -> list[str]:
        """Put the wheel of every line of a lock into the folder.

        Args:
            lines: Options of pip, ``name==version`` and ``name @ url``, with or without hashes.
            python: The interpreter that the wheels are for.

        Returns:
            The lines as ``name==version --hash=…`` of the wheel that is there now.

        Raises:
            TljhError: one can't be had, or is not what its hash says.
        """
        wanted = [line for line in lines if not line.startswith("-")]
        options = [line for line in lines if line.startswith("-")]
        editable = [line for line in options if line.startswith(("-e", "--editable"))]
        if editable:
            raise TljhError(
                f"what is installed editable has no wheel: {editable[0]}",
                todo="install it as it is used elsewhere (for this project: without TLJH_BOOTSTRAP_DEV)",
            )
        self.machine.make_directory(self.folder)
        self._copy(wanted)
        self._fetch([line for line in wanted if not _local(line)], options, python)
        return self._pinned(wanted)

    def _copy(self, lines: Iterable[str]) -> None:
        for path in filter(None, map(_local, lines)):
            try:
                shutil.copy(path, self.folder)
            except OSError as error:
                raise TljhError(f"{path} cannot be read: {error.strerror}") from error

    def _fetch(self, lines: Sequence[str], options: Sequence[str], python: Path) -> None:
        groups = [[line for line in lines if (" --hash=" in line) is hashed] for hashed in (True, False)]
        size = self.TOGETHER
        parts = [group[start : start + size] for group in groups for start in range(0, len(group), size)]
        done = 0
        with ThreadPoolExecutor(self.SIDE_BY_SIDE) as side_by_side:
            runs = side_by_side.map(lambda part: self._run([*options, *part], python), parts)
            for part, _ in zip(parts, runs, strict=True):
                done += len(part)
                self.told(done, len(lines))

    def _run(self, lines: Sequence[str], python: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            listed = Path(temporary) / "lock.txt"
            listed.write_text("".join(f"{line}\n" for line in lines))
            words = [*self.pip, "--python", python, "wheel", "--quiet", "--no-deps", "--no-cache-dir"]
            command = [*words, "--wheel-dir", self.folder, "--requirement", listed]
            try:
                self.machine.run(command, env=for_pip(self.environment), timeout=3600.0, on_line=self.say)
            except CommandFailed as error:
                raise TljhError(
                    f"packages can't be fetched\n{error}",
                    todo="check the network and the index settings (PIP_INDEX_URL, UV_DEFAULT_INDEX, proxies)",
                ) from error

    def _pinned(self, lines: Sequence[str]) -> list[str]:
        there = {(wheel.name, wheel.version): wheel for wheel in map(Wheel.of, sorted(self.folder.glob("*.whl")))}
        pinned = []
        for line in lines:
            wheel = self._of_line(line, there)
            pinned.append(f"{wheel.name}=={wheel.version} --hash=sha256:{digest_of(wheel.path)}")
        return pinned

    @staticmethod
    def _of_line(line: str, there: Mapping[tuple[str, str], Wheel]) -> Wheel:
        from packaging.requirements import Requirement

        local = _local(line)
        if local:
            wheel = Wheel.of(local)
            return there[wheel.name, wheel.version]
        asked = Requirement(line.split(" --hash=")[0])
        found = [wheel for (name, _), wheel in there.items() if name == canonical_name(asked.name)]
        fitting = [wheel for wheel in found if asked.url or asked.specifier.contains(wheel.version, True)]
        if len(fitting) != 1:
            raise TljhError(
                f"there are {len(fitting)} wheels of {line.split(' --hash=')[0]}, and there is to be one"
            )
        return fitting[0]


def _local(line: str) -> Path | None:
    """The file of this machine that a line of a lock is about."""
    match = _LOCAL.match(line)
    return Path(unquote(match["path"])) if match else None


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that pip gets besides those that there are, so that it asks whom uv asks."""
    told = {}
    for name, sources in _SETTINGS.items():
        value = next((environment[source] for source in sources if environment.get(source)), "")
        if value and not environment.get(name):
            told[name] = value.replace(",", " ")
    # what is built here is the same each time: https://reproducible-builds.org/docs/source-date-epoch/
    date = environment.get("SOURCE_DATE_EPOCH", OLDEST_DATE)
    return {**told, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "SOURCE_DATE_EPOCH": date}
