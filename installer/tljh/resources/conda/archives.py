"""Archives of conda packages in a folder, ``<subdir>/<file name>``: put there for a bundle, installed from there.

``fetch`` runs in the worker (``worker``), which has rattler.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tljh.resources.environments.integrity import digest_of
from tljh.resources.locks.lock import CondaPackage

if TYPE_CHECKING:
    from rattler.networking.client import Client

SIDE_BY_SIDE = 8  # downloads


def archive_of(package: CondaPackage, folder: Path) -> Path:
    """Where the archive of a package is in a folder of archives."""
    return folder / package.subdir / package.file_name


def at_hand(packages: Sequence[CondaPackage], folder: Path | None) -> list[dict[str, Any]]:
    """The packages as the worker is told of them: with the URL of the archive in ``folder`` where there is one."""
    told = []
    for package in packages:
        archive = archive_of(package, folder) if folder else None
        there = archive is not None and archive.exists()
        told.append({**asdict(package), "url": archive.as_uri()} if archive and there else asdict(package))
    return told


async def fetch(packages: Sequence[Mapping[str, Any]], folder: str, config: str, retries: int) -> dict[str, Any]:
    """Put the archives of these packages into a folder.

    Args:
        packages: As a solve or a lock gives them.
        config: rattler's configuration, TOML.
        retries: How often a request is made again.

    Returns:
        ``bytes``; or a ``fault``, as the worker has it: ``install`` where one can't be had, ``hash`` where it is
        not the one that the lock speaks of.
    """
    import asyncio  # a plan needs this module and not that one, which takes as long as all of ours to import

    from rattler.config import Config
    from rattler.networking.client import Client

    client = Client.from_config(Config.from_toml(config), max_retries=retries, user_agent="tljh")
    free = asyncio.Semaphore(SIDE_BY_SIDE)
    known = [CondaPackage.of(said) for said in packages]
    size, done = sum(package.size or 0 for package in known), 0

    async def one(package: CondaPackage) -> None:
        nonlocal done
        target = archive_of(package, Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        async with free:
            await _download(client, package, target)
        done += target.stat().st_size
        state = {"bytes": done, "size": max(size, done), "linked": 0, "packages": 0}
        print(json.dumps(state), file=sys.stderr, flush=True)

    try:
        await asyncio.gather(*map(one, known))
    except _Failed as error:
        return {"fault": error.kind, "text": str(error), "about": error.about}
    return {"bytes": done}


class _Failed(Exception):
    def __init__(self, kind: str, text: str, about: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.about = about


async def _download(client: Client, package: CondaPackage, target: Path) -> None:
    import asyncio

    from rattler.package_streaming import download_to_path

    parts = urlsplit(package.url)
    try:
        if parts.scheme == "file":  # download_to_path knows http only (py-rattler 0.28)
            await asyncio.to_thread(shutil.copyfile, unquote(parts.path), target)
        else:
            await download_to_path(client, package.url, target)
    except (OSError, RuntimeError) as error:  # the latter is rattler's
        causes = [str(cause) for cause in (error, error.__cause__) if cause]
        raise _Failed("install", "\n".join([package.url, *causes]), package.name) from error
    digest = await asyncio.to_thread(digest_of, target)
    if package.sha256 and digest != package.sha256:
        text = f"{package.url} has the sha256 {digest} instead of {package.sha256}"
        raise _Failed("hash", text, package.name)
