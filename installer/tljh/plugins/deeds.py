"""What plugins' hooks did through the contract's functions, as the store keeps it: whose, and what was new."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tljh.engine.plugin_tables import Deed
from tljh.engine.store import Store
from tljh.plugins.recording import Note

FILE_KEYS = ("content", "mode", "owner")
_ENDING = re.compile(r"\.(service|timer|socket|path|target|mount|automount|slice|swap|scope|device)$")


def unit_name(name: str) -> str:
    """As systemctl(1) understands a name without its kind."""
    return name if _ENDING.search(name) else f"{name}.service"


def record(store: Store, plugin: str, said: Note) -> None:
    """Record one deed of a plugin; a kind of a newer release is passed over."""
    keepers: dict[str, Callable[[Store, str, Note], None]] = {
        "unit": _unit,
        "service": _service,
        "group": _simple("group:", "group"),
        "user": _simple("account:", "account"),
        "membership": _simple("member:", "member"),
        "apt": _apt,
        "pip": _package,
        "conda": _package,
    }
    keep = keepers.get(said["kind"])
    if keep:
        keep(store, plugin, said)


def known(store: Store, plugin: str, kind: str, name: str) -> dict[str, Any] | None:
    """What is recorded of a deed already."""
    return next(
        (dict(row.data) for row in store.deeds() if (row.plugin, row.kind, row.name) == (plugin, kind, name)), None
    )


def _unit(store: Store, plugin: str, said: Note) -> None:
    path = Path(said["path"]) / said["name"]
    resource, deed = f"file:{path}", Deed(plugin, "unit", str(path), {"text": said.get("text", "")})
    if said.get("gone"):
        store.forget_deed(deed)
        store.disown(resource, FILE_KEYS)
        return
    written = hashlib.sha256(said["text"].encode()).hexdigest()
    there, content = said.get("there"), said.get("content")
    if there and there.get("content") != written:
        earlier = base64.b64decode(content) if content is not None else None
        store.take_over(resource, there, earlier, {"content": written, "mode": "0644", "owner": "root:root"})
    if not there or there.get("content") != written:
        store.own(resource, FILE_KEYS, plugin)
    store.remember_deed(deed)


def _service(store: Store, plugin: str, said: Note) -> None:
    name = unit_name(said["name"])
    data = known(store, plugin, "service", name) or {}
    for flag, key in (("enabled", "enabled"), ("started", "active")):
        if flag not in said:
            continue
        data[flag] = said[flag]
        if not said[flag]:
            store.disown(f"unit:{name}", [key])
        elif not said.get("was"):
            store.own(f"unit:{name}", [key], plugin)
    deed = Deed(plugin, "service", name, data)
    if any(data.values()):
        store.remember_deed(deed)
    else:
        store.forget_deed(deed)


def _simple(prefix: str, key: str) -> Callable[[Store, str, Note], None]:
    """What is there or not."""

    def keep(store: Store, plugin: str, said: Note) -> None:
        deed = Deed(plugin, said["kind"], said["name"], {})
        if said.get("gone"):
            store.forget_deed(deed)
            store.disown(f"{prefix}{said['name']}", [key])
            return
        if not said.get("was"):
            store.own(f"{prefix}{said['name']}", [key], plugin)
        store.remember_deed(deed)

    return keep


def _apt(store: Store, plugin: str, said: Note) -> None:
    if not said.get("was"):
        store.own("apt", [re.split("[=/]", said["name"])[0]], plugin)
    store.remember_deed(Deed(plugin, "apt", said["name"], {}))


def _package(store: Store, plugin: str, said: Note) -> None:
    before = known(store, plugin, said["kind"], said["name"]) or {}
    new = sorted({*before.get("new", ()), *said.get("new", ())})
    store.remember_deed(Deed(plugin, said["kind"], said["name"], {"new": new}))
