"""``python -m tljh.installer``: what bootstrap hands over to, with TLJH's flags. The same as ``tljh install``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``tljh install`` with this process's arguments."""
    from tljh.cli import main as tljh

    tljh(["install", *sys.argv[1:]])


if __name__ == "__main__":
    main()
