"""The hub's database: which schema a hub reads, copies before a migration, a copy that comes back."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine
from tljh.engine.facts import Facts
from tljh.engine.resource import difference
from tljh.errors import TljhError
from tljh.resources import hub_database
from tljh.resources.hub_database import HubDatabase, Schema, loss, readable_copy, revision_of, schema_of

OLD, NEW = Schema("aa", frozenset({"aa"})), Schema("bb", frozenset({"aa", "bb"}))


def make_environment(path: Path, *lines: str) -> Path:
    """An environment whose JupyterHub has these migrations."""
    folder = path / "lib/python3.11/site-packages/jupyterhub/alembic/versions"
    folder.mkdir(parents=True)
    for number, text in enumerate(lines):
        (folder / f"{number}.py").write_text(f'"""A migration."""\nimport sqlalchemy\n{text}\n')
    return path


def make_database(path: Path, revision: str, *users: str, servers: dict[str, str] | None = None) -> Path:
    """A database of a hub, as far as we read it; a user who has a server has a token too."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            "create table alembic_version (version_num text);"
            "create table users (id integer primary key, name text);"
            "create table api_tokens (user_id integer, service_id integer, hashed text);"
            "create table spawners (user_id integer, server_id integer, name text, started text, state text);"
            "insert into api_tokens values (null, 1, 'of a service');"
        )
        database.execute("insert into alembic_version values (?)", (revision,))
        for number, name in enumerate(users):
            database.execute("insert into users values (?, ?)", (number, name))
            started = (servers or {}).get(name)
            row = (number, 1 if started else None, "", started, f'{{"unit_name": "jupyter-{name}"}}')
            database.execute("insert into spawners values (?, ?, ?, ?, ?)", row)
            if started:
                database.execute("insert into api_tokens values (?, null, ?)", (number, f"{name} {started}"))
    return path


class Hub:
    """What keeps it running."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def stop(self, name: str) -> None:
        self.done.append(f"stop {name}")

    def start(self, name: str) -> None:
        self.done.append(f"start {name}")


@pytest.fixture
def there(tmp_path: Path) -> dict[str, Any]:
    return {
        "path": tmp_path / "jupyterhub.sqlite",
        "environment": Path("/opt/tljh/envs/hub-2"),
        "copies": tmp_path / "backups",
        "manager": Hub(),
    }


# ---- what a hub reads


def test_the_head_of_the_migrations(tmp_path: Path) -> None:
    lines = (
        "revision = '19c0'\ndown_revision = None",
        "revision: str = 'af4c'\ndown_revision: str | None = '19c0'",
        "down_revision = ('af4c', 'eeb2')\nrevision = '4dc2'",
        "revision = 'eeb2'\ndown_revision = '19c0'",
    )
    found = schema_of(make_environment(tmp_path, *lines))
    assert found == Schema("4dc2", frozenset({"19c0", "af4c", "eeb2", "4dc2"}))


def test_no_jupyterhub_or_two_heads(tmp_path: Path) -> None:
    assert schema_of(tmp_path) is None
    two = make_environment(
        tmp_path, "revision = 'a'\ndown_revision = None", "revision = 'b'\ndown_revision = None"
    )
    assert schema_of(two) is None


def test_the_revision_of_a_file(tmp_path: Path) -> None:
    assert revision_of(make_database(tmp_path / "hub.sqlite", "aa")) == "aa"
    assert revision_of(tmp_path / "none.sqlite") == ""
    (tmp_path / "text.sqlite").write_text("no database")
    assert revision_of(tmp_path / "text.sqlite") == ""


# ---- a migration


def upgraded(words: list[str]) -> str:
    """What the hub's own program does, told on its command line where."""
    with closing(sqlite3.connect(words[-1].removeprefix("sqlite:///"))) as database, database:
        database.execute("update alembic_version set version_num = 'bb'")
    return ""


def test_a_database_is_copied_and_migrated(tmp_path: Path, there: dict[str, Any]) -> None:
    make_database(there["path"], "aa", "ana").chmod(0o640)
    machine = FakeMachine(answers={"python": upgraded})
    database = HubDatabase("hub-database", schema=NEW, **there)
    diff = difference(database, Facts(machine), set())
    assert (diff.before, diff.put) == ({"revision": "aa"}, {"revision": "bb"})
    assert database.effect(diff) == f"a copy is kept in {tmp_path / 'backups'}, then it is migrated"
    database.change(diff, machine)
    (copy,) = (tmp_path / "backups").iterdir()
    assert (copy.name[:14], revision_of(copy), stat.S_IMODE(copy.stat().st_mode)) == (
        "jupyterhub-aa-",
        "aa",
        0o600,
    )
    assert revision_of(there["path"]) == "bb"
    assert stat.S_IMODE(there["path"].stat().st_mode) == 0o640
    assert there["manager"].done == ["stop jupyterhub"], "the service's own resource starts it"
    assert machine.options[-1]["env"]["PATH"].startswith("/opt/tljh/envs/hub-2/bin:")
    assert not difference(database, Facts(machine), set())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups", "jupyterhub.sqlite"]


def test_a_migration_that_is_cut_off_leaves_the_database(there: dict[str, Any]) -> None:
    def halfway(words: list[str]) -> str:
        upgraded(words)
        raise KeyboardInterrupt

    make_database(there["path"], "aa", "ana")
    machine = FakeMachine(answers={"python": halfway})
    database = HubDatabase("hub-database", schema=NEW, **there)
    with pytest.raises(KeyboardInterrupt):
        database.change(difference(database, Facts(machine), set()), machine)
    assert revision_of(there["path"]) == "aa"
    machine.answers["python"] = upgraded
    database.change(difference(database, Facts(machine), set()), machine)
    assert revision_of(there["path"]) == "bb"


def test_a_hub_that_nothing_else_starts(there: dict[str, Any]) -> None:
    make_database(there["path"], "aa")
    machine = FakeMachine(answers={"python": upgraded})
    database = HubDatabase("hub-database", schema=NEW, starts=True, **there)
    database.change(difference(database, Facts(machine), set()), machine)
    assert there["manager"].done == ["stop jupyterhub", "start jupyterhub"]


def test_nothing_is_wanted_of_what_is_not_there(there: dict[str, Any]) -> None:
    machine = FakeMachine()
    assert not difference(HubDatabase("hub-database", schema=NEW, **there), Facts(machine), set())
    make_database(there["path"], "aa")
    assert not difference(HubDatabase("hub-database", schema=OLD, **there), Facts(machine), set())
    assert not difference(HubDatabase("hub-database", schema=None, **there), Facts(machine), set())


def test_only_the_newest_copies_stay(there: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_database, "KEPT_COPIES", 2)
    there["copies"].mkdir()
    for number in range(3):
        make_database(there["copies"] / f"jupyterhub-aa-2026110{number}-000000.sqlite", "aa")
    (there["copies"] / "tljh-2026.sqlite").touch()
    make_database(there["path"], "aa")
    machine = FakeMachine(answers={"python": upgraded})
    database = HubDatabase("hub-database", schema=NEW, **there)
    database.change(difference(database, Facts(machine), set()), machine)
    names = sorted(path.name for path in there["copies"].iterdir())
    assert len(names) == 3
    assert names[0] == "jupyterhub-aa-20261102-000000.sqlite"
    assert names[-1] == "tljh-2026.sqlite", "what is no copy of the hub's is none of its business"


def test_the_hub_goes_on_where_the_next_one_would_not_start(there: dict[str, Any]) -> None:
    def rehearse(machine: FakeMachine) -> None:
        raise TljhError("not with this")

    make_database(there["path"], "aa")
    database = HubDatabase("hub-database", schema=NEW, rehearse=rehearse, **there)
    before = there["path"].read_bytes()
    with pytest.raises(TljhError, match="not with this"):
        database.change(difference(database, Facts(FakeMachine()), set()), FakeMachine())
    assert there["path"].read_bytes() == before
    assert there["manager"].done == []


# ---- a copy comes back


def test_what_is_lost(tmp_path: Path) -> None:
    servers = {"ana": "monday", "ben": "monday"}
    then = make_database(tmp_path / "then.sqlite", "aa", "ana", "ben", servers=servers)
    servers = {"ana": "monday", "ben": "tuesday", "eve": "tuesday"}
    now = make_database(tmp_path / "now.sqlite", "bb", "ana", "ben", "eve", servers=servers)
    found = loss(now, then)
    assert found.users == ["eve"]
    assert found.tokens == 2
    assert [server.user for server in found.servers] == ["ben", "eve"], "ana's is known to the copy as it runs"
    assert found.in_words == ("1 user (eve) and 2 tokens that came since are lost; 2 servers must stop (ben, eve)")
    assert loss(then, then).in_words == "no users and no tokens that came since are lost; no server must stop"


def test_a_copy_takes_the_place_of_what_an_older_hub_cannot_read(tmp_path: Path, there: dict[str, Any]) -> None:
    earlier = make_database(tmp_path / "copy.sqlite", "aa", "ana")
    make_database(there["path"], "bb", "ana", "eve", servers={"eve": "tuesday"})
    Path(f"{there['path']}-wal").touch()
    machine = FakeMachine()
    database = HubDatabase("hub-database", schema=OLD, earlier=earlier, **there)
    diff = difference(database, Facts(machine), set())
    assert database.effect(diff) == (
        "copy.sqlite takes its place, of which a copy is kept: 1 user (eve) and 1 token that came since are lost; "
        "1 server must stop (eve)"
    )
    database.change(diff, machine)
    assert revision_of(there["path"]) == "aa"
    assert revision_of(earlier) == "aa", "it is still there"
    assert [revision_of(path) for path in there["copies"].iterdir()] == ["bb"]
    assert machine.commands == ["systemctl stop jupyter-eve.service"]
    assert not Path(f"{there['path']}-wal").exists()


def test_the_newest_copy_that_a_hub_reads(tmp_path: Path) -> None:
    import os

    rows = {"old": "aa", "newer": "aa", "too new": "cc", "broken": ""}
    places = []
    for number, (name, revision) in enumerate(rows.items()):
        path = tmp_path / f"{name}.sqlite"
        if revision:
            make_database(path, revision)
        else:
            path.write_text("no database")
        os.utime(path, (number, number))
        places.append(path)
    assert readable_copy(NEW, places) == tmp_path / "newer.sqlite"
    assert readable_copy(Schema("dd", frozenset({"dd"})), places) is None
