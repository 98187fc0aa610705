"""What becomes of the hub's database: migrated, brought back, or refused before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import make_context, real
from tljh.errors import TljhError
from tljh.resources.hub_database import HubDatabase, Schema
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages import hub_database
from tljh.stages.context import Context, Options
from tljh.stages.going_back.earlier import Earlier

OLD, NEW = Schema("aa", frozenset({"aa"})), Schema("bb", frozenset({"aa", "bb"}))


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A machine whose database is ``bb``, as its hub's; the files' names say what they are."""
    made = make_context(real(tmp_path))
    (made.paths.envs / "new").mkdir()
    (made.paths.envs / "old").mkdir()
    made.paths.hub.symlink_to("envs/new")
    made.paths.hub_database.write_text("bb")
    made.hub_target = made.paths.envs / "hub-1"
    monkeypatch.setattr(hub_database, "schema_of", lambda path: {"old": OLD, "new": NEW}.get(path.name))
    monkeypatch.setattr(hub_database, "revision_of", lambda path: path.read_text() if path.exists() else "")
    monkeypatch.setattr("tljh.resources.hub_database.revision_of", lambda path: path.read_text())
    going_to(made, "new")
    return made


def going_to(context: Context, hub: str) -> None:
    context.plugins_environment = context.paths.envs / hub


def going_back(context: Context) -> None:
    going_to(context, "old")
    context.earlier = Earlier(2, 2, {})


def put_copy(context: Context, revision: str) -> Path:
    folder = context.paths.backups
    folder.mkdir(exist_ok=True)
    path = folder / f"jupyterhub-{revision}-20261121-120000.sqlite"
    path.write_text(revision)
    return path


def look(context: Context) -> None:
    asked = (Requested("jupyterhub>=5", "core"), Requested("jupyterhub==5.0", "tljh-x"))
    hub_database.look(context, context.required("plugins_environment"), Lock(asked, ("jupyterhub==5.0",)))


def resource(context: Context) -> HubDatabase:
    (found,) = hub_database.resources(context)
    assert isinstance(found, HubDatabase)
    return found


def test_a_hub_that_reads_it(context: Context) -> None:
    look(context)
    found = resource(context)
    assert (found.path, found.schema, found.earlier) == (context.paths.hub_database, NEW, None)
    assert not found.starts


def test_a_hub_that_runs_already_from_there_is_started_again(context: Context) -> None:
    context.paths = type(context.paths)(context.paths.prefix)
    real_target = context.facts.real_path(context.paths.envs) / "hub-1"
    context.facts._known[("text", context.paths.started("jupyterhub"))] = f"environment {real_target}\n"
    assert resource(context).starts


def test_an_install_of_an_older_one_is_refused(context: Context) -> None:
    going_to(context, "old")
    with pytest.raises(TljhError) as caught:
        look(context)
    assert str(caught.value) == (
        "JupyterHub 5.0 would be installed, which cannot read the database that a newer one uses "
        f"({context.paths.hub_database}); tljh-x asks for jupyterhub==5.0\n"
        "  → leave out or update what needs the older one; or go back to a generation that had it (tljh "
        "rollback), which brings back the database of then. Nothing was changed"
    )


def test_a_rollback_brings_back_a_copy(context: Context) -> None:
    going_back(context)
    put_copy(context, "cc")
    copy = put_copy(context, "aa")
    look(context)
    assert resource(context).earlier == copy


def test_jupyterhubs_own_copy_is_as_good(context: Context) -> None:
    going_back(context)
    own = context.paths.hub_database.with_name("jupyterhub.sqlite.2026-11-21-120000")
    own.write_text("aa")
    assert resource(context).earlier == own


def test_a_rollback_without_a_copy_is_refused(context: Context) -> None:
    going_back(context)
    with pytest.raises(TljhError) as caught:
        look(context)
    assert str(caught.value) == (
        "the JupyterHub of generation 2 cannot read the database as it is now, and "
        f"{context.paths.state / 'backups'} has no copy from before it was migrated\n"
        "  → name a later generation, or put a copy of yours there. Nothing was changed"
    )


def test_no_database_yet_or_no_hub(context: Context) -> None:
    going_to(context, "old")
    context.paths.hub_database.unlink()
    look(context)
    going_to(context, "without a hub")
    look(context)
    assert list(hub_database.resources(context)) == []


def test_a_database_elsewhere(context: Context, tmp_path: Path) -> None:
    other = tmp_path / "hub.sqlite"
    other.write_text("bb")
    (context.paths.state / "hub-database").write_text(f"sqlite:///{other}\n")
    assert resource(context).path == other


# ---- another kind of database


@pytest.fixture
def postgresql(context: Context) -> Context:
    (context.paths.state / "hub-database").write_text("postgresql\n")
    return context


def test_the_same_schema_needs_no_backup(postgresql: Context) -> None:
    look(postgresql)
    assert list(hub_database.resources(postgresql)) == []


def test_a_migration_asks_for_the_admins_own_backup(postgresql: Context) -> None:
    postgresql.paths.hub.unlink()
    postgresql.paths.hub.symlink_to("envs/old")
    with pytest.raises(TljhError) as caught:
        look(postgresql)
    assert str(caught.value) == (
        "the hub's database (postgresql) would be migrated, which cannot be undone, and it can't be copied from "
        "here\n  → make a backup of it with its own tools, then run the same command with --i-have-a-backup. "
        "Nothing was changed"
    )
    postgresql.options = Options(own_backup=True)
    look(postgresql)


def test_a_rollback_across_one_is_refused(postgresql: Context) -> None:
    going_back(postgresql)
    with pytest.raises(TljhError) as caught:
        look(postgresql)
    assert str(caught.value) == (
        "the hub's database (postgresql) was migrated by a newer JupyterHub, and only a copy of SQLite's could be "
        "brought back\n  → bring back your own backup of it, then run the same command with --i-have-a-backup. "
        "Nothing was changed"
    )
