"""What becomes of the hub's database when another JupyterHub is to be started."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tljh.engine.resource import CORE
from tljh.errors import TljhError
from tljh.hub.database import SQLITE, noted
from tljh.paths import Paths
from tljh.resources.hub_database import HubDatabase, Schema, readable_copy, revision_of, schema_of
from tljh.resources.locks.lock import Lock
from tljh.stages.context import Context

BACKUP = "--i-have-a-backup"


def look(context: Context, environment: Path, lock: Lock) -> None:
    """See that the hub that is to be started can read the database, or will be able to: it is migrated one way.

    Args:
        environment: Where that hub is.
        lock: What is asked for there.

    Raises:
        TljhError: it can't; nothing has been changed.
    """
    path = _file(context.paths)
    schema = schema_of(environment)
    if schema is None:
        return
    if path is None:
        _refuse_what_we_cannot_copy(context, schema)
        return
    revision = revision_of(path)
    if not revision or revision in schema.known:
        return
    if context.earlier is None:
        asking = [f"{row.origin} asks for {row.requirement}" for row in lock.requested if row.origin != CORE]
        version = lock.pins.get("jupyterhub", "").removeprefix("==")
        raise TljhError(
            f"JupyterHub {version} would be installed, which cannot read the database that a newer one uses "
            f"({path})" + "".join(f"; {said}" for said in asking),
            todo="leave out or update what needs the older one; or go back to a generation that had it (tljh "
            "rollback), which brings back the database of then. Nothing was changed",
        )
    if _earlier(context, path, schema) is None:
        raise TljhError(
            f"the JupyterHub of generation {context.earlier.of} cannot read the database as it is now, and "
            f"{context.paths.backups} has no copy from before it was migrated",
            todo="name a later generation, or put a copy of yours there. Nothing was changed",
        )


def resources(context: Context) -> Iterable[HubDatabase]:
    """The database, where it is one that we can copy."""
    path = _file(context.paths)
    environment = context.plugins_environment
    schema = schema_of(environment) if environment else None
    if path is None or schema is None:
        return
    target = context.facts.real_path(context.paths.envs) / context.required("hub_target").name
    yield HubDatabase(
        "hub-database",
        path=path,
        schema=schema,
        environment=target,
        copies=context.paths.backups,
        manager=context.manager,
        earlier=_earlier(context, path, schema),
        starts=f"environment {target}\n" in context.facts.text(context.paths.started("jupyterhub")),
    )


def _file(paths: Paths) -> Path | None:
    """The database's file; ``None`` where it is no file."""
    place = noted(paths)
    if not place:
        return paths.hub_database
    return Path(place.removeprefix(SQLITE)) if place.startswith(SQLITE) else None


def _earlier(context: Context, path: Path, schema: Schema) -> Path | None:
    """The copy to go back to, where a hub with this schema can't read what is there."""
    if revision_of(path) in schema.known:
        return None
    # JupyterHub's own copies, of migrations that it made itself, are beside the database
    places = [*context.paths.backups.glob("jupyterhub-*.sqlite"), *path.parent.glob(f"{path.name}.[0-9]*")]
    return readable_copy(schema, places)


def _refuse_what_we_cannot_copy(context: Context, then: Schema) -> None:
    now = schema_of(context.facts.real_path(context.paths.hub))
    if now is None or now.head == then.head or context.options.own_backup:
        return
    place = noted(context.paths)
    if now.head not in then.known:
        raise TljhError(
            f"the hub's database ({place}) was migrated by a newer JupyterHub, and only a copy of SQLite's could "
            "be brought back",
            todo=f"bring back your own backup of it, then run the same command with {BACKUP}. Nothing was changed",
        )
    raise TljhError(
        f"the hub's database ({place}) would be migrated, which cannot be undone, and it can't be copied from "
        "here",
        todo=f"make a backup of it with its own tools, then run the same command with {BACKUP}. "
        "Nothing was changed",
    )
