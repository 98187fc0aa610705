"""``python -m tljh.installer``: what bootstrap hands over to, with TLJH's flags. The same as ``tljh install``."""

from __future__ import annotations

import sys

GO_ON = ("plugin", "upgrade", "rollback", "restore")
"""The commands beside ``install`` that may go on in another hub environment."""


def main() -> None:
    """Run ``tljh install`` with this process's arguments, or a command that goes on in another hub environment."""
    try:
        from tljh.cli import main as tljh

        arguments = sys.argv[1:]
        goes_on = bool(arguments) and arguments[0] in GO_ON
        tljh(arguments if goes_on else ["install", *arguments])
    except KeyboardInterrupt:  # before install's own answer to it was in place
        sys.exit("tljh: interrupted before anything was changed")


if __name__ == "__main__":
    main()
