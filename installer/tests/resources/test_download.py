"""What is fetched is put in place only when it is what was said."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeMachine, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import make_plan
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.resources import download as module
from tljh.resources.download import Download
from tljh.resources.plugin_file import PluginFile

CONTENT = b"a big file\n"
SHA = hashlib.sha256(CONTENT).hexdigest()
PATH = Path("/srv/data.bin")


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    (tmp_path / "srv").mkdir()
    return FakeMachine(tmp_path)


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def download(url: str = "file:///media/a%20b", sha256: str = SHA, *, mode: str = "0644") -> Download:
    return Download(f"file:{PATH}", url=url, sha256=sha256, mode=mode, whose="plugin a (1.0)")


def converge(machine: FakeMachine, store: Store, resource: PluginFile) -> list[str]:
    plan = make_plan([resource], Facts(machine), store.owned())
    applier = Applier(machine, Facts(machine), store, store.begin_run("test"))
    lines = [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]
    assert not make_plan([resource], Facts(machine), store.owned())
    return [f"{line.action} {line.key} {line.effect}".strip() for line in lines]


def test_from_a_file_of_this_machine(machine: FakeMachine, store: Store) -> None:
    machine.put("/media/a b", CONTENT)
    assert converge(machine, store, download())[0] == "create content downloads file:///media/a%20b"
    assert machine.read(PATH) == CONTENT
    converge(machine, store, PluginFile(f"file:{PATH}"))
    assert machine.read(PATH) is None


def test_from_the_web_and_not_again_for_its_mode(
    machine: FakeMachine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def blocks_of(url: str, *, whose: str) -> Iterator[bytes]:
        asked.append((url, whose))
        yield CONTENT[:3]
        yield CONTENT[3:]

    monkeypatch.setattr(module, "blocks_of", blocks_of)
    converge(machine, store, download("https://host/x"))
    assert machine.read(PATH) == CONTENT
    assert converge(machine, store, download("https://host/x", mode="0600")) == ["change mode"]
    assert machine.read(PATH) == CONTENT
    assert asked == [("https://host/x", "plugin a (1.0)")]


def test_another_content_is_refused_and_what_was_there_stays(machine: FakeMachine, store: Store) -> None:
    machine.put(str(PATH), "before\n")
    machine.put("/media/a b", "forged\n")
    with pytest.raises(TljhError) as caught:
        converge(machine, store, download())
    forged = hashlib.sha256(b"forged\n").hexdigest()
    assert str(caught.value) == (
        f"plugin a (1.0): file:///media/a%20b is not what it should be: its sha256 is {forged}, "
        f"expected is {SHA}; {PATH} stays as it was\n"
        "  → see whether the file has been replaced there; the plugin's author has to say the new sha256"
    )
    assert machine.read(PATH) == b"before\n"
    assert [path.name for path in machine.at(Path("/srv")).iterdir()] == ["data.bin"]


def test_a_file_that_is_not_there(machine: FakeMachine, store: Store) -> None:
    with pytest.raises(
        TljhError, match=r"^plugin a \(1.0\): file:///media/a%20b is to be put at .* is not there$"
    ):
        converge(machine, store, download())


def test_a_file_that_it_replaced_comes_back(machine: FakeMachine, store: Store) -> None:
    machine.put("/media/a b", CONTENT)
    machine.put(str(PATH), "before\n")
    converge(machine, store, download())
    converge(machine, store, PluginFile(f"file:{PATH}", earlier=store.replaced(f"file:{PATH}")))
    assert machine.read(PATH) == b"before\n"
