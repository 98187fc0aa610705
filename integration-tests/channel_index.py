"""Writes the index of a conda channel: ``python channel_index.py FOLDER``.

It is a process of its own because an interpreter that has used rattler sometimes crashes when it ends, which must
not happen to the tests: this one ends without its last steps. No index in parts (shards) is written.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rattler.index import index_fs


def main() -> None:
    channel = Path(sys.argv[1])
    # made anew each time: a package that was replaced under the same name has another hash
    asyncio.run(index_fs(channel, write_zst=True, write_shards=False, force=True))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
