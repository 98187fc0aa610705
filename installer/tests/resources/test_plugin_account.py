"""Groups, accounts and memberships of plugins."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from fakes import FakeMachine, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.parsers import Account
from tljh.engine.plan import make_plan
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.resources.plugin_account import Membership, PluginAccount, PluginGroup


class Host(FakeMachine):
    """The tools of shadow-utils, on two files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.next = 990
        self.needed: set[str] = set()
        self.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.put("/etc/group", "root:x:0:\n")
        for program in ("groupadd", "groupdel", "useradd", "userdel", "usermod", "gpasswd"):
            self.answers[program] = getattr(self, program)

    def _edit(self, file: str, old: str, new: str) -> None:
        text = (self.read(Path(file)) or b"").decode()
        self.put(file, re.sub(old, new, text, flags=re.M) if old else text + new)

    def groupadd(self, words: list[str]) -> str:
        number = words[words.index("--gid") + 1] if "--gid" in words else str(self.next)
        self._edit("/etc/group", "", f"{words[-1]}:x:{number}:\n")
        return ""

    def groupdel(self, words: list[str]) -> str:
        if words[-1] not in self.needed:
            self._edit("/etc/group", f"^{words[-1]}:.*\n", "")
        return ""

    def useradd(self, words: list[str]) -> str:
        options = dict(itertools.pairwise(words))
        uid = options.get("--uid", str(self.next))
        if "--user-group" in words:
            self._edit("/etc/group", "", f"{words[-1]}:x:{uid}:\n")
        home, shell = options.get("--home-dir", f"/home/{words[-1]}"), options["--shell"]
        self._edit("/etc/passwd", "", f"{words[-1]}:x:{uid}:{uid}::{home}:{shell}\n")
        return ""

    def userdel(self, words: list[str]) -> str:
        self._edit("/etc/passwd", f"^{words[-1]}:.*\n", "")
        return ""

    def usermod(self, words: list[str]) -> str:
        shell = words[words.index("--shell") + 1]
        self._edit("/etc/passwd", f"^({words[-1]}:.*):[^:\n]*$", rf"\1:{shell}")
        return ""

    def gpasswd(self, words: list[str]) -> str:
        self._edit("/etc/group", f"^({words[-1]}:x:\\d+:).*$", rf"\1{words[-2] if '--add' in words else ''}")
        return ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def converge(host: Host, store: Store, *resources: Resource) -> list[str]:
    plan = make_plan(resources, Facts(host), store.owned())
    applier = Applier(host, Facts(host), store, store.begin_run("test"))
    lines = [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]
    assert not make_plan(resources, Facts(host), store.owned())
    return [f"{line.action} {line.resource} {line.key}" for line in lines]


def account(store: Store, *, known: bool = False, shell: str = "/usr/sbin/nologin") -> PluginAccount:
    return PluginAccount("account:bot", store, home="/nonexistent", shell=shell, known=known)


def test_a_group_comes_and_goes(host: Host, store: Store) -> None:
    assert converge(host, store, PluginGroup("group:g", store)) == ["create group:g group"]
    assert converge(host, store, PluginGroup("group:g", store, wanted=False)) == ["remove group:g group"]
    assert host.commands == ["groupadd --system g", "groupdel g"]


def test_a_group_gets_its_number_again_where_that_is_free(host: Host, store: Store) -> None:
    host.next = 977
    converge(host, store, PluginGroup("group:g", store))
    converge(host, store, PluginGroup("group:g", store, wanted=False))
    host.commands.clear()
    converge(host, store, PluginGroup("group:g", store))
    assert host.commands == ["groupadd --gid 977 g"]
    converge(host, store, PluginGroup("group:g", store, wanted=False))
    host._edit("/etc/group", "", "taken:x:977:\n")
    converge(host, store, PluginGroup("group:g", store))
    assert host.commands[-1] == "groupadd --system g"


def test_a_group_that_somebody_needs_stays(host: Host, store: Store) -> None:
    converge(host, store, PluginGroup("group:g", store))
    host.needed.add("g")
    assert converge(host, store, PluginGroup("group:g", store, wanted=False)) == []
    assert store.owned() == {}


def test_a_system_account_comes_and_goes(host: Host, store: Store) -> None:
    assert converge(host, store, account(store)) == [
        "create account:bot account",
        "create account:bot home",
        "create account:bot shell",
    ]
    assert host.commands == [
        "useradd --system --no-create-home --user-group --home-dir /nonexistent --shell /usr/sbin/nologin bot"
    ]
    store.remember_account(name="bot", uid=1, gid=1, home="/x", origin="core")
    assert len(converge(host, store, PluginAccount("account:bot", store, wanted=False))) == 3
    assert host.commands[-1] == "userdel bot"
    assert store.accounts() == {}, "nothing makes it again"


def test_an_account_gets_its_numbers_again(host: Host, store: Store) -> None:
    converge(host, store, account(store))
    host.userdel(["bot"])
    host.commands.clear()
    converge(host, store, account(store, known=True))
    assert host.commands == [
        "useradd --system --no-create-home --uid 990 --gid bot --home-dir /nonexistent "
        "--shell /usr/sbin/nologin bot"
    ]
    host.userdel(["bot"])
    host.groupdel(["bot"])
    host.commands.clear()
    converge(host, store, account(store, known=True))
    assert host.commands[0] == "groupadd --gid 990 bot"


def test_what_a_hook_made_gets_the_numbers_that_it_had(host: Host, store: Store) -> None:
    store.remember_account(name="ana", uid=1234, gid=1235, home="/home/ana", origin="core")
    converge(host, store, PluginAccount("account:ana", store, system=False, known=True))
    assert host.commands == [
        "groupadd --gid 1235 ana",
        "useradd --create-home --uid 1234 --gid 1235 --shell /bin/bash ana",
    ]


def test_the_shell_of_ours_is_mended(host: Host, store: Store) -> None:
    converge(host, store, account(store))
    assert converge(host, store, account(store, known=True, shell="/bin/sh")) == ["change account:bot shell"]
    assert host.commands[-1] == "usermod --shell /bin/sh bot"


def test_an_account_that_was_there_keeps_what_it_has(host: Host, store: Store) -> None:
    host._edit("/etc/passwd", "", "bot:x:1000:1000::/home/bot:/bin/bash\n")
    assert converge(host, store, account(store)) == []
    assert converge(host, store, PluginAccount("account:bot", store, wanted=False)) == []
    assert Facts(host).accounts["bot"] == Account("bot", 1000, 1000, "/home/bot")


def test_a_person_has_a_home_and_it_stays(host: Host, store: Store) -> None:
    converge(host, store, PluginAccount("account:ana", store, system=False))
    assert host.commands == ["useradd --create-home --user-group --shell /bin/bash ana"]
    gone = PluginAccount("account:ana", store, wanted=False)
    plan = make_plan([gone], Facts(host), store.owned())
    assert {line.effect for line in plan.changes()} == {"its home stays"}


def test_a_membership_comes_and_goes(host: Host, store: Store) -> None:
    converge(host, store, PluginGroup("group:g", store), account(store))
    assert converge(host, store, Membership("member:g/bot")) == ["create member:g/bot member"]
    assert converge(host, store, Membership("member:g/bot", wanted=False)) == ["remove member:g/bot member"]
    assert host.commands[-2:] == ["gpasswd --add bot g", "gpasswd --delete bot g"]


def test_a_membership_that_was_there_stays(host: Host, store: Store) -> None:
    host._edit("/etc/group", "", "g:x:5:bot\n")
    assert converge(host, store, Membership("member:g/bot")) == []
    assert converge(host, store, Membership("member:g/bot", wanted=False)) == []


def test_numbers_are_noted_where_a_killed_run_could_not(tmp_path: Path) -> None:
    machine, store = FakeMachine(tmp_path), store_in_memory()
    machine.put("/etc/passwd", "bot:x:990:980::/nonexistent:/usr/sbin/nologin\n")
    machine.put("/etc/group", "bot:x:980:\n")
    PluginAccount("account:bot", store, known=True).remember(machine)
    PluginGroup("group:bot", store).remember(machine)
    PluginGroup("group:other", store).remember(machine)
    assert (store.number("uid", "bot"), store.number("gid", "bot")) == (990, 980)
    assert store.number("gid", "other") is None
