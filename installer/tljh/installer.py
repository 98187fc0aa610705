"""``python -m tljh.installer``: what bootstrap hands over to, with TLJH's flags. The same as ``tljh install``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``tljh install`` with this process's arguments."""
    try:
        from tljh.cli import main as tljh

        tljh(["install", *sys.argv[1:]])
    except KeyboardInterrupt:  # before install's own answer to it was in place
        sys.exit("tljh: interrupted before anything was changed")


if __name__ == "__main__":
    main()
