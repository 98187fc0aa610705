"""Putting a backup in place: what is seen before, files one by one, homes in one piece."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from fakes import FakeMachine, make_context, real
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.stages.backups import backup, restore, restored_homes
from tljh.stages.backups.backup import Manifest
from tljh.stages.backups.backup_file import BackupFile, Contents
from tljh.stages.backups.moved_accounts import People, Person
from tljh.stages.backups.restore import Restoration, Restorer
from tljh.stages.backups.restored_homes import Homes
from tljh.stages.context import Context

MANIFEST = Manifest("3.0", 3, "hub1", 1.0, "debian 12", "x86_64", "3.11", "/opt/tljh", 1, 2, {}, True)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    found = make_context(real(tmp_path))
    with Store(found.paths.store) as store:
        found.store = store
        yield found


def restoration(context: Context, folder: Path, **more: Any) -> Restoration:
    for name in ("config", "state"):
        (folder / name).mkdir(parents=True)
    with Store(folder / "store.sqlite") as then:
        owner = f"file:{context.paths.state}/traefik-api.secret"
        then.own(owner, ["content"], "core")
        then.set_wishes("plugin", ["tljh-x"])
    contents = Contents(folder, MANIFEST, People((), {}), {"ada": b"hash"}, {"hub": {}, "user": {}})
    known: dict[str, Any] = {"homes": (), "in_use": False, **more}
    return Restoration(BackupFile(folder / "x"), contents, People((), {}), **known)


# ---- before anything is changed


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 10**9})())
    restore._refuse_small_disk({tmp_path: 5 * 10**8})
    with pytest.raises(TljhError) as caught:
        restore._refuse_small_disk({tmp_path / "a" / "b": 5 * 10**8, tmp_path / "c": 5 * 10**8})
    assert str(caught.value) == (
        f"1200 MB are needed at {tmp_path}, and 1000 MB are free\n  → make room there; nothing was changed"
    )


def test_another_prefix(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackupFile, "manifest", lambda self: MANIFEST)
    look = restore.looked_at(context, BackupFile(Path("/x")), homes=True, renumber=False)
    with (
        pytest.raises(TljhError, match="run the same command with TLJH_INSTALL_PREFIX=/opt/tljh; nothing was"),
        look,
    ):
        pass


def test_what_is_unpacked_is_gone_after_a_failure(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = replace(MANIFEST, prefix=str(context.paths.prefix))

    def unpack(self: BackupFile, folder: Path, told: object) -> Contents:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "secret").write_text("x")
        raise TljhError("is damaged")

    monkeypatch.setattr(BackupFile, "manifest", lambda self: mine)
    monkeypatch.setattr(BackupFile, "unpack", unpack)
    before = sorted(context.paths.prefix.rglob("*"))
    look = restore.looked_at(context, BackupFile(Path("/x")), homes=True, renumber=False)
    with pytest.raises(TljhError, match="is damaged"), look:
        pass
    assert sorted(context.paths.prefix.rglob("*")) == before


def test_a_backup_can_not_hold_itself(context: Context) -> None:
    row = Person("x", 1001, 1001, "x", str(context.paths.prefix / "home"), "/bin/sh")
    for place in (context.paths.state / "x", context.paths.config / "d" / "x", Path(row.home) / "x"):
        with pytest.raises(TljhError, match=r"would be in .*, which may be in the backup"):
            backup._refuse_inside(place, People((row,), {}), context)
    backup._refuse_inside(context.paths.state / "backups" / "x", People((row,), {}), context)
    backup._refuse_inside(context.paths.prefix / "x", People((row,), {}), context)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        *(
            (name, True)
            for name in ("tljh.sqlite", "tljh.sqlite-journal", "jupyterhub.sqlite", "backups", "tljh.lock")
        ),
        *((name, True) for name in ("bundle", "jupyterhub.log", "traefik.toml", "rules", "restored.json")),
        *((name, True) for name in ("passwords.dbm", "passwords.dbm.db", "plugins-disabled")),
        *(
            (name, False)
            for name in ("jupyterhub_cookie_secret", "acme.json", "traefik-api.secret", "wheels", "lock")
        ),
    ],
)
def test_what_of_the_state_is_left_out(name: str, left_out: bool) -> None:
    assert bool(backup._LEFT_OUT.fullmatch(name)) is left_out


# ---- files and memory


def put(context: Context, what: Restoration) -> Restorer:
    restorer = Restorer(context, what, context.store.begin_run("tljh restore x"))
    for do in (restorer._files, restorer._databases, restorer._memory):
        do()
    return restorer


def test_files_are_put_in_place(context: Context, tmp_path: Path) -> None:
    what = restoration(context, tmp_path / "backup")
    folder, paths = what.contents.folder, context.paths
    (folder / "config" / "config.yaml").write_text("users: {}\n")
    (folder / "config" / "link.pem").symlink_to("/etc/ssl/x.pem")
    (folder / "state" / "traefik-api.secret").write_text("s")
    (paths.config / "jupyterhub_config.d").mkdir()
    (paths.config / "jupyterhub_config.d" / "other.py").write_text("c.x = 1")
    (paths.state / "kept").write_text("x")
    put(context, what)
    assert (paths.config / "config.yaml").read_text() == "users: {}\n"
    assert (paths.config / "link.pem").readlink() == Path("/etc/ssl/x.pem")
    assert not (paths.config / "jupyterhub_config.d").exists(), "what is not in the backup would change the hub"
    assert (paths.state / "kept").exists()
    assert context.store.owned() == {f"file:{paths.state}/traefik-api.secret": {"content": "core"}}
    assert context.store.wishes("plugin") == ["tljh-x"]
    assert (paths.state / "restored.json").stat().st_mode & 0o777 == 0o600


def test_what_was_there_does_not_become_ours(context: Context, tmp_path: Path) -> None:
    what = restoration(context, tmp_path / "backup")
    (what.contents.folder / "state" / "traefik-api.secret").write_text("s")
    (context.paths.state / "traefik-api.secret").write_text("the admin's")
    put(context, what)
    assert context.store.owned() == {}
    assert (context.paths.state / "traefik-api.secret").read_text() == "s"


def test_the_hubs_database_stands_alone(context: Context, tmp_path: Path) -> None:
    what = restoration(context, tmp_path / "backup")
    (what.contents.folder / "jupyterhub.sqlite").write_bytes(b"new")
    place = context.paths.hub_database
    for ending in ("", "-journal", "-wal", "-shm"):
        Path(f"{place}{ending}").write_text("old")
    put(context, what)
    assert place.read_bytes() == b"new"
    assert not [path for path in context.paths.state.iterdir() if path.name.startswith("jupyterhub.sqlite-")]


def test_all_of_it_twice_is_the_same(context: Context, tmp_path: Path) -> None:
    what = restoration(context, tmp_path / "backup")
    (what.contents.folder / "config" / "config.yaml").write_text("users: {}\n")
    put(context, what)
    names = sorted(context.paths.prefix.rglob("*"))
    put(context, what)
    assert sorted(context.paths.prefix.rglob("*")) == names


def test_homes_that_are_back_are_not_brought_back_again(context: Context, tmp_path: Path) -> None:
    what = restoration(context, tmp_path / "backup")
    restorer = Restorer(context, what, 1)
    assert restorer._homes_done() == []
    restorer._note_home("jupyter-ada")
    restorer._note_home("jupyter-bob")
    assert Restorer(context, what, 2)._homes_done() == ["jupyter-ada", "jupyter-bob"]
    other = replace(what, contents=replace(what.contents, manifest=replace(MANIFEST, when=2.0)))
    assert Restorer(context, other, 3)._homes_done() == [], "another backup's"


# ---- homes


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", uid: int = 1001) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode, found.uid, found.gid = kind, link, 0o750, uid, uid
    return found


def home_of(name: str, text: bytes) -> list[Any]:
    place = f"homes/{name}"
    return [
        (name, PurePosixPath("."), member(place, tarfile.DIRTYPE), None),
        (name, PurePosixPath("notes"), member(f"{place}/notes"), io.BytesIO(text)),
        (name, PurePosixPath("again"), member(f"{place}/again", tarfile.LNKTYPE, f"{place}/notes"), None),
    ]


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Homes:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("os.fchown", lambda handle, uid, gid: asked.append((uid, gid)))
    place = real(tmp_path) / "home"
    place.mkdir()
    rows = tuple(Person(n, u, u, n, str(place / n), "/bin/sh") for n, u in (("ada", 1001), ("bob", 1002)))
    now = tuple(replace(row, uid=row.uid + 100, gid=row.gid + 100) for row in rows)
    found = Homes(FakeMachine(), People(rows, {}), People(now, {}), "NOW")
    found.asked = asked  # type: ignore[attr-defined]
    return found


def test_homes_come_into_their_places(homes: Homes, tmp_path: Path) -> None:
    place, done = tmp_path / "home", []
    homes.done = done.append
    (place / "ada").mkdir()
    (place / "bob").mkdir()
    (place / "bob" / "here").write_text("before")
    homes.put([*home_of("ada", b"a"), *home_of("bob", b"b"), *home_of("eve", b"e")], ["ada", "bob"])
    assert sorted(path.name for path in place.iterdir()) == ["ada", "bob", "bob.before-restore-NOW"]
    assert (place / "ada" / "notes").read_bytes() == b"a"
    assert (place / "bob" / "again").stat().st_nlink == 2
    assert (place / "bob.before-restore-NOW" / "here").read_text() == "before"
    assert homes.aside == [real(place) / "bob.before-restore-NOW"]
    assert done == ["ada", "bob"]
    assert set(homes.asked) == {(1101, 1101)}, "numbers go with their owners"  # type: ignore[attr-defined]


def test_a_home_that_breaks_off_is_not_put_in_place(homes: Homes, tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield from home_of("ada", b"a")
        raise TljhError("is damaged")

    with pytest.raises(TljhError, match="is damaged"):
        homes.put(broken(), ["ada"])
    assert list((tmp_path / "home").iterdir()) == []


def test_a_home_whose_file_would_go_elsewhere(homes: Homes, tmp_path: Path) -> None:
    rows = [
        *home_of("ada", b"a"),
        ("ada", PurePosixPath("out"), member("homes/ada/out", tarfile.SYMTYPE, str(tmp_path)), None),
        ("ada", PurePosixPath("out/x"), member("homes/ada/out/x"), io.BytesIO(b"x")),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.chown", lambda *names, **options: None)
        with pytest.raises(TljhError, match="out is no folder"):
            homes.put(rows, ["ada"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_where_a_home_is_put_together(tmp_path: Path) -> None:
    assert restored_homes._beside(tmp_path / "ada") == tmp_path / ".ada.tljh-restore"
    assert Paths(tmp_path).config.name == "config"
