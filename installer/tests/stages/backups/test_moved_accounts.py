"""People's accounts in a backup: checked before they are used, made again with their numbers."""

from __future__ import annotations

import grp
import pwd
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine
from tljh.engine import passwd
from tljh.errors import TljhError
from tljh.stages.backups import moved_accounts
from tljh.stages.backups.moved_accounts import People, Person, conflicts, home_faults, make, renumbered

ADA = Person(
    "jupyter-ada", 1001, 1003, "jupyter-ada", "/home/jupyter-ada", "/bin/bash", "Ada L.", "$y$hash", ("lab",)
)


class Known:
    """The accounts and groups of a machine; what ``useradd`` and ``groupadd`` make is there from then on."""

    def __init__(self, accounts: dict[str, tuple[int, int]], groups: dict[str, tuple[int, list[str]]]) -> None:
        self.accounts, self.groups = accounts, groups

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        uid, gid = self.accounts[name]
        return pwd.struct_passwd((name, "x", uid, gid, "", f"/home/{name}", "/bin/bash"))

    def getpwuid(self, uid: int) -> pwd.struct_passwd:
        return self.getpwnam(next((name for name, (number, _) in self.accounts.items() if number == uid), ""))

    def getpwall(self) -> list[pwd.struct_passwd]:
        return [self.getpwnam(name) for name in self.accounts]

    def getgrnam(self, name: str) -> grp.struct_group:
        gid, members = self.groups[name]
        return grp.struct_group((name, "x", gid, members))

    def getgrgid(self, gid: int) -> grp.struct_group:
        return self.getgrnam(next((name for name, (number, _) in self.groups.items() if number == gid), ""))

    def getgrall(self) -> list[grp.struct_group]:
        return [self.getgrnam(name) for name in self.groups]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Known:
    found = Known({"root": (0, 0)}, {"root": (0, [])})
    for module in (moved_accounts, passwd):
        monkeypatch.setattr(module, "pwd", found)
        monkeypatch.setattr(module, "grp", found)
    return found


def people(*rows: Person) -> People:
    return People(rows, {"lab": 2222, "jupyterhub-users": 1005, "docker": 998})


def test_there_and_back() -> None:
    assert People.of_json(people(ADA).as_json()) == people(ADA)


def test_no_hash_is_shown() -> None:
    assert "$y$" not in repr(people(ADA))


HARMFUL: list[tuple[dict[str, Any], str]] = [
    ({"name": "-x"}, "has an account that is none"),
    ({"name": "a:b"}, "has an account that is none"),
    ({"name": "a\nb"}, "has an account that is none"),
    ({"name": "x" * 40}, "has an account that is none"),
    ({"group": "--gid"}, "has an account that is none"),
    ({"groups": ["a b"]}, "has an account that is none"),
    ({"words": "x:y"}, "has an account that is none"),
    ({"hashed": "$y$x\nroot:y"}, "has an account that is none"),
    ({"shell": "/bin/sh\n"}, "has an account that is none"),
    ({"uid": 0}, "has number 0:1003, which is no person's"),
    ({"gid": 42}, "has number 1001:42, which is no person's"),
    ({"uid": 65534}, "which is no person's"),
    ({"uid": "1001"}, "has an account that is none"),
    ({"home": "/etc"}, "has no home of its own"),
    ({"home": "home/x"}, "has no home of its own"),
    ({"home": "/home/../etc/x"}, "has no home of its own"),
    ({"more": 1}, "cannot be read"),
]


@pytest.mark.parametrize(("change", "words"), HARMFUL, ids=[str(row[0]) for row in HARMFUL])
def test_accounts_that_would_do_harm(change: dict[str, Any], words: str) -> None:
    said = people(ADA).as_json()
    said["accounts"][0].update(change)
    with pytest.raises(TljhError, match=words):
        People.of_json(said)


@pytest.mark.parametrize("said", [{}, [], {"accounts": 1}, {"accounts": [{}], "groups": {}}])
def test_something_else_than_accounts(said: Any) -> None:
    with pytest.raises(TljhError, match="the backup's accounts cannot be read"):
        People.of_json(said)


def test_a_group_that_is_none() -> None:
    with pytest.raises(TljhError, match="a group that is none: '-x'"):
        People.of_json({"accounts": [], "groups": {"-x": 1}})


# ---- numbers


def test_no_conflict(known: Known) -> None:
    assert conflicts(people(ADA)) == []
    known.accounts["jupyter-ada"], known.groups["jupyter-ada"] = (1001, 1003), (1003, [])
    assert conflicts(people(ADA)) == [], "the same account is there"


def test_conflicts_are_told_each_in_a_sentence(known: Known) -> None:
    known.accounts["ubuntu"], known.groups["ubuntu"] = (1001, 1003), (1003, [])
    assert conflicts(people(ADA)) == [
        "jupyter-ada has uid 1001, which is ubuntu's on this machine",
        "the group jupyter-ada has gid 1003, which is ubuntu's on this machine",
    ]
    known.accounts["jupyter-ada"], known.groups["jupyter-ada"] = (1007, 1008), (1008, [])
    assert conflicts(people(ADA)) == [
        "jupyter-ada has uid 1001 in the backup and 1007 on this machine",
        "the group jupyter-ada has gid 1003 in the backup and 1008 here",
    ]


def test_other_numbers(known: Known) -> None:
    known.accounts["ubuntu"], known.groups["ubuntu"] = (1001, 1003), (1003, [])
    bob = Person("jupyter-bob", 1002, 1004, "jupyter-bob", "/home/jupyter-bob", "/bin/bash")
    found = renumbered(people(ADA, bob))
    assert conflicts(found) == []
    assert found.accounts[1] == bob, "who is in nobody's way keeps his numbers"
    numbers = [number for row in found.accounts for number in (row.uid, row.gid)]
    assert len({row.uid for row in found.accounts}) == 2
    assert len({row.gid for row in found.accounts}) == 2
    assert all(number >= 1000 for number in numbers)


def test_who_is_there_keeps_the_numbers_of_here(known: Known) -> None:
    known.accounts["jupyter-ada"], known.groups["jupyter-ada"] = (1007, 1008), (1008, [])
    assert [(row.uid, row.gid) for row in renumbered(people(ADA)).accounts] == [(1007, 1008)]


# ---- making them


def making(machine: FakeMachine, known: Known) -> None:
    def useradd(words: list[str]) -> str:
        name = words[-1]
        known.accounts[name] = (int(words[words.index("--uid") + 1]), int(words[words.index("--gid") + 1]))
        return ""

    def groupadd(words: list[str]) -> str:
        number = int(words[words.index("--gid") + 1]) if "--gid" in words else 999
        known.groups[words[-1]] = (number, [])
        return ""

    machine.answers.update({"useradd": useradd, "groupadd": groupadd})


def test_accounts_are_made_with_all_that_they_had(tmp_path: Path, known: Known) -> None:
    machine, owned = FakeMachine(tmp_path), []
    making(machine, known)
    made = make(people(ADA), machine, lambda what, name: owned.append((what, name)))
    assert made == ["jupyter-ada"]
    assert known.accounts["jupyter-ada"] == (1001, 1003)
    assert known.groups["lab"][0] == 2222
    assert machine.ran("gpasswd") == ["gpasswd --add jupyter-ada lab"]
    assert set(owned) == {("groups", "jupyterhub-users"), ("groups", "jupyterhub-admins"), ("made groups", "lab")}
    flags = (
        "--no-create-home --uid 1001 --gid 1003 --home-dir /home/jupyter-ada --shell /bin/bash --comment 'Ada L.'"
    )
    assert machine.ran("useradd") == [f"useradd {flags} -- jupyter-ada"]
    own = machine.commands.index("groupadd --gid 1003 -- jupyter-ada")
    assert own < machine.commands.index("groupadd -- jupyterhub-admins"), "its number must not be taken by then"
    assert not [command for command in machine.commands if "$y$hash" in command], "in nobody's process list"


def test_a_second_time_only_what_is_missing(tmp_path: Path, known: Known) -> None:
    machine = FakeMachine(tmp_path)
    making(machine, known)
    make(people(ADA), machine, lambda what, name: None)
    known.groups["lab"] = (2222, ["jupyter-ada"])
    machine.commands.clear()
    assert make(people(ADA), machine, lambda what, name: None) == []
    assert machine.commands == ["chpasswd --encrypted"]


@pytest.mark.parametrize("hashed", ["!", "*", "", "!!"])
def test_an_account_without_a_password_gets_none(tmp_path: Path, known: Known, hashed: str) -> None:
    machine = FakeMachine(tmp_path)
    making(machine, known)
    row = Person("jupyter-ada", 1001, 1003, "jupyter-ada", "/home/jupyter-ada", "/bin/bash", hashed=hashed)
    make(people(row), machine, lambda what, name: None)
    assert machine.ran("chpasswd") == []


def test_a_system_group_gets_a_number_of_this_machine(tmp_path: Path, known: Known) -> None:
    machine = FakeMachine(tmp_path)
    making(machine, known)
    row = Person(*("jupyter-ada", 1001, 1003, "jupyter-ada", "/home/jupyter-ada", "/bin/bash"), groups=("docker",))
    make(people(row), machine, lambda what, name: None)
    assert "groupadd -- docker" in machine.commands


# ---- homes


def test_a_home_where_others_can_write(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o777)
    row = Person("x", 1001, 1003, "x", str(place / "x"), "/bin/bash")
    assert home_faults(people(row), ["x"]) == [
        f"{place}, where {place}/x is to be, can be written to by others than root"
    ]
    assert home_faults(people(row), []) == [], "it isn't restored"
