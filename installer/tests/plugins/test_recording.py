"""What hooks do through the contract's functions is noted, and kept as their plugin's."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from fakes import store_in_memory
from tljh.engine.plugin_tables import Deed
from tljh.engine.store import Store
from tljh.plugins import recording
from tljh.resources.plugin_file import digest_of


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def keep(store: Store, *notes: dict[str, object]) -> bool:
    return recording.keep(store, "a", notes)


def owned(store: Store) -> set[str]:
    return {f"{resource} {key}" for resource, keys in store.owned().items() for key in keys}


# ---- notes


def test_nothing_is_noted_outside_a_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(recording.VARIABLE, raising=False)
    recording.note("group", name="g")
    assert not recording.is_on()
    assert list(tmp_path.iterdir()) == []


def test_notes_are_read_as_they_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "notes"
    monkeypatch.setenv(recording.VARIABLE, str(file))
    monkeypatch.setenv(recording.PLUGIN_VARIABLE, "")
    recording.note("group", name="g", was=False)
    recording.about("b")
    recording.note("user", name="ana")
    assert recording.read(file) == [
        {"kind": "group", "plugin": "", "name": "g", "was": False},
        {"kind": "user", "plugin": "b", "name": "ana"},
    ]


def test_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text('{"kind": "group", "name": "g"}\n{"kind": "us')
    assert [said["name"] for said in recording.read(file)] == ["g"]
    assert recording.read(tmp_path / "none") == []


def test_what_a_process_notes_is_kept_also_when_it_fails(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(recording.VARIABLE, raising=False)
    with pytest.raises(KeyError), recording.kept(store, "a", tmp_path):
        recording.note("group", name="g", was=False)
        raise KeyError
    assert store.deeds() == [Deed("a", "group", "g", {})]
    assert owned(store) == {"group:g group"}
    assert recording.VARIABLE not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_who_says_himself_whose_hook_runs(store: Store, tmp_path: Path) -> None:
    with recording.kept(store, "", tmp_path):
        recording.about("b")
        recording.note("group", name="g", was=True)
    assert [deed.plugin for deed in store.deeds()] == ["b"]


def test_whether_anything_is_new(store: Store) -> None:
    said = {"kind": "apt", "name": "hello", "was": False}
    assert keep(store, said)
    assert not keep(store, said)
    assert not keep(store, {"kind": "of a newer release", "name": "x"})


# ---- what is whose


@pytest.mark.parametrize(
    ("kind", "resource"),
    [("group", "group:x group"), ("user", "account:x account"), ("membership", "member:x member")],
)
def test_what_is_there_or_not(store: Store, kind: str, resource: str) -> None:
    keep(store, {"kind": kind, "name": "x", "was": True})
    assert (owned(store), len(store.deeds())) == (set(), 1)
    keep(store, {"kind": kind, "name": "x", "was": False})
    assert (owned(store), len(store.deeds())) == ({resource}, 1)
    keep(store, {"kind": kind, "name": "x", "gone": True})
    assert (owned(store), store.deeds()) == (set(), [])


UNIT = {"kind": "unit", "name": "x.service", "path": "/etc/systemd/system", "text": "new\n"}
FILE = "file:/etc/systemd/system/x.service"


def test_a_new_unit(store: Store) -> None:
    keep(store, {**UNIT, "there": None, "content": None})
    assert owned(store) == {f"{FILE} content", f"{FILE} mode", f"{FILE} owner"}
    assert store.deeds() == [Deed("a", "unit", "/etc/systemd/system/x.service", {"text": "new\n"})]
    keep(store, {**UNIT, "there": {"content": digest_of(b"new\n")}, "content": ""})
    assert len(owned(store)) == 3
    keep(store, {"kind": "unit", "name": "x.service", "path": "/etc/systemd/system", "gone": True})
    assert (owned(store), store.deeds()) == (set(), [])


def test_a_unit_in_the_place_of_the_admins(store: Store) -> None:
    there = {"kind": "file", "mode": "0644", "owner": "root:root", "content": "1234"}
    keep(store, {**UNIT, "there": there, "content": base64.b64encode(b"old\n").decode()})
    found = store.replaced(FILE)
    assert found is not None
    assert (found.before, found.content) == (there, b"old\n")
    assert found.written["content"] == digest_of(b"new\n")
    assert len(owned(store)) == 3


def test_the_same_unit_that_the_admin_had(store: Store) -> None:
    keep(store, {**UNIT, "there": {"content": digest_of(b"new\n")}, "content": ""})
    assert owned(store) == set()
    assert store.replaced(FILE) is None


def test_enabled_and_started(store: Store) -> None:
    keep(
        store,
        {"kind": "service", "name": "x", "enabled": True, "was": False},
        {"kind": "service", "name": "x.service", "started": True, "was": True},
    )
    assert store.deeds() == [Deed("a", "service", "x.service", {"enabled": True, "started": True})]
    assert owned(store) == {"unit:x.service enabled"}
    keep(store, {"kind": "service", "name": "x", "enabled": False})
    assert store.deeds() == [Deed("a", "service", "x.service", {"enabled": False, "started": True})]
    assert owned(store) == set()
    keep(store, {"kind": "service", "name": "x", "started": False})
    assert store.deeds() == []


def test_packages(store: Store) -> None:
    keep(
        store,
        {"kind": "apt", "name": "hello=1.0", "was": False},
        {"kind": "apt", "name": "git", "was": True},
        {"kind": "pip", "name": "cowsay", "new": ["cowsay"]},
        {"kind": "pip", "name": "cowsay", "new": ["other"]},
        {"kind": "conda", "name": "r-base", "new": ["conda:r-base"]},
    )
    assert owned(store) == {"apt hello"}
    assert [(deed.kind, deed.name, deed.data) for deed in store.deeds()] == [
        ("apt", "hello=1.0", {}),
        ("apt", "git", {}),
        ("pip", "cowsay", {"new": ["cowsay", "other"]}),
        ("conda", "r-base", {"new": ["conda:r-base"]}),
    ]
