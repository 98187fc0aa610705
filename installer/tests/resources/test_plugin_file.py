"""Files, folders and links of plugins: what they replace comes back, unless somebody has made it his own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeMachine, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.machine import FileStatus
from tljh.engine.plan import Plan, make_plan
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.resources.plugin_file import (
    FolderAbove,
    NoFile,
    PluginFile,
    PluginFolder,
    PluginLink,
    UnitFile,
    put_back,
    what_is_at,
)

PATH = Path("/etc/x.conf")
NAME = f"file:{PATH}"


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    (tmp_path / "etc").mkdir()
    return FakeMachine(tmp_path)


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def plan_of(machine: FakeMachine, store: Store, resource: Resource) -> Plan:
    resource.origins = dict.fromkeys(("content", "mode", "owner", "target"), "a")
    return make_plan([resource], Facts(machine), store.owned())


def converge(machine: FakeMachine, store: Store, resource: Resource) -> list[str]:
    """What was done; a second look finds nothing to do."""
    plan = plan_of(machine, store, resource)
    applier = Applier(machine, Facts(machine), store, store.begin_run("test"))
    done = [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]
    assert not plan_of(machine, store, resource)
    return [f"{line.action} {line.key}" for line in done]


def file(content: str | None, store: Store, say: Callable[[str], None] = print) -> PluginFile:
    data = None if content is None else content.encode()
    return PluginFile(NAME, content=data, earlier=store.replaced(NAME), say=say)


def text(machine: FakeMachine, path: Path = PATH) -> str | None:
    found = machine.read(path)
    return None if found is None else found.decode()


def test_a_new_file_comes_and_goes(machine: FakeMachine, store: Store) -> None:
    assert converge(machine, store, file("new\n", store)) == ["create content", "create mode", "create owner"]
    assert converge(machine, store, file(None, store)) == ["remove content", "remove mode", "remove owner"]
    assert text(machine) is None
    assert store.owned() == {}


def test_what_it_replaced_is_put_back(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "the admin's\n").chmod(0o600)
    assert converge(machine, store, file("new\n", store)) == ["change content", "change mode"]
    converge(machine, store, file("newer\n", store))
    plan = plan_of(machine, store, file(None, store))
    assert {line.effect for line in plan.changes()} == {"puts back what was there before"}
    assert converge(machine, store, file(None, store)) == ["remove content", "remove mode", "remove owner"]
    assert text(machine) == "the admin's\n"
    assert machine.status(PATH) == FileStatus("file", "0600", "root:root")
    assert store.owned() == {}
    assert store.replaced(NAME) is None


def test_what_somebody_has_changed_since_stays_and_that_is_said(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "the admin's\n")
    converge(machine, store, file("new\n", store))
    machine.put("/etc/x.conf", "new, and edited\n")
    said: list[str] = []
    gone = file(None, store, said.append)
    assert {line.effect for line in plan_of(machine, store, gone).changes()} == {
        "stays: somebody has changed it since"
    }
    assert converge(machine, store, gone) == []
    assert said == ["/etc/x.conf stays as it is: it has been changed since a plugin put it there"]
    assert text(machine) == "new, and edited\n"
    assert store.owned() == {}


def test_what_was_as_wanted_before_is_never_ours(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "new\n")
    assert converge(machine, store, file("new\n", store)) == []
    assert converge(machine, store, file(None, store)) == []
    assert text(machine) == "new\n"


def test_what_the_admin_has_put_back_himself(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "the admin's\n")
    converge(machine, store, file("new\n", store))
    machine.put("/etc/x.conf", "the admin's\n")
    assert not plan_of(machine, store, file(None, store))


def test_damage_is_mended_and_is_not_what_was_there_before(machine: FakeMachine, store: Store) -> None:
    converge(machine, store, file("new\n", store))
    machine.put("/etc/x.conf", "damaged\n")
    assert converge(machine, store, file("new\n", store)) == ["change content"]
    converge(machine, store, file(None, store))
    assert text(machine) is None


def test_a_link_in_its_place_comes_back(machine: FakeMachine, store: Store) -> None:
    machine.at(PATH).symlink_to("/usr/share/x.conf")
    converge(machine, store, file("new\n", store))
    assert text(machine) == "new\n"
    converge(machine, store, file(None, store))
    assert machine.at(PATH).readlink() == Path("/usr/share/x.conf")


def test_what_has_become_a_link_is_not_ours_to_remove(machine: FakeMachine, store: Store) -> None:
    converge(machine, store, file("new\n", store))
    machine.at(PATH).unlink()
    machine.at(PATH).symlink_to("/elsewhere")
    assert not plan_of(machine, store, file(None, store))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            LookupError("no such user: 'nobody-x'"),
            "plugin a: file:/etc/x.conf is to belong to root:root, which this machine does not know\n"
            "  → declare the account beside it (tljh.declare.Account), then run the same command again",
        ),
        (
            OSError(28, "No space left on device"),
            "plugin a: file:/etc/x.conf could not be put in place: No space left on device",
        ),
    ],
)
def test_why_it_could_not_be_put_in_place(
    machine: FakeMachine, store: Store, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(FakeMachine, "_chown", fail)
    with pytest.raises(TljhError) as caught:
        converge(machine, store, file("new\n", store))
    assert str(caught.value) == words


# ---- unit files


@pytest.fixture
def unit(machine: FakeMachine) -> str:
    machine.at(Path("/run/systemd/system")).mkdir(parents=True)
    machine.at(Path("/etc/systemd/system")).mkdir(parents=True)
    return "file:/etc/systemd/system/x.service"


def test_systemd_reads_its_units_again(machine: FakeMachine, store: Store, unit: str) -> None:
    converge(machine, store, UnitFile(unit, content=b"[Unit]\n"))
    converge(machine, store, UnitFile(unit))
    assert machine.commands == ["systemctl daemon-reload"] * 2


def test_the_unit_that_was_there_runs_again(machine: FakeMachine, store: Store, unit: str) -> None:
    machine.put("/etc/systemd/system/x.service", "the admin's")
    converge(machine, store, UnitFile(unit, content=b"[Unit]\n"))
    machine.commands.clear()
    converge(machine, store, UnitFile(unit, earlier=store.replaced(unit)))
    assert machine.commands == ["systemctl daemon-reload", "systemctl try-restart x.service"]


# ---- files that are to go before something starts


def test_that_it_is_gone_is_something_to_put(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "old\n")
    plan = plan_of(machine, store, NoFile(NAME))
    assert [(line.action, line.after) for line in plan.changes()] == [("change", "nothing")]
    assert not plan.drops
    converge(machine, store, NoFile(NAME))
    assert text(machine) is None


# ---- links


def link(target: str, store: Store) -> PluginLink:
    return PluginLink("link:/etc/x.conf", target=target, earlier=store.replaced("link:/etc/x.conf"))


def test_a_link_comes_and_goes(machine: FakeMachine, store: Store) -> None:
    assert converge(machine, store, link("y", store)) == ["create target"]
    assert converge(machine, store, link("", store)) == ["remove target"]
    assert machine.status(PATH) is None


def test_the_file_that_a_link_replaced_comes_back(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", "the admin's\n").chmod(0o640)
    converge(machine, store, link("y", store))
    converge(machine, store, link("", store))
    assert text(machine) == "the admin's\n"
    assert machine.status(PATH) == FileStatus("file", "0640", "root:root")


def test_the_link_that_a_link_replaced_comes_back(machine: FakeMachine, store: Store) -> None:
    machine.at(PATH).symlink_to("before")
    converge(machine, store, link("y", store))
    assert machine.at(PATH).readlink() == Path("y")
    converge(machine, store, link("", store))
    assert machine.at(PATH).readlink() == Path("before")


# ---- folders

FOLDER = "directory:/srv/x"


def folder(
    store: Store, *, wanted: bool = True, mode: str = "0750", say: Callable[[str], None] = print
) -> Resource:
    return PluginFolder(FOLDER, mode=mode, wanted=wanted, earlier=store.replaced(FOLDER), say=say)


def test_an_empty_folder_comes_and_goes(machine: FakeMachine, store: Store) -> None:
    converge(machine, store, folder(store))
    assert machine.status(Path("/srv/x")) == FileStatus("directory", "0750", "root:root")
    converge(machine, store, folder(store, wanted=False))
    assert machine.status(Path("/srv/x")) is None


def test_a_folder_with_something_in_it_stays(machine: FakeMachine, store: Store) -> None:
    converge(machine, store, folder(store))
    machine.put("/srv/x/data", "people's")
    said: list[str] = []
    assert converge(machine, store, folder(store, wanted=False, say=said.append)) == []
    assert said == ["/srv/x stays: it is not empty"]
    assert text(machine, Path("/srv/x/data")) == "people's"
    assert store.owned() == {}


def test_a_folder_that_was_there_gets_its_mode_back(machine: FakeMachine, store: Store) -> None:
    machine.at(Path("/srv/x")).mkdir(parents=True)
    machine.at(Path("/srv/x")).chmod(0o711)
    converge(machine, store, folder(store))
    converge(machine, store, folder(store, wanted=False))
    assert machine.status(Path("/srv/x")) == FileStatus("directory", "0711", "root:root")


def test_a_folder_above_gives_way() -> None:
    assert FolderAbove.gives_way
    assert not PluginFolder.gives_way


def test_putting_back_is_exact(machine: FakeMachine, store: Store) -> None:
    machine.put("/etc/x.conf", b"\xff\x00").chmod(0o4755)
    before = what_is_at(machine, PATH)
    assert before is not None
    store.take_over(NAME, before, machine.read(PATH), {"content": "other"})
    machine.remove(PATH)
    earlier = store.replaced(NAME)
    assert earlier is not None
    put_back(machine, PATH, earlier)
    assert what_is_at(machine, PATH) == before
    assert what_is_at(machine, Path("/etc/nothing")) is None
