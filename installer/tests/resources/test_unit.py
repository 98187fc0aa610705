"""Whether units run, and run with what is on disk; what timers are made of."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from fakes import FakeMachine, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import make_plan
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.resources import unit as module
from tljh.resources.plugin_file import digest_of
from tljh.resources.unit import UnitState, quoted, timer_texts

TEXT = b"[Service]\n"
DIGEST = digest_of(TEXT)
FILE = Path("/etc/systemd/system/x.service")


class Host(FakeMachine):
    """systemd with one unit, whose properties are a dictionary."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.unit = {"LoadState": "not-found"}
        self.fails = False
        self.answers = {
            "systemctl show": lambda words: "".join(f"{key}={value}\n" for key, value in self.unit.items()),
            "systemctl daemon-reload": self.reload,
            "systemctl restart": self.restart,
            "systemctl enable": lambda words: self.unit.update(UnitFileState="enabled"),
            "systemctl disable": lambda words: self.unit.update(UnitFileState="disabled"),
            "systemctl stop": lambda words: self.unit.update(ActiveState="inactive", SubState="dead"),
            "journalctl": "no such program\n",
        }

    def reload(self, words: list[str]) -> str:
        self.unit["NeedDaemonReload"] = "no"
        if self.at(FILE).exists():
            there = {"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled", **self.unit}
            self.unit = {**there, "LoadState": "loaded"}
        return ""

    def restart(self, words: list[str]) -> str:
        state, sub = ("failed", "failed") if self.fails else ("active", "running")
        self.unit.update(ActiveState=state, SubState=sub, InactiveExitTimestampMonotonic="2000000")
        return ""

    def runs(self) -> None:
        self.put(str(FILE), TEXT)
        self.unit = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active"}
        self.unit |= {"SubState": "running", "NeedDaemonReload": "no", "InactiveExitTimestampMonotonic": "2000000"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(module, "SETTLED", 0.0)
    monkeypatch.setattr(module, "started_at", lambda microseconds: 4_000_000_000.0)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    return Host(tmp_path)


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def unit(**values: object) -> UnitState:
    wanted = {"digest": DIGEST, "enabled": True, "started": True, **values}
    return UnitState("unit:x.service", origins={"active": "a", "enabled": "a", "text": "a"}, **wanted)  # type: ignore[arg-type]


def converge(host: Host, store: Store, resource: UnitState) -> list[str]:
    plan = make_plan([resource], Facts(host), store.owned())
    applier = Applier(host, Facts(host), store, store.begin_run("test"))
    lines = [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]
    assert not make_plan([resource], Facts(host), store.owned())
    return [f"{line.action} {line.key}: {line.before} -> {line.after}" for line in lines]


def test_it_is_enabled_and_started_and_all_of_it_is_ours(host: Host, store: Store) -> None:
    host.put(str(FILE), TEXT)
    host.reload([])
    assert converge(host, store, unit()) == ["create enabled: None -> yes", "create active: None -> yes"]
    assert set(store.owned()["unit:x.service"]) == {"enabled", "active"}


def test_a_stopped_unit_is_a_change_of_what_is_ours(host: Host, store: Store) -> None:
    host.runs()
    host.unit.update(ActiveState="failed", SubState="failed")
    assert converge(host, store, unit(known=True)) == ["change active: failed (failed) -> yes"]
    assert host.ran("systemctl reset-failed")


def test_it_is_restarted_when_its_file_is_younger(
    host: Host, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.runs()
    monkeypatch.setattr(module, "started_at", lambda microseconds: 5.0)
    diff = make_plan([unit(known=True)], Facts(host), {}).changes()
    assert [(line.key, line.before, line.effect) for line in diff] == [
        ("text", "an older text", "restarts x.service")
    ]


def test_it_is_restarted_when_systemd_has_not_read_its_file(host: Host, store: Store) -> None:
    host.runs()
    host.unit["NeedDaemonReload"] = "yes"
    assert converge(host, store, unit(known=True)) == [f"change text: an older text -> {DIGEST}"]
    assert host.ran("systemctl restart")


def test_a_file_from_the_future_says_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.runs()
    monkeypatch.setattr(module, "started_at", lambda microseconds: 5.0)
    monkeypatch.setattr(module.time, "time", lambda: 6.0)
    assert not make_plan([unit(known=True)], Facts(host), {})


def test_a_oneshot_that_has_done_its_work(host: Host) -> None:
    host.runs()
    host.unit.update(Type="oneshot", ActiveState="inactive", SubState="dead", Result="success")
    assert not make_plan([unit(known=True)], Facts(host), {})
    host.unit["InactiveExitTimestampMonotonic"] = "0"
    assert [line.key for line in make_plan([unit(known=True)], Facts(host), {}).changes()] == ["active"]


def test_one_that_does_not_run(host: Host, store: Store) -> None:
    host.put(str(FILE), TEXT)
    host.reload([])
    host.fails = True
    with pytest.raises(TljhError) as caught:
        converge(host, store, unit())
    assert str(caught.value) == (
        "plugin a: the unit x.service does not run: failed (failed); it last said:\n    no such program\n"
        "  → mend what it complains of, or leave the plugin out; the hub serves all the same"
    )


def test_no_longer_wanted_it_is_stopped_and_disabled(host: Host, store: Store) -> None:
    host.put(str(FILE), TEXT)
    host.reload([])
    converge(host, store, unit())
    assert [line.partition(":")[0] for line in converge(host, store, UnitState("unit:x.service"))] == [
        "remove enabled",
        "remove active",
    ]
    assert host.ran("systemctl stop") and host.ran("systemctl disable")


def test_what_ran_before_us_goes_on(host: Host, store: Store) -> None:
    host.runs()
    assert converge(host, store, unit()) == []
    assert converge(host, store, UnitState("unit:x.service")) == []
    assert host.ran("systemctl stop") == []


def test_it_is_to_be_started_no_more(host: Host, store: Store) -> None:
    host.put(str(FILE), TEXT)
    host.reload([])
    converge(host, store, unit())
    assert converge(host, store, unit(started=False, known=True)) == ["remove active: yes -> None"]
    assert host.unit["UnitFileState"] == "enabled"


def test_without_systemd_there_are_none(host: Host) -> None:
    host.at(Path("/run/systemd/system")).rmdir()
    assert not make_plan([UnitState("unit:x.service")], Facts(host), {"unit:x.service": {"active": "a"}})
    assert host.commands == []


def test_many_units_are_asked_for_in_one_call(host: Host) -> None:
    said = ("x", "loaded", "inactive"), ("y", "loaded", "active"), ("z", "not-found", "inactive")
    host.answers["systemctl show"] = "\n".join(
        f"Id=alias-of-{name}.service\nLoadState={load}\nActiveState={active}\n" for name, load, active in said
    )
    units = [UnitState(f"unit:{name}.service", started=True) for name in "xyz"]
    module.ask_together(units)
    facts = Facts(host)
    assert [unit.observe(facts) for unit in units] == [{}, {"active": "yes"}, {}]
    assert len(host.commands) == 1


def test_a_name_that_systemd_passes_over_does_not_hide_the_others(host: Host) -> None:
    host.answers["systemctl show"] = "Id=x.service\nLoadState=loaded\nActiveState=active\n"
    units = [UnitState(f"unit:{name}.service", started=True) for name in ("x", "no@name@")]
    module.ask_together(units)
    assert units[0].observe(Facts(host)) == {"active": "yes"}


# ---- timers


@pytest.mark.parametrize(
    ("word", "written"),
    [("a b", '"a b"'), ("100%", '"100%%"'), ("$HOME", '"$$HOME"'), ('"', '"\\""'), ("\\", '"\\\\"'), ("", '""')],
)
def test_words_of_a_command(word: str, written: str) -> None:
    assert quoted(word) == written
    assert shlex.split(written)[0].replace("%%", "%").replace("$$", "$") == word


def test_a_timer_and_its_service() -> None:
    timer, service = timer_texts("nightly", ["/bin/echo", "a b"], "Mon *-*-* 03:00", "ana")
    assert "OnCalendar=Mon *-*-* 03:00\nPersistent=yes\n" in timer
    assert "WantedBy=timers.target\n" in timer
    assert 'Type=oneshot\nUser=ana\nExecStart="/bin/echo" "a b"\n' in service
