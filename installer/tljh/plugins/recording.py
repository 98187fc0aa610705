"""What a plugin's hook does through the contract's functions, written down as it happens.

A process that runs hooks has ``TLJH_RECORDING`` in its environment: the path of a file, to which ``note`` adds a
line of JSON. The parent reads it when the hook has ended. What becomes of the notes is in
``deeds.py`` beside this file and in
``tljh.stages.contributed.plugin_deeds``.

Kinds: ``unit``, ``service``, ``group``, ``user``, ``membership``, ``apt``, ``pip``, ``conda``. Each has a
``name``; ``was`` says whether it was so before, ``gone`` that the plugin took the thing away again.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tljh.engine.store import Store

VARIABLE = "TLJH_RECORDING"
PLUGIN_VARIABLE = "TLJH_RECORDING_PLUGIN"
"""Whose hook runs; set by the process that runs hooks of several plugins."""

Note = Mapping[str, Any]


def is_on() -> bool:
    """Whether anybody wants to know."""
    return bool(os.environ.get(VARIABLE))


def about(plugin: str) -> None:
    """From now on, what is noted is this plugin's (in a process that runs hooks)."""
    os.environ[PLUGIN_VARIABLE] = plugin


def note(kind: str, **data: Any) -> None:
    """Write down one deed; nothing happens outside a hook.

    Args:
        data: What JSON can hold; ``name`` says what the deed was done to.
    """
    if not is_on():
        return
    line = json.dumps({"kind": kind, "plugin": os.environ.get(PLUGIN_VARIABLE, ""), **data})
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read(path: Path) -> list[Note]:
    """The notes in a file, in the order in which they were made; a line that was cut off is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: list[Note] = []
    for line in lines:
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and "kind" in said:
                found.append(said)
    return found


def keep(store: Store, plugin: str, notes: Iterable[Note]) -> bool:
    """Record what a plugin did, as its own; what was new is owned.

    Args:
        plugin: Whose notes these are, where they don't say so themselves.

    Returns:
        Whether anything is recorded now that was not before, or the other way round.
    """
    from tljh.plugins.deeds import record

    before = store.deeds()
    for said in notes:
        record(store, said.get("plugin") or plugin, said)
    return store.deeds() != before


@contextlib.contextmanager
def kept(store: Store, plugin: str, folder: Path) -> Iterator[None]:
    """Record what the processes that are started inside this context note, also when they fail.

    Args:
        plugin: Whose hook runs; empty where the process says it itself (``about``).
        folder: Where the notes are written meanwhile; nobody else may write there.
    """
    handle, name = tempfile.mkstemp(prefix="deeds-", dir=folder)
    os.close(handle)
    before = {key: os.environ.get(key) for key in (VARIABLE, PLUGIN_VARIABLE)}
    os.environ.update({VARIABLE: name, PLUGIN_VARIABLE: plugin})
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
        keep(store, plugin, read(Path(name)))
        Path(name).unlink(missing_ok=True)
