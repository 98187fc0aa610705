"""What an environment comes to: what the admin did by hand is kept, with PyPI and with conda."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import (
    FakeConda,
    FakeMachine,
    FakeUv,
    add_conda_packages,
    add_distribution,
    conda_package,
    make_context,
    real,
)
from tljh.configurer import with_defaults
from tljh.errors import TljhError
from tljh.resources.locks.lock import BY_HAND, Lock, Requested
from tljh.stages.context import Context, Options
from tljh.stages.locks import solving

ASKED = [
    Requested("forge", "core", "channel"),
    Requested("python", "core", "conda"),
    Requested("jupyterlab>=4", "core", "either"),
    Requested("cowsay", "x"),
]


class Prefix:
    """A prefix whose environments are conda's."""

    def __init__(self, folder: Path) -> None:
        self.context: Context = make_context(folder, uv=FakeUv(), config=with_defaults({}))
        assert isinstance(self.context.machine, FakeMachine)
        self.conda = FakeConda(
            self.context.machine, {"python": ["3.11"], "jupyterlab": ["4.1"], "r": ["1.0", "2.0"]}
        )
        self.asked = list(ASKED)

    def settle(self, *drop: str) -> tuple[Lock, Path]:
        self.context.options = Options(drop=drop)
        self.context.facts.refresh()
        return solving.settle(self.context, self.context.paths.user, self.asked, "conda")

    def build(self) -> Path:
        """Built and switched to."""
        lock, path = self.settle()
        self.context.conda.build(lock, path)
        self.context.paths.user.unlink(missing_ok=True)
        self.context.paths.user.symlink_to(f"envs/{path.name}")
        self.conda.asked = []
        return path

    def by_conda(self, path: Path, *names: str) -> None:
        """What ``conda install`` leaves: records, and for what was named what was asked for."""
        there = [json.loads(file.read_text()) for file in sorted((path / "conda-meta").glob("*.json"))]
        there = [said for said in there if said["name"] not in names]
        mine = [conda_package(name, "1.0", requested_spec=name) for name in names]
        add_conda_packages(path, [*there, *mine, conda_package("needed", "1.0")])


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(real(tmp_path))


def test_what_no_channel_has_comes_from_pypi(prefix: Prefix) -> None:
    prefix.asked.append(Requested("notebook>=7", "core", "either"))
    lock, path = prefix.settle()
    assert set(lock.pins) == {"conda:python", "conda:jupyterlab", "notebook", "cowsay"}
    assert path == prefix.context.paths.envs / "user-1"
    assert prefix.context.conda.begun == {path}, "pip's part was solved against conda's packages"


def test_a_second_look_solves_nothing(prefix: Prefix) -> None:
    path = prefix.build()
    lock, again = prefix.settle()
    assert again == path
    assert prefix.conda.asked == []
    assert lock.provider == "conda"


def test_what_conda_installed_by_hand_stays_where_it_is(prefix: Prefix) -> None:
    path = prefix.build()
    prefix.by_conda(path, "r")
    lock, again = prefix.settle()
    assert again == path
    assert prefix.conda.asked == [], "nothing is solved, and nothing is built"
    assert lock.pins["conda:r"] == "1.0=h1_0"


def test_what_conda_installed_by_hand_is_carried_over(prefix: Prefix) -> None:
    prefix.by_conda(prefix.build(), "r")
    prefix.asked.append(Requested("numpy", "y"))
    lock, path = prefix.settle()
    assert path.name == "user-2"
    solve = prefix.conda.asked[0]
    assert "r ==1.0" in solve["specs"]
    assert not any("needed" in spec for spec in solve["specs"]), "what came along follows from what was named"
    assert {"needed", "r"} <= {said["name"] for said in solve["locked"]}
    assert Requested("r ==1.0", BY_HAND, "conda") in lock.requested


def test_what_conda_installed_is_known_from_its_history_too(prefix: Prefix) -> None:
    path = prefix.build()
    prefix.by_conda(path)
    there = [json.loads(file.read_text()) for file in (path / "conda-meta").glob("*.json")]
    add_conda_packages(path, [*there, conda_package("r", "1.0")])
    (path / "conda-meta/history").write_text("==> 2026-01-01 <==\n# update specs: ['r']\n")
    prefix.asked.append(Requested("numpy", "y"))
    prefix.settle()
    assert "r ==1.0" in prefix.conda.asked[0]["specs"]


def test_what_pip_installed_by_hand_is_carried_over(prefix: Prefix) -> None:
    add_distribution(prefix.build(), "sheep", "5.0")
    prefix.asked.append(Requested("numpy", "y"))
    lock, _ = prefix.settle()
    assert lock.pins["sheep"] == "==5.0"


def test_what_is_dropped_is_not_carried_over(prefix: Prefix) -> None:
    prefix.by_conda(prefix.build(), "r")
    lock, path = prefix.settle("r")
    assert "conda:r" not in lock.pins
    assert path.name == "user-2", "it is built without it"


def test_what_was_installed_by_hand_and_fits_no_more(prefix: Prefix) -> None:
    prefix.by_conda(prefix.build(), "r")
    prefix.asked.append(Requested("r >=2", "y", "conda"))
    prefix.conda.fault = {"fault": "solve", "text": "r ==1.0 conflicts with r >=2", "about": ""}
    with pytest.raises(TljhError) as caught:
        prefix.settle()
    assert "y asks for r >=2" in str(caught.value)
    assert "installed by hand and carried over: r ==1.0" in str(caught.value)
    assert "--drop PACKAGE" in str(caught.value)


def test_a_plan_links_nothing_among_the_environments(prefix: Prefix) -> None:
    prefix.context.planning = True
    _, path = prefix.settle()
    (begun,) = prefix.context.conda.begun
    assert begun.parent == solving.plan_folder(prefix.context.paths)
    assert path == prefix.context.paths.envs / "user-1"
    assert not path.exists()


def test_another_provider_is_another_environment(prefix: Prefix) -> None:
    prefix.build()
    rows = [Requested("jupyterlab>=4", "core"), Requested("cowsay", "x")]
    prefix.context.facts.refresh()
    lock, path = solving.settle(prefix.context, prefix.context.paths.user, rows, "pypi")
    assert (lock.provider, path.name) == ("pypi", "user-2")


def test_what_stands_in_an_environments_place(prefix: Prefix) -> None:
    place = prefix.context.paths.user
    place.mkdir()
    prefix.settle()  # an empty folder is in nobody's way
    (place / "thesis.txt").write_text("mine")
    with pytest.raises(TljhError) as caught:
        prefix.settle()
    assert str(caught.value) == (
        f"{place} is a folder with thesis.txt in it, which no installer of environments has made\n"
        "  → move it elsewhere, then try again"
    )
    (place / "bin").mkdir()
    (place / "bin/python").touch()
    prefix.settle()  # another installer's environment is moved aside when the new one is there
    for entry in (place / "bin/python", place / "thesis.txt"):
        entry.unlink()
    (place / "bin").rmdir()
    place.rmdir()
    place.write_text("")
    with pytest.raises(TljhError, match="user is a file, which no installer"):
        prefix.settle()
