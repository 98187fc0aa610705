"""What py-rattler does for us, in a process of its own: it solves, downloads and links conda packages.

One JSON object on standard input says what to do, one on standard output what came of it; lines of JSON on
standard error tell how far it is. A process of its own, because rattler's threads can crash an interpreter that
ends normally, because its memory is given back at once, and because a kill ends exactly this work.

Nothing here decides what is wanted: that is in ``environment``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from tljh.resources.conda.archives import fetch
from tljh.resources.conda.check import check
from tljh.resources.locks.lock import CondaPackage

if TYPE_CHECKING:
    from rattler import Gateway, MatchSpec, RepoDataRecord
    from rattler.networking.client import Client

SAY_EVERY = 0.1  # seconds between two lines about progress
SOLVE_FOR = 600  # seconds that a solve may take


class Fault(Exception):
    """Something that the admin should be told.

    Args:
        kind: ``spec``, ``channel``, ``solve``, ``hash`` or ``install``.
        about: The spec, URL or package that it is about, where that is known.
    """

    def __init__(self, kind: str, text: str, about: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.about = about


def main() -> None:
    """Do what standard input says; ends the process itself."""
    asked = json.load(sys.stdin)
    works: Mapping[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]]
    works = {"solve": _solve, "install": _install, "fetch": fetch, "check": check}
    work = works[asked.pop("op")]
    try:
        answer: dict[str, Any] = asyncio.run(work(**asked))
    except Fault as fault:
        answer = {"fault": fault.kind, "text": str(fault), "about": fault.about}
    print(json.dumps(answer))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # not by the interpreter's own end: rattler's threads may still run Python (py-rattler 0.28)


async def _solve(
    channels: Sequence[str],
    specs: Sequence[str],
    preferred: Sequence[Sequence[str]],
    optional: Sequence[str],
    locked: Sequence[Mapping[str, Any]],
    config: str,
    retries: int,
    cache: str,
    platform: str,
    virtual: Sequence[str] | None,
) -> dict[str, Any]:
    """Solve.

    Args:
        channels: URLs, the most important first.
        specs: What must be there.
        preferred: Alternatives; of each the first that the channels have must be there too.
        optional: What is left out again where the channels don't have it or it fits nothing else.
        locked: Packages that stay where nothing asks for something else.
        config: rattler's configuration, TOML.
        retries: How often a request is made again.
        cache: Folder for the channels' indexes.
        platform: ``linux-64`` …
        virtual: Virtual packages (``__glibc=2.36=0``); this machine's when ``None``.

    Returns:
        ``packages``; ``taken``: for each of ``preferred`` the alternative that was taken or ``None``; ``seconds``.
    """
    from rattler import Channel, Gateway, Subdir, VirtualPackage, VirtualPackageOverrides
    from rattler.config import Config

    started = time.monotonic()
    matches = {spec: _match_spec(spec) for spec in [*specs, *optional, *(a for row in preferred for a in row)]}
    gateway = Gateway.from_config(Config.from_toml(config), cache_dir=Path(cache), client=_client(config, retries))
    sources = [Channel(url) for url in channels]
    have = await _available(gateway, sources, platform, matches)
    taken = [next((spec for spec in row if spec in have), None) for row in preferred]
    there = [spec for spec in optional if spec in have]
    machine = VirtualPackage.detect(VirtualPackageOverrides.from_env()) if virtual is None else None
    wanted = [*specs, *(spec for spec in taken if spec)]
    arguments = {
        "gateway": gateway,
        "platforms": [Subdir(platform), Subdir("noarch")],
        "locked_packages": [_record(said) for said in locked],
        "virtual_packages": machine or [_virtual(text) for text in virtual or ()],
    }
    records = await _solved(sources, [matches[spec] for spec in [*wanted, *there]], arguments, bool(there))
    if records is None:
        records = await _solved(sources, [matches[spec] for spec in wanted], arguments, False) or []
    packages = sorted((_described(record) for record in records), key=lambda package: str(package["name"]))
    return {"packages": packages, "taken": taken, "seconds": time.monotonic() - started}


async def _solved(
    sources: Sequence[Any], specs: Sequence[MatchSpec], arguments: Mapping[str, Any], forgiving: bool
) -> list[RepoDataRecord] | None:
    """The solution; ``None`` where there is none and that may be so."""
    import datetime

    from rattler import solve
    from rattler.exceptions import GatewayError, SolverError

    limit = datetime.timedelta(seconds=SOLVE_FOR)
    try:
        return await solve(sources, list(specs), timeout=limit, **arguments)
    except SolverError as error:
        if forgiving:
            return None
        raise Fault("solve", str(error)) from error
    except GatewayError as error:
        raise Fault("channel", _chain(error)) from error


async def _available(
    gateway: Gateway, sources: Sequence[Any], platform: str, matches: Mapping[str, MatchSpec]
) -> set[str]:
    """The specs that a channel can satisfy; with strict priority only the first that has the name counts."""
    from rattler import Subdir
    from rattler.exceptions import GatewayError

    found: set[str] = set()
    open_names = {spec: match.name.normalized for spec, match in matches.items()}
    for source in sources:
        if not open_names:
            break
        try:
            names = sorted(set(open_names.values()))
            rows = await gateway.query([source], [Subdir(platform), Subdir("noarch")], names, recursive=False)
        except GatewayError as error:
            raise Fault("channel", _chain(error)) from error
        by_name: dict[str, list[RepoDataRecord]] = {}
        for record in (record for row in rows for record in row):
            by_name.setdefault(record.name.normalized, []).append(record)
        for spec in [spec for spec, name in open_names.items() if name in by_name]:
            if any(matches[spec].matches(record) for record in by_name[open_names.pop(spec)]):
                found.add(spec)
    return found


async def _install(
    packages: Sequence[Mapping[str, Any]],
    prefix: str,
    requested: Sequence[str],
    reinstall: Sequence[str],
    config: str,
    retries: int,
    cache: str,
    platform: str,
) -> dict[str, Any]:
    """Make ``prefix`` hold exactly these conda packages.

    Args:
        packages: As a solve or a lock gives them.
        prefix: The environment's real path.
        requested: The specs that an admin would call asked for; conda reads them from its records.
        reinstall: Names of packages that are linked anew even if they are there.
        config: rattler's configuration, TOML.
        retries: How often a request is made again.
        cache: Folder of the extracted packages.
        platform: ``linux-64`` …
    """
    from rattler import PackageCache, Subdir, install
    from rattler.config import Config
    from rattler.exceptions import InstallerError
    from rattler.package_cache import ValidationMode

    started = time.monotonic()
    known = [CondaPackage.of(said) for said in packages]
    records = [_record(said) for said in packages]
    _mend_records(Path(prefix))
    # in full: files are linked, so an edit in an environment would be an edit in the cache
    pool = PackageCache.new_layered([cache], False, ValidationMode.full())
    index = await pool.index()
    missing = [known[n] for n, record in enumerate(records) if not index.contains_record(record)]
    for package in missing:
        _check_local(package)
    try:
        await install(
            records,
            prefix,
            package_cache=pool,
            reinstall_packages=set(reinstall) or None,
            platform=Subdir(platform),
            execute_link_scripts=False,
            show_progress=False,
            client=_client(config, retries),
            requested_specs=[_match_spec(spec)._match_spec for spec in requested],
            reporter=_Told(sum(package.size or 0 for package in missing if not package.url.startswith("file:"))),
            config=Config.from_toml(config),
        )
    except InstallerError as error:
        raise Fault("install", _chain(error)) from error
    return {"downloaded": [package.name for package in missing], "seconds": time.monotonic() - started}


def _mend_records(prefix: Path) -> None:
    """Remove records that can't be read: a kill leaves empty ones, and rattler stops at them."""
    for record in prefix.glob("conda-meta/*.json"):
        try:
            json.loads(record.read_bytes())
        except ValueError:
            record.unlink()


def _check_local(package: CondaPackage) -> None:
    """Compare an archive of this machine with its sha256: rattler does that only with what it downloads."""
    parts = urlsplit(package.url)
    if parts.scheme != "file" or not package.sha256:
        return
    path = Path(unquote(parts.path))
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise Fault("install", f"{path}: {error.strerror}", package.name) from error
    if digest.hexdigest() != package.sha256:
        text = f"{path} has the sha256 {digest.hexdigest()} instead of {package.sha256}"
        raise Fault("hash", text, package.name)


def _match_spec(spec: str) -> MatchSpec:
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        return MatchSpec(spec, strict=False)
    except InvalidMatchSpecError as error:
        raise Fault("spec", str(error), spec) from error


def _client(config: str, retries: int) -> Client:
    from rattler.config import Config
    from rattler.networking.client import Client

    return Client.from_config(Config.from_toml(config), max_retries=retries, user_agent="tljh")


def _record(said: Mapping[str, Any]) -> RepoDataRecord:
    from rattler import BuildString, NoArchType, PackageRecord, RepoDataRecord

    package = CondaPackage.of(said)
    record = PackageRecord(
        package.name,
        package.version,
        BuildString(package.build),
        package.build_number,
        package.subdir,
        noarch=NoArchType(cast(Any, package.noarch)) if package.noarch else None,
        depends=list(package.depends),
        constrains=list(package.constrains),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        size=package.size,
        python_site_packages_path=package.python_site_packages_path,
    )
    return RepoDataRecord(record, package.file_name, package.url, f"{package.channel}/")


def _virtual(text: str) -> Any:
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    name, version, build = (*text.split("="), "0", "0")[:3]
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _described(record: RepoDataRecord) -> dict[str, Any]:
    """A record as JSON can hold it."""
    said: dict[str, Any] = json.loads(record.to_json())
    # to_json of a record may leave out where it came from
    said.update(url=record.url)
    package = CondaPackage.of(said)
    return {name: getattr(package, name) for name in CondaPackage.__dataclass_fields__}


def _chain(error: BaseException | None) -> str:
    """An error and what caused it, a line each, nothing twice."""
    lines: list[str] = []
    while error is not None:
        lines += [line for line in str(error).splitlines() if line.strip() and line not in lines]
        error = error.__cause__
    return "\n".join(lines)


class _Told:
    """rattler's reporter: tells what is downloaded and linked on standard error."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.loaded: dict[int, int] = {}
        self.operations = 0
        self.linked = 0
        self.last = 0.0

    def _say(self, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self.last < SAY_EVERY:
            return
        self.last = now
        loaded = sum(self.loaded.values())
        state = {
            "bytes": loaded,
            "size": max(self.size, loaded),
            "linked": self.linked,
            "packages": self.operations,
        }
        print(json.dumps(state), file=sys.stderr, flush=True)

    def on_transaction_start(self, total_operations: int) -> None:
        self.operations = total_operations
        self._say(force=True)

    def on_transaction_complete(self) -> None:
        self._say(force=True)

    def on_transaction_operation_start(self, operation: int) -> None: ...

    def on_transaction_operation_complete(self, operation: int) -> None:
        self.linked += 1
        self._say()

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_populate_cache_complete(self, cache_entry: int) -> None: ...

    def on_validate_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_validate_complete(self, validate_idx: int) -> None: ...

    def on_download_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        self.loaded[download_idx] = progress
        self._say()

    def on_download_completed(self, download_idx: int) -> None: ...

    def on_unlink_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_unlink_complete(self, index: int) -> None: ...

    def on_link_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_link_complete(self, index: int) -> None: ...

    def on_post_link_start(self, package_name: str, script_path: str) -> int:
        return 0

    def on_post_link_complete(self, index: int, success: bool) -> None: ...

    def on_pre_unlink_start(self, package_name: str, script_path: str) -> int:
        return 0

    def on_pre_unlink_complete(self, index: int, success: bool) -> None: ...


if __name__ == "__main__":
    main()
