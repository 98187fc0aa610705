"""Where plugins may put things: what is the installer's own, and what would be written through, is refused."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from tljh.errors import TljhError
from tljh.resources.plugin_file import followed
from tljh.stages.context import Context


class Places:
    """The places of one run. Folders are looked at once, because many plugins put much into few of them.

    Args:
        owned: The ids of resources that are ours.
    """

    def __init__(self, context: Context, owned: Container[str]) -> None:
        self.context = context
        self.owned = owned
        self._real: dict[Path, Path] = {}
        self._missing: dict[Path, bool] = {}
        paths = context.paths
        own = (paths.state, paths.envs, paths.cache, paths.hub, paths.user)
        self._closed = [
            *((f"{folder}/", f"what is in {folder} is the installer's own") for folder in own),
            *((f"{folder}/", f"{folder} is the kernel's") for folder in ("/proc", "/sys", "/dev")),
        ]
        self._config = (f"{paths.config}/", f"{paths.hub_config_d}/")

    def refuse(self, path: Path, thing: str, whose: str) -> None:
        """See that a plugin may put something at ``path``.

        Args:
            thing: What it is, in a word, such as ``file``.

        Raises:
            TljhError: it may not; the plugin is named.
        """
        if not path.is_absolute() or ".." in path.parts or path == Path("/"):
            raise TljhError(
                f"declares a {thing} at {path}, which is no absolute path without '..'",
                whose=whose,
                todo="its author has to write the whole path; nothing was changed",
            )
        # a folder above it may be a link that leads to where nothing may be put
        real = self._followed(path.parent) / path.name
        for found in dict.fromkeys((path, real)):
            reason = self._reason(f"{found}/")
            if reason:
                through = f" (which leads to {real})" if found != path else ""
                raise TljhError(
                    f"declares a {thing} at {path}{through}: {reason}",
                    whose=whose,
                    todo="leave the plugin out, or a version of it that uses another place; nothing was changed",
                )

    def _followed(self, folder: Path) -> Path:
        if folder not in self._real:
            self._real[folder] = followed(self.context.machine, folder)
        return self._real[folder]

    def _reason(self, path: str) -> str:
        """Why nothing of a plugin's may be at ``path``, which ends with a slash; empty where it may."""
        config, hub_config = self._config
        if path.startswith(config) and (not path.startswith(hub_config) or path == hub_config):
            return f"in {config[:-1]} plugins may put files into {Path(hub_config).name} only"
        return next((reason for folder, reason in self._closed if path.startswith(folder)), "")

    def refuse_another_kind(self, path: Path, thing: str, whose: str) -> None:
        """See that a folder is not to be put where a file is, nor a file where a folder is.

        Raises:
            TljhError: it is.
        """
        place = self._followed(path) if thing == "folder" else path
        status = self.context.machine.status(place)
        if status is None or (status.kind == "directory") == (thing == "folder"):
            return
        raise TljhError(
            f"declares a {thing} at {path}, where there is a {status.kind}",
            whose=whose,
            todo=f"move {path} away, or leave the plugin out; nothing was changed",
        )

    def missing_above(self, path: Path) -> Iterator[Path]:
        """The folders above ``path`` that are not there, or are there because of us, the highest first."""
        return (folder for folder in reversed(path.parents) if self._is_missing(folder))

    def _is_missing(self, folder: Path) -> bool:
        if folder not in self._missing:
            there = self.context.machine.status(self._followed(folder))
            self._missing[folder] = there is None or f"directory:{folder}" in self.owned
        return self._missing[folder]
