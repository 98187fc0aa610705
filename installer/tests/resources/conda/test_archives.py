"""Archives of conda packages: fetched into a folder, and installed from there without a channel."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from fakes import FakeConda, FakeMachine, conda_package, make_context, real
from tljh.errors import TljhError
from tljh.resources.conda.archives import archive_of, at_hand, fetch
from tljh.resources.conda.environment import CondaBuilder
from tljh.resources.locks.lock import CondaPackage, Lock

CONTENT = b"an archive"


def package(folder: Path, name: str = "numpy", sha256: str = "") -> CondaPackage:
    """A package of a channel in a folder."""
    found = CondaPackage.of(conda_package(name))
    place = folder / "linux-64" / found.file_name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(CONTENT)
    digest = sha256 or hashlib.sha256(CONTENT).hexdigest()
    return CondaPackage.of({**asdict(found), "url": place.as_uri(), "sha256": digest})


@pytest.fixture
def builder(tmp_path: Path) -> CondaBuilder:
    return make_context(real(tmp_path)).conda


@pytest.fixture
def conda(builder: CondaBuilder) -> FakeConda:
    assert isinstance(builder.machine, FakeMachine)
    return FakeConda(builder.machine)


# ---- fetching


def fetched(tmp_path: Path, *packages: CondaPackage) -> dict[str, object]:
    return asyncio.run(fetch([asdict(row) for row in packages], str(tmp_path / "out"), "", 0))


def test_archives_of_this_machine_are_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = fetched(tmp_path, package(tmp_path / "a b"), package(tmp_path / "a b", "scipy"))
    assert answer == {"bytes": 20}
    out = tmp_path / "out" / "linux-64"
    assert sorted(path.name for path in out.iterdir()) == ["numpy-1.0-h1_0.conda", "scipy-1.0-h1_0.conda"]
    assert (out / "numpy-1.0-h1_0.conda").read_bytes() == CONTENT
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["bytes"] for line in lines] == [10, 20]


def test_another_archive_than_the_locks_is_refused(tmp_path: Path) -> None:
    answer = fetched(tmp_path, package(tmp_path, sha256="00"))
    assert (answer["fault"], answer["about"]) == ("hash", "numpy")
    assert f"has the sha256 {hashlib.sha256(CONTENT).hexdigest()} instead of 00" in str(answer["text"])


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = package(tmp_path)
    (tmp_path / "linux-64" / missing.file_name).unlink()
    answer = fetched(tmp_path, missing)
    assert (answer["fault"], answer["about"]) == ("install", "numpy")
    assert missing.url in str(answer["text"]) and "No such file" in str(answer["text"])


def test_a_fault_becomes_an_error(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    conda.fault = {"fault": "hash", "text": "x has the sha256 1 instead of 2", "about": "numpy"}
    with pytest.raises(TljhError, match=r"not the one that the channel's index or the lock speaks of: numpy"):
        builder.fetch(Lock((), (), conda=(package(tmp_path),)), tmp_path / "out")
    assert conda.asked[0]["folder"] == str(tmp_path / "out")


# ---- installing


def test_only_what_is_in_the_folder_is_taken_from_there(tmp_path: Path) -> None:
    here, elsewhere = (CondaPackage.of(conda_package(name)) for name in ("numpy", "scipy"))
    place = archive_of(here, tmp_path)
    place.parent.mkdir()
    place.touch()
    told = at_hand([here, elsewhere], tmp_path)
    assert told == [{**asdict(here), "url": place.as_uri()}, asdict(elsewhere)]
    assert at_hand([here], None) == [asdict(here)]


def test_the_cache_is_filled_first_and_records_speak_of_the_channel(
    builder: CondaBuilder, conda: FakeConda, tmp_path: Path
) -> None:
    builder.archives = tmp_path / "archives"
    numpy = CondaPackage.of(conda_package("numpy"))
    place = archive_of(numpy, builder.archives)
    place.parent.mkdir(parents=True)
    place.touch()
    path = real(tmp_path) / "envs" / "user-1"
    builder.link(Lock((), (), conda=(numpy,)), path, reinstall=["numpy"])
    first, second = conda.asked
    assert first["packages"][0]["url"] == place.as_uri()
    assert (first["op"], first["cache"], first["reinstall"]) == ("install", second["cache"], [])
    assert second["packages"][0]["url"] == numpy.url and second["prefix"] == str(path)
    assert not Path(first["prefix"]).exists() and first["prefix"] != str(path)
    assert json.loads((path / "conda-meta/numpy-1.0-h1_0.json").read_text())["url"] == numpy.url


def test_without_archives_there_is_one_step(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    builder.archives = tmp_path / "archives"
    builder.link(
        Lock((), (), conda=(CondaPackage.of(conda_package("numpy")),)), real(tmp_path) / "envs" / "user-1"
    )
    assert len(conda.asked) == 1
