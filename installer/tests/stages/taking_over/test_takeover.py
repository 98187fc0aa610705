"""What was on a machine before: found, kept, made way for, and put back."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import FakeMachine, make_context, make_environment, real
from tljh.engine.apply import Applier
from tljh.engine.plan import make_plan
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.resources.environments.environment import number_of
from tljh.resources.locks.lock import RECORD, Lock
from tljh.stages.context import Context
from tljh.stages.going_back import before_us, old_things
from tljh.stages.taking_over import takeover

SETTINGS = "users:\n  admin:\n  - ann\n"


def distribution(hub: Path, name: str, version: str, entry: str = "") -> None:
    info = hub / f"lib/python3.11/site-packages/{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry)


def database(path: Path, revision: str, users: tuple[str, ...] = ("ann",)) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as made:
        made.executescript(
            "create table alembic_version (version_num text); create table users (id integer, name text);"
            "create table api_tokens (hashed text, user_id integer);"
            "create table spawners (user_id integer, name text, started text, state text, server_id integer);"
        )
        made.execute("insert into alembic_version values (?)", (revision,))
        made.executemany("insert into users values (1, ?)", [(name,) for name in users])


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A machine with TLJH: hub, user environment, config.yaml, a unit, a database."""
    folder = real(tmp_path)
    units = folder / "units"
    units.mkdir()
    (units / "jupyterhub.service").write_text("the old unit\n")
    monkeypatch.setattr(takeover, "UNITS", (units / "jupyterhub.service", units / "traefik.service"))
    monkeypatch.setattr(takeover, "SUDOERS", units / "sudoers")
    monkeypatch.setattr(takeover, "COMMAND", units / "tljh-config")
    monkeypatch.setattr(old_things, "OURS", units / "tljh")
    made = make_context(folder, with_systemd=False)
    made.store = Store(made.paths.store)
    made.store.begin_run("bootstrap")
    (made.paths.hub / "bin").mkdir(parents=True)
    distribution(made.paths.hub, "the-littlest-jupyterhub", "2.0.0")
    distribution(made.paths.hub, "jupyterhub", "5.2.1")
    distribution(made.paths.hub, "tljh-gallery", "1.2", "[tljh]\ngallery = tljh_gallery\n")
    make_environment(made.paths.user, {"jupyterlab": "4.0"})
    made.paths.config_file.write_text(SETTINGS)
    database(made.paths.hub_database, "five")
    makes = make_environment(made.paths.envs / "hub-1", {"jupyterhub": "6.1.1"})
    assert number_of(makes) == 1
    made.hub_lock, made.hub_target = Lock((), ("jupyterhub==6.1.1",)), made.paths.envs / "hub-1"
    takeover.look(made, again=True)
    return made


def do(context: Context, resources: Any) -> None:
    applier = Applier(context.machine, context.facts, context.store, 1)
    listed: list[Resource] = list(resources)
    for step in make_plan(listed, context.facts, {}).puts:
        applier.apply(step)


def take_over(context: Context) -> None:
    """What a takeover does, but for the user environment's packages."""
    do(context, takeover.Takeover().resources(context))
    context.paths.config_file.write_text("ours: 1\n")
    takeover.UNITS[0].write_text("our unit\n")
    do(context, [row for row in takeover.hand_over(context) if row.id == "takeover:hub"])


def test_it_is_found_and_its_plugins_are_wishes(context: Context) -> None:
    assert context.predecessor
    assert context.predecessor.version == "2.0.0"
    assert takeover.specs(context) == ["tljh-gallery"]
    assert takeover.versions(context) == {"tljh-gallery": "==1.2"}


def test_a_plugin_whose_source_is_gone_is_taken_as_it_is(context: Context) -> None:
    info = next(context.paths.hub.glob("lib/python3*/site-packages/tljh_gallery-*"))
    (info / "direct_url.json").write_text('{"url": "file:///gone/tljh-gallery", "dir_info": {}}')
    (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/entry_points.txt,,\n")
    takeover.look(context, again=True)
    spec = takeover.specs(context)[0]
    assert spec == str(context.paths.state / "wheels/taken-over/tljh_gallery-1.2-py3-none-any.whl")
    assert Path(spec).is_file()


def test_all_is_kept_before_anything_is_changed(context: Context) -> None:
    do(context, takeover.Takeover().resources(context))
    record = takeover.record_of(context.store)
    assert record and (record["version"], record["jupyterhub"]) == ("2.0.0", "5.2.1")
    assert takeover.kept_file(context.paths, context.paths.config_file).read_text() == SETTINGS
    assert takeover.kept_file(context.paths, takeover.UNITS[0]).read_text() == "the old unit\n"
    assert context.store.owned() == {}
    assert context.store.numbers() == [0]
    assert context.paths.hub.is_dir(), "the old hub serves"
    context.paths.config_file.write_text("ours: 1\n")
    do(context, takeover.Takeover().resources(context))
    kept = takeover.kept_file(context.paths, context.paths.config_file)
    assert kept.read_text() == SETTINGS, "a run that goes on does not take ours for theirs"


def test_the_hub_makes_way_in_one_step(context: Context) -> None:
    take_over(context)
    assert context.paths.hub.readlink() == Path("envs/hub-1")
    assert takeover.kept_hub(context.paths).is_dir()
    assert takeover.kept_database(context.paths).stat().st_mode & 0o777 == 0o600
    takeover.look(context, again=True)
    assert context.predecessor is None, "there is nothing to be taken over any more"
    assert takeover.specs(context) == []


def test_the_old_environment_stays_as_long_as_it_can_come_back(context: Context) -> None:
    do(context, takeover.Takeover().resources(context))
    context.store.remember_before({"takeover": {"user": "user-1"}, "plugins": {}, "environments": {}})
    assert takeover.kept_environments(context.paths, context.store) == {"user-1"}
    context.machine.remove(takeover.folder(context.paths))
    assert takeover.kept_environments(context.paths, context.store) == set(), "the admin has given it up"


# ---- back


class Manager:
    """Services that run as they are told."""

    def __init__(self) -> None:
        self.running = {"jupyterhub", "traefik"}
        self.calls: list[str] = []

    def state(self, facts: object, name: str) -> dict[str, str]:
        return {"active": "yes" if name in self.running else "inactive"}

    def start(self, name: str) -> None:
        self.calls.append(f"start {name}")
        self.running.add(name)

    def stop(self, name: str) -> None:
        self.calls.append(f"stop {name}")
        self.running.discard(name)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setattr(Context, "manager", made)
    monkeypatch.setattr(before_us.verification, "wait_for_hub", lambda *arguments: "5.2.1")
    return made


def put_back(context: Context) -> None:
    found = before_us.look(context)
    applier = Applier(context.machine, context.facts, context.store, context.store.begin_run("tljh rollback 0"))
    before_us._put_back(found, applier)


def test_everything_is_where_it_was(context: Context, manager: Manager) -> None:
    take_over(context)
    database(context.paths.hub_database, "six", ("ann", "bob"))
    notes = before_us.look(context).notes
    assert notes[0].endswith("1 user (bob) and no tokens that came since are lost; no server must stop")
    assert any("config.yaml is that of then again" in note for note in notes)
    put_back(context)
    assert context.paths.hub.is_dir() and not context.paths.hub.is_symlink()
    assert (context.paths.config_file.read_text(), takeover.UNITS[0].read_text()) == (SETTINGS, "the old unit\n")
    assert [path.read_text() for path in context.paths.config.glob("config.yaml.before-rollback-*")] == [
        "ours: 1\n"
    ]
    assert before_us.revision_of(context.paths.hub_database) == "five"
    backups = list((context.paths.state / "backups").glob("jupyterhub-six-*.sqlite"))
    assert len(backups) == 1
    assert manager.calls == ["stop jupyterhub", "stop traefik", "start traefik", "start jupyterhub"]


def test_a_database_of_the_same_schema_stays(context: Context, manager: Manager) -> None:
    take_over(context)
    database(context.paths.hub_database, "five", ("ann", "bob"))
    put_back(context)
    with sqlite3.connect(context.paths.hub_database) as there:
        assert there.execute("select count(*) from users").fetchone() == (2,)


def test_done_twice_is_done_once(context: Context, manager: Manager) -> None:
    take_over(context)
    put_back(context)
    manager.calls = []
    put_back(context)
    assert manager.calls == []


def test_the_user_environment_is_at_its_place_and_a_link_leads_there(context: Context, manager: Manager) -> None:
    take_over(context)
    (context.paths.user / RECORD).write_text("{}")
    context.paths.user.rename(context.paths.envs / "user-1")
    context.paths.user.symlink_to("envs/user-1")
    old = old_things.OldUser("old user environment", paths=context.paths, name="user-1")
    do(context, [old])
    assert (context.paths.user / "bin/python").exists() and not context.paths.user.is_symlink()
    assert not (context.paths.user / RECORD).exists()
    assert (context.paths.envs / "user-1").resolve() == context.paths.user, "what runs from there goes on"


def test_what_is_gone_is_named_before_anything_is_changed(context: Context, manager: Manager) -> None:
    take_over(context)
    takeover.kept_file(context.paths, takeover.UNITS[0]).unlink()
    with pytest.raises(TljhError, match=r"is not there any more: .*jupyterhub\.service") as caught:
        before_us.look(context)
    assert "nothing was changed" in str(caught.value)


def test_where_nothing_was_before(context: Context, manager: Manager) -> None:
    context.machine.remove(context.paths.hub)
    with pytest.raises(TljhError, match="nothing was here before the first install") as caught:
        before_us.look(context)
    assert "tljh uninstall" in str(caught.value)


def test_one_that_is_back_is_only_tidied_up_after(context: Context, manager: Manager) -> None:
    found = before_us.look(context)  # TLJH serves, and nothing is known of a takeover
    assert (found.plan.changes(), list(found.notes)) == ([], [before_us._GOES])


def test_a_failed_move_starts_the_old_hub_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    do(context, takeover.Takeover().resources(context))
    assert isinstance(context.machine, FakeMachine)
    monkeypatch.setattr(
        context.machine, "exchange", lambda *paths: (_ for _ in ()).throw(TljhError("a mount point"))
    )
    hub = next(row for row in takeover.hand_over(context) if row.id == "takeover:hub")
    hub.with_systemd = True
    ran: list[list[str]] = []
    monkeypatch.setattr(context.machine, "run", lambda words, **more: ran.append(words) or SimpleNamespace())
    with pytest.raises(TljhError, match="a mount point"):
        do(context, [hub])
    assert [words[1] for words in ran] == ["stop", "start"]
    assert context.paths.hub.is_dir() and not context.paths.hub.is_symlink()
