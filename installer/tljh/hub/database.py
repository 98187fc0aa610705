"""Which database the hub uses: noted as it starts, because an admin's own file may name another one.

An installer reads it before it starts another JupyterHub, which may migrate the database.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any
from urllib.parse import urlsplit

from tljh.engine.machine import Machine
from tljh.paths import Paths

SQLITE = "sqlite:///"


def note(c: Any, paths: Paths) -> None:
    """Write down the kind of database, and where it is if it is a file; nothing that is secret."""
    url = str(c.JupyterHub.db_url)
    place = url.partition("?")[0] if url.startswith(SQLITE) else urlsplit(url).scheme.partition("+")[0]
    if place.startswith(SQLITE) and not place.startswith(f"{SQLITE}/"):
        place = f"{SQLITE}{os.path.abspath(place.removeprefix(SQLITE))}"
    with contextlib.suppress(OSError):  # the hub starts all the same
        if noted(paths) != place:
            Machine().write_file(paths.state / "hub-database", f"{place}\n".encode(), mode=0o600)


def noted(paths: Paths) -> str:
    """``sqlite:////path``, or the name of another kind such as ``postgresql``; empty before the first start."""
    try:
        return (paths.state / "hub-database").read_text().strip()
    except OSError:
        return ""
