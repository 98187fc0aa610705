"""rattler alone, as its own documents show it: what this project's solve and install are measured by.

    python bare_rattler.py --channel URL [--prefix FOLDER] [--cache FOLDER] SPEC…

Solves, and with ``--prefix`` installs; prints one object of JSON: ``packages`` (name to version), ``solve`` and
``install`` (seconds), ``peak`` (megabytes of memory). Or ``error`` with rattler's own words, and status 1.
It is a process of its own because an interpreter that has used rattler sometimes crashes when it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rattler import Channel, Gateway, VirtualPackage, install, solve


async def work(channels: list[str], specs: list[str], prefix: Path | None, cache: Path) -> dict[str, Any]:
    """What is printed; ``cache`` keeps indexes and packages."""
    begun = time.perf_counter()
    records = await solve(
        [Channel(url) for url in channels],
        specs,
        gateway=Gateway(cache_dir=cache / "repodata"),
        virtual_packages=VirtualPackage.detect(),
    )
    found: dict[str, Any] = {"solve": time.perf_counter() - begun}
    if prefix:
        begun = time.perf_counter()
        await install(records, prefix, cache_dir=cache / "pkgs", show_progress=False)
        found["install"] = time.perf_counter() - begun
    found["packages"] = {record.name.normalized: str(record.version) for record in records}
    return found


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channel", action="append", required=True)
    parser.add_argument("--prefix", type=Path)
    parser.add_argument("--cache", type=Path, help="otherwise one that is dropped")
    parser.add_argument("specs", nargs="+")
    given = parser.parse_args()
    os.umask(0o022)  # rattler makes what it links as open as the caller's files
    with tempfile.TemporaryDirectory(prefix="bare-rattler-") as place:
        try:
            found = asyncio.run(work(given.channel, given.specs, given.prefix, given.cache or Path(place)))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found), flush=True)
    sys.stderr.flush()
    os._exit(1 if "error" in found else 0)


if __name__ == "__main__":
    main()
