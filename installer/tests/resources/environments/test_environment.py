"""Environments: built beside, verified, switched to; what an admin installed by hand is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, FakeUv, add_distribution, make_environment, real
from tljh.engine.facts import EnvironmentFact, Facts
from tljh.engine.processes import Completed
from tljh.engine.resource import difference
from tljh.errors import TljhError
from tljh.resources.environments import environment
from tljh.resources.environments.environment import (
    PATH,
    WISHES,
    Environment,
    by_hand,
    choose_target,
    discard,
    is_intact,
    pins_of,
    unused,
)
from tljh.resources.environments.python_environment import Builder
from tljh.resources.locks.lock import RECORD, Lock, Requested


def fact(
    packages: Mapping[str, str],
    lock: Mapping[str, str],
    *,
    by_pip: frozenset[str] = frozenset(),
    hands: tuple[str, ...] = (),
) -> EnvironmentFact:
    record: dict[str, Any] = {
        "requirements": [{"requirement": line, "origin": "by hand"} for line in hands],
        "lock": [f"{name}=={version}" for name, version in lock.items()],
        "packages": dict(lock),
    }
    return EnvironmentFact(Path("/e"), record, dict(packages), by_pip, True)


# ---- what is in it


def test_pins_of_what_is_installed() -> None:
    found = fact({"a": "1", "b": "2", "c": "1"}, {"a": "1", "b": "1"})
    found.record["lock"][0] = "a @ file:///a.whl"
    assert pins_of(found) == {"a": "@ file:///a.whl", "b": "==2", "c": "==1"}
    found.packages["a"] = "1.1"
    assert pins_of(found)["a"] == "==1.1", "another one has taken its place"


def test_what_an_admin_installed() -> None:
    assert by_hand(fact({"a": "1"}, {"a": "1"})) == {}
    assert by_hand(fact({"a": "1", "new": "3"}, {"a": "1"})) == {"new": "==3"}
    assert by_hand(fact({"a": "2"}, {"a": "1"}, by_pip=frozenset({"a"}))) == {"a": "==2"}
    assert by_hand(fact({"a": "2"}, {"a": "1"})) == {}, "not pip's work: it is damaged, and is mended"
    assert by_hand(fact({}, {"a": "1"})) == {}


def test_what_an_admin_installed_stays_his_in_the_next_environment() -> None:
    assert by_hand(fact({"a": "1", "b": "1"}, {"a": "1", "b": "1"}, hands=("a==1",))) == {"a": "==1"}


def test_what_an_admin_installed_from_a_file_stays_his_too() -> None:
    found = fact({"a": "1"}, {"a": "1"}, hands=("a @ file:///srv/a-1-py3-none-any.whl",))
    found.record["lock"] = ["a @ file:///srv/a-1-py3-none-any.whl"]
    assert by_hand(found) == {"a": "@ file:///srv/a-1-py3-none-any.whl"}


def test_intact() -> None:
    found = fact({"a": "1", "more": "1"}, {"a": "1"})
    assert is_intact(found, {"a": "==1"})
    assert not is_intact(found, {"a": "==2"})
    assert not is_intact(found, {"a": "==1", "b": "==1"})
    assert not is_intact(None, {})
    assert not is_intact(EnvironmentFact(Path("/e"), {}, {"a": "1"}, frozenset(), True), {})
    assert not is_intact(EnvironmentFact(Path("/e"), found.record, {"a": "1"}, frozenset(), False), {"a": "==1"})


# ---- on disk


class Prefix:
    """A prefix with environments, and a builder for more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.envs = folder / "envs"
        self.envs.mkdir()
        self.link = folder / "user"
        self.machine = FakeMachine(answers={"uv": FakeUv()})
        self.builder = Builder(
            self.machine, Path("uv"), Path("/usr/bin/python3"), folder / "cache", say=lambda text: None
        )

    @property
    def facts(self) -> Facts:
        return Facts(self.machine)

    def make(self, name: str, **packages: str) -> Path:
        self.builder.build(lock_of(**packages), self.envs / name)
        return self.envs / name

    def serve(self, name: str) -> None:
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(f"envs/{name}")

    def target(self, **pins: str) -> str:
        wanted = {name: f"=={version}" for name, version in pins.items()}
        return choose_target(self.facts, self.link, self.envs, wanted).name

    def resource(self, name: str, **packages: str) -> Environment:
        return Environment(
            "environment:user",
            link=self.link,
            lock=lock_of(**packages),
            target=self.envs / name,
            builder=self.builder,
            finish=lambda machine, path: (path / "finished").touch(),
            verify=[("bin/jupyterhub-singleuser", "--version")],
        )


def lock_of(**packages: str) -> Lock:
    lines = [f"{name}=={version}" for name, version in packages.items()]
    return Lock(tuple(Requested(line, "core") for line in lines), tuple(lines))


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(real(tmp_path))


def test_the_first_environment(prefix: Prefix) -> None:
    assert prefix.target(a="1") == "user-1"


def test_the_one_that_serves_if_it_holds_what_is_wanted(prefix: Prefix) -> None:
    prefix.make("user-1", a="1")
    prefix.make("user-2", a="1")
    prefix.serve("user-1")
    assert prefix.target(a="1") == "user-1"
    add_distribution(prefix.envs / "user-1", "more", "1")
    assert prefix.target(a="1") == "user-1"


def test_else_the_newest_complete_one_that_does(prefix: Prefix) -> None:
    for number in (1, 2, 10):
        prefix.make(f"user-{number}", a=str(number % 10))
    prefix.make("user-11", a="1")
    (prefix.envs / "user-11" / RECORD).unlink()
    prefix.make("hub-12", a="1")
    prefix.serve("user-2")
    assert prefix.target(a="1") == "user-1"
    assert prefix.target(a="0") == "user-10"
    assert prefix.target(a="7") == "user-12", "numbers are never used again"


def test_one_that_holds_more_of_ours_is_another(prefix: Prefix) -> None:
    prefix.make("user-1", a="1", b="1")
    prefix.serve("user-1")
    assert prefix.target(a="1") == "user-2"


def test_a_damaged_one_is_built_anew(prefix: Prefix) -> None:
    prefix.make("user-1", a="1")
    prefix.serve("user-1")
    (prefix.envs / "user-1/bin/python").unlink()
    assert prefix.target(a="1") == "user-2"


def test_one_from_before_this_program_is_not_in_envs(prefix: Prefix) -> None:
    make_environment(prefix.link, {"a": "1"})
    (prefix.link / RECORD).write_text(json.dumps({"requirements": [], "packages": {"a": "1"}}))
    assert prefix.target(a="1") == "user-1"


def test_build_verify_and_switch(prefix: Prefix) -> None:
    prefix.make("user-1", a="1")
    prefix.serve("user-1")
    wanted = prefix.resource("user-2", a="2")
    diff = difference(wanted, prefix.facts, set())
    assert diff.put == {PATH: str(prefix.envs / "user-2"), WISHES: wanted.lock.wishes, "a": "==2"}
    assert wanted.effect(diff) == f"switches {prefix.link} to user-2"
    wanted.change(diff, prefix.machine)
    assert prefix.link.readlink() == Path("envs/user-2")
    assert (prefix.envs / "user-2/finished").exists()
    assert "jupyterhub-singleuser --version" in prefix.machine.commands
    assert (prefix.envs / "user-1" / RECORD).exists(), "running kernels keep theirs"
    assert not difference(wanted, prefix.facts, set())


def test_a_complete_one_is_only_switched_to(prefix: Prefix) -> None:
    prefix.make("user-1", a="1")
    prefix.machine.commands.clear()
    wanted = prefix.resource("user-1", a="1")
    wanted.change(difference(wanted, prefix.facts, set()), prefix.machine)
    assert prefix.machine.commands == []
    assert prefix.link.readlink() == Path("envs/user-1")


@pytest.mark.parametrize("fails", ["uv pip sync", "jupyterhub-singleuser"])
def test_a_failed_build_leaves_no_trace_and_the_old_one_serving(prefix: Prefix, fails: str) -> None:
    prefix.make("user-1", a="1")
    prefix.serve("user-1")
    prefix.machine.answers[fails] = Completed(1, "", "it broke")
    wanted = prefix.resource("user-2", a="2")
    with pytest.raises(TljhError, match="it broke"):
        wanted.change(difference(wanted, prefix.facts, set()), prefix.machine)
    assert prefix.link.readlink() == Path("envs/user-1")
    assert [path.name for path in prefix.envs.iterdir()] == ["user-1"]


def test_half_of_an_earlier_build_is_not_built_on(prefix: Prefix) -> None:
    prefix.make("user-1", a="1", old="1")
    (prefix.envs / "user-1" / RECORD).unlink()
    (prefix.envs / "user-1/leftover").touch()
    wanted = prefix.resource("user-1", a="1")
    wanted.change(difference(wanted, prefix.facts, set()), prefix.machine)
    assert not (prefix.envs / "user-1/leftover").exists()


def test_a_folder_in_the_links_place_is_kept(prefix: Prefix) -> None:
    make_environment(prefix.link, {"a": "1"})
    wanted = prefix.resource("user-1", a="1")
    wanted.change(difference(wanted, prefix.facts, set()), prefix.machine)
    assert prefix.link.is_symlink()
    assert (prefix.folder / "user.before-tljh/bin/python").exists()


def test_what_we_put_there_and_nobody_wants_goes_what_the_admin_put_there_stays(prefix: Prefix) -> None:
    prefix.make("user-1", a="1", b="1")
    prefix.serve("user-1")
    add_distribution(prefix.envs / "user-1", "cowsay", "6.1")
    diff = difference(prefix.resource("user-2", a="1"), prefix.facts, set())
    assert diff.drop == {"b": "==1"}


def test_a_wish_that_is_met_already_is_recorded(prefix: Prefix) -> None:
    path = prefix.make("user-1", a="1")
    prefix.serve("user-1")
    wanted = prefix.resource("user-1", a="1")
    wanted.lock = replace(wanted.lock, requested=(*wanted.lock.requested, Requested("a>=1", "x")))
    diff = difference(wanted, prefix.facts, set())
    assert set(diff.put) == {WISHES}
    prefix.machine.commands.clear()
    wanted.change(diff, prefix.machine)
    assert prefix.machine.commands == [], "nothing is built"
    assert Lock.of_record(json.loads((path / RECORD).read_text())) == wanted.lock
    prefix.facts.refresh()
    assert not difference(wanted, prefix.facts, set())


# ---- those that nothing needs


def test_unused_environments(prefix: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hub-1", "hub-2", "user-1", "user-10", "user-2"):
        prefix.make(name, a="1")
    command_lines = f"{prefix.envs}/user-10/bin/python\0-m\0ipykernel\n"
    monkeypatch.setattr(environment, "_command_lines", lambda: command_lines)
    found = unused(prefix.facts, prefix.envs, {"hub-2", "user-2"})
    assert [path.name for path in found] == ["hub-1", "user-1"]


def test_a_prefix_that_is_a_link_to_another_disk(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same place has two names: it is as wanted, and what runs there is known by the other one."""
    disk, named = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("named") / "tljh"
    named.symlink_to(disk)
    prefix = Prefix(named)
    prefix.make("user-1", a="1")
    prefix.serve("user-1")
    assert not difference(prefix.resource("user-1", a="1"), prefix.facts, set())
    monkeypatch.setattr(environment, "_command_lines", lambda: f"{disk}/envs/user-1/bin/python\0")
    assert unused(prefix.facts, prefix.envs, set()) == []


def test_processes_are_not_looked_at_where_nothing_could_go(
    prefix: Prefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix.make("hub-1", a="1")
    monkeypatch.setattr(environment, "_command_lines", lambda: pytest.fail("looked"))
    assert unused(prefix.facts, prefix.envs, {"hub-1"}) == []


def test_command_lines_name_this_process() -> None:
    assert "pytest" in environment._command_lines()


def test_one_that_was_not_verified_is_not_complete(prefix: Prefix) -> None:
    wanted = prefix.resource("user-2", a="2")
    seen: list[bool] = []
    wanted.finish = lambda machine, path: seen.append((path / RECORD).exists())
    wanted.change(difference(wanted, prefix.facts, set()), prefix.machine)
    assert seen == [False], "a kill here must not leave what the next run would switch to"
    assert (prefix.envs / "user-2" / RECORD).exists()


def test_an_environment_that_is_removed_is_no_longer_complete_from_the_first_moment(
    prefix: Prefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prefix.make("user-1", a="1")
    seen: list[bool] = []
    monkeypatch.setattr("shutil.rmtree", lambda folder, **_: seen.append((Path(folder) / RECORD).exists()))
    discard(prefix.machine, prefix.envs / "user-1")
    discard(prefix.machine, prefix.envs / "not-there")
    assert seen == [False, False], path
