"""What is remembered, and what is said when it can't be."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import NotOwned, Things
from tljh.engine.database import Damaged
from tljh.engine.parsers import Account
from tljh.engine.resource import Diff
from tljh.engine.store import SCHEMA_VERSION, HookRun, Store
from tljh.errors import TljhError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tljh.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path) as opened:
        yield opened


def test_only_root_reads_it(store: Store, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_there_the_next_time(path: Path) -> None:
    with Store(path) as store:
        store.add_wishes("plugin", ["tljh-x"])
    with Store(path) as store:
        assert store.wishes("plugin") == ["tljh-x"]


def test_closed_it_can_not_be_used(path: Path) -> None:
    with Store(path) as store:
        pass
    with pytest.raises(sqlite3.ProgrammingError):
        store.owned()


# ---- runs, the journal, ownership


def test_runs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    first, second = store.begin_run("tljh install"), store.begin_run("tljh install -v")
    store.end_run(first, "done")
    assert store.unfinished_runs(but=0) == [(second, "tljh install -v")]
    assert store.unfinished_runs(but=second) == []
    rows = store._db.execute("select actor, outcome, ended >= started from runs").fetchall()
    assert rows == [("alice", "done", 1), ("alice", None, None)]


def test_the_journal_of_a_run(store: Store) -> None:
    thing = Things("file:/x", origins={"mode": "tljh-x"}, stage="proxy")
    run, other = store.begin_run("a"), store.begin_run("b")
    diff = Diff({"mode": "1", "old": "x"}, {"mode": "2", "owner": "root"}, {"old": "x"})
    entries = store.begin_change(run, thing, diff, b"content")
    rows = store.journal(run)
    assert [row["id"] for row in rows] == entries
    assert [(row["key"], row["action"], row["before"], row["after"], row["origin"]) for row in rows] == [
        ("mode", "change", "1", "2", "tljh-x"),
        ("owner", "create", None, "root", "core"),
        ("old", "remove", "x", None, "core"),
    ]
    assert {row["result"] for row in rows} == {"begun"}
    store.end_change(entries, thing, diff, "done")
    assert {row["result"] for row in store.journal()} == {"done"}
    assert store.journal(other) == []


def test_the_same_content_is_kept_once(store: Store) -> None:
    run = store.begin_run("a")
    for number in range(3):
        store.begin_change(run, Things("file:/x"), Diff({}, {f"k{number}": "1"}, {}), b"content")
    assert store._db.execute("select count(*) from blobs").fetchone() == (1,)
    assert len({row["saved"] for row in store.journal()}) == 1


def test_ownership(store: Store) -> None:
    run = store.begin_run("a")
    thing = Things("apt", origins={"sl": "tljh-x"})
    diff = Diff({"git": "1"}, {"git": "2", "sl": "1"}, {})
    entries = store.begin_change(run, thing, diff, None)
    assert store.owned() == {"apt": {"sl": "tljh-x"}}
    store.begin_change(run, NotOwned("accounts"), Diff({}, {"alice": "1"}, {}), None)
    assert "accounts" not in store.owned()
    store.end_change(entries, thing, Diff({}, {}, {"sl": "1"}), "failed: no")
    assert store.owned() == {"apt": {"sl": "tljh-x"}}
    store.end_change(entries, thing, Diff({}, {}, {"sl": "1"}), "done")
    assert store.owned() == {}


def test_disowning_lasts(path: Path) -> None:
    with Store(path) as store:
        store.begin_change(store.begin_run("a"), Things("apt"), Diff({}, {"sl": "1"}, {}), None)
        store.disown("apt", ["sl"])
    with Store(path) as store:
        assert store.owned() == {}


def test_who_asked_first_keeps_owning(store: Store) -> None:
    for origin in ("core", "tljh-x"):
        thing = Things("apt", origins={"git": origin})
        store.begin_change(store.begin_run("a"), thing, Diff({}, {"git": "1"}, {}), None)
    assert store.owned() == {"apt": {"git": "core"}}


# ---- wishes, hooks, accounts, generations


def test_wishes_keep_their_order_and_their_place(store: Store) -> None:
    store.add_wishes("plugin", ["b", "a"])
    store.add_wishes("requirements", ["a"])
    store.add_wishes("plugin", ["c", "b"])
    assert store.wishes("plugin") == ["b", "a", "c"]
    store.set_wishes("plugin", ["c", "a"])
    assert store.wishes("plugin") == ["c", "a"]
    assert store.wishes("requirements") == ["a"]
    assert store.wishes("nothing") == []


def test_the_last_good_run_of_a_hook(store: Store) -> None:
    assert store.hook_run("x", "tljh_post_install") is None
    store.remember_hook("x", "tljh_post_install", HookRun("one", {"a.b": [1]}))
    store.remember_hook("x", "tljh_post_install", HookRun("two", {"a.b": None}))
    assert store.hook_run("x", "tljh_post_install") == HookRun("two", {"a.b": None})
    assert store.hook_run("x", "tljh_config_post_install") is None


def test_accounts(store: Store) -> None:
    for name, uid in (("bob", 1001), ("alice", 1000)):
        store.remember_account(name=name, uid=uid, gid=uid, home=f"/home/{name}", origin="core")
    store.remember_account(name="bob", uid=1005, gid=1001, home="/srv/bob", origin="core")
    assert store.account("bob") == Account("bob", 1005, 1001, "/srv/bob")
    assert list(store.accounts()) == ["alice", "bob"]
    store.forget_account("alice")
    assert store.account("alice") is None


def test_generations_newest_first(store: Store) -> None:
    run = store.begin_run("a")
    numbers = [store.add_generation(run, "why", {"environments": {"hub": f"hub-{n}"}}) for n in range(5)]
    assert [found["id"] for found in store.generations(3)] == numbers[:1:-1]
    assert store.generations(1)[0]["environments"] == {"hub": "hub-4"}


# ---- a file that is not as it should be


def test_a_damaged_file(path: Path) -> None:
    path.write_bytes(b"this is no database, but it is long enough for a header of one " * 40)
    with pytest.raises(TljhError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"the state database {path} is damaged (file is not a database)\n"
        "  → there is no good copy of it: restore it from a backup of this machine; "
        "until then nothing on this machine is changed"
    )


def test_a_file_of_a_newer_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"pragma user_version = {SCHEMA_VERSION + 100}")
    for read_only in (True, False):
        with pytest.raises(TljhError) as caught:
            Store(path, read_only=read_only)
        assert "was written by a newer version of this program" in str(caught.value)
        assert "→ run the bootstrap script of that version" in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TljhError, match=r"the state database .*/nowhere/tljh\.sqlite cannot be opened"):
        Store(tmp_path / "nowhere" / "tljh.sqlite")


def test_reading_only_makes_no_file(path: Path) -> None:
    with Store(path, read_only=True) as store:
        assert store.owned() == {}
        assert store.wishes("plugin") == []
        assert store.accounts() == {}
    assert not path.exists()


def test_reading_only_writes_nothing(path: Path) -> None:
    Store(path).__exit__(None, None, None)
    with Store(path, read_only=True) as store, pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.add_wishes("plugin", ["x"])


def test_reading_what_a_killed_first_run_left(path: Path) -> None:
    path.touch()  # made, and killed before anything was written to it
    with Store(path, read_only=True) as store:
        assert store.owned() == {}
    with Store(path) as store:
        store.add_wishes("plugin", ["x"])


# ---- damage


def fill(path: Path, runs: int = 300) -> None:
    with Store(path) as store:
        for number in range(runs):
            store.end_run(store.begin_run(f"tljh install --plugin a-long-name-{number}"), "done")


def spoil(path: Path, page: int) -> None:
    """Write nonsense into the middle of it, as a bad disk does."""
    with path.open("r+b") as file:
        file.seek(4096 * page)
        file.write(b"nonsense" * 512)


def test_a_damaged_page_is_found_before_anything_is_done(path: Path) -> None:
    fill(path)
    with Store(path) as store:
        copy = store.copy()
    spoil(path, 2)
    for read_only in (True, False):
        with pytest.raises(Damaged) as caught:
            Store(path, read_only=read_only, check=True)
        assert f"the state database {path} is damaged (" in str(caught.value)
        assert (
            f"  → its last good copy is {copy}: tljh doctor --fix puts it back; "
            "until then nothing on this machine is changed"
        ) in str(caught.value)


def test_damage_that_shows_only_when_it_is_read(path: Path) -> None:
    fill(path)
    with Store(path) as store:
        pages = store._db.execute("pragma page_count").fetchone()[0]
    for page in range(1, pages):
        spoil(path, page)
    with pytest.raises(Damaged, match="is damaged"), Store(path) as store:
        store.unfinished_runs(but=0)


def test_another_error_stays_what_it_is(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), Store(store.path) as again:
        again._db.execute("select * from nowhere")


def test_what_is_committed_is_on_the_disk(store: Store) -> None:
    extra = 3  # https://www.sqlite.org/pragma.html#pragma_synchronous
    assert store._db.execute("pragma synchronous").fetchone()[0] == extra


def test_a_file_that_was_made_and_not_filled(path: Path) -> None:
    path.touch(0o600)
    with Store(path, read_only=True, check=True) as store:
        assert store.owned() == {}
    with Store(path, check=True) as store:
        store.begin_run("tljh install")


def test_who_only_reads_takes_back_what_a_killed_writer_had_half_written(path: Path) -> None:
    fill(path, runs=1)
    whole = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("pragma cache_size = 1")
        writer.execute("begin")
        for number in range(2000):
            writer.execute("insert into wishes (kind, value) values ('x', ?)", (f"{number}" * 50,))
        halves = [(file, file.read_bytes()) for file in (path, path.with_name(f"{path.name}-journal"))]
    for file, content in halves:  # as they were when it was killed
        file.write_bytes(content)
    assert path.read_bytes() != whole
    with Store(path, read_only=True, check=True) as store:
        assert store.wishes("x") == []


def test_the_newest_command(store: Store) -> None:
    assert store.newest_command() == ""
    store.end_run(store.begin_run("tljh install"), "done")
    store.begin_run("tljh plugin remove x --yes")
    assert store.newest_command() == "tljh plugin remove x --yes"
