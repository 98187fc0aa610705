"""What `tljh lock` writes: the machine as it is, other platforms, and what a renewal would come to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import add_conda_packages, add_distribution, conda_package, real
from lock_fakes import Locked, sha256
from tljh.engine import lock as install_lock
from tljh.errors import TljhError
from tljh.resources.conda.environment import subdir
from tljh.resources.locks import hub_lock, lock_file
from tljh.resources.locks.lock import Lock, Requested
from tljh.resources.locks.lock_file import PlatformLock, parse
from tljh.resources.locks.other_platforms import VIRTUAL
from tljh.stages import run
from tljh.stages.locks import lock_writing, locking
from tljh.stages.locks.lock_writing import Move, Wanted, Written

OTHER = next(name for name in VIRTUAL if name != subdir())
HUB = ("jupyterhub==6.1.1", "tljh-x @ file:///srv/x.whl", "the-littlest-jupyterhub==9", "--index-url https://i")


@pytest.fixture
def prefix(tmp_path: Path) -> Locked:
    prefix = Locked(real(tmp_path))
    prefix.hub(*HUB)
    return prefix


def written(prefix: Locked, *platforms: str) -> Written:
    prefix.context.facts.refresh()
    return lock_writing.texts_of(prefix.context, lock_writing.as_it_is(prefix.context), platforms)


def part(prefix: Locked, platform: str = "") -> PlatformLock:
    said = written(prefix, *([platform] if platform else []))
    return parse(said.texts[lock_file.FILE], "x").platforms[platform or subdir()]


# ---- this machine


def test_what_there_is(prefix: Locked) -> None:
    prefix.build()
    found = part(prefix)
    assert [(package.name, package.version) for package in found.conda] == [
        ("jupyterlab", "4.4"),
        ("python", "3.11.2"),
    ]
    assert [package.line for package in found.pip] == [f"cowsay==6.0 --hash=sha256:{sha256('cowsay==6.0')}"]
    assert found.pip[0].url == "https://files.example.org/cowsay-6.0-py3-none-any.whl"
    said = written(prefix)
    assert said.counts == {
        "conda-lock.yml": {subdir(): {"conda": 2, "pip": 1}},
        "requirements-hub.lock": {subdir(): {"pip": 1}},
    }
    assert "- url: forge" in said.texts["conda-lock.yml"]


def test_the_hubs_packages(prefix: Locked) -> None:
    prefix.build()
    text = written(prefix).texts[hub_lock.FILE]
    assert hub_lock.parse(text, "x").lines == {
        "jupyterhub": f"jupyterhub==6.1.1 --hash=sha256:{sha256('jupyterhub==6.1.1')}"
    }
    assert "no package of an index: tljh-x 0.1\n" in text
    assert "no package of an index: the-littlest-jupyterhub 9\n" in text


def test_hashes_that_are_known_are_not_asked_for(prefix: Locked, tmp_path: Path) -> None:
    other = Locked(real(tmp_path) / "other")
    other.hub("jupyterhub==6.1.1 --hash=sha256:aa", "gitty @ git+https://h/gitty@" + "a" * 40)
    other.build()
    text = written(other).texts[hub_lock.FILE]
    assert "jupyterhub==6.1.1 \\\n    --hash=sha256:aa\n" in text and "gitty @ git+https" in text
    assert not any(
        "--generate-hashes" in c
        for c in other.machine.ran("uv pip compile")
        if "requirements.in" in c and "-o" not in c
    )


def test_what_was_installed_by_hand_is_there_too(prefix: Locked) -> None:
    path = prefix.build()
    add_distribution(path, "sheep", "5.0")
    there = [json.loads(file.read_text()) for file in sorted((path / "conda-meta").glob("*.json"))]
    add_conda_packages(path, [*there, conda_package("r", "1.0", md5="0" * 32, requested_spec="r")])
    found = part(prefix)
    assert "sheep" in [package.name for package in found.pip]
    assert "r" in [package.name for package in found.conda]


def test_what_conda_packages_bring_under_another_name(prefix: Locked) -> None:
    path = prefix.build()
    record = next((path / "conda-meta").glob("jupyterlab-*.json"))
    site = "lib/python3.11/site-packages"
    files = [f"{site}/lab_of_jupyter-4.4.0.dist-info/METADATA", f"{site}/jupyterlab/x.py"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "files": files}))
    assert part(prefix).brings == {"jupyterlab": {"lab-of-jupyter": "4.4.0"}}


def test_a_channel_of_this_machine(prefix: Locked) -> None:
    prefix.asked[0] = Requested("/srv/channel", "config.yaml", "channel")
    prefix.build()
    assert "- url: file:///srv/channel" in written(prefix).texts["conda-lock.yml"]


def test_pypis_packages(tmp_path: Path) -> None:
    prefix = Locked(real(tmp_path), "pypi")
    prefix.hub(*HUB)
    prefix.build()
    found = part(prefix)
    assert (found.provider, found.python) == ("pypi", "3.11")
    assert [package.name for package in found.pip] == ["cowsay", "jupyterlab"]


def test_every_environment_has_a_lock(prefix: Locked) -> None:
    path = prefix.build()
    target = prefix.context.paths.envs / "teaching-1"
    prefix.context.conda.build(Lock.of_record(json.loads((path / "tljh-environment.json").read_text())), target)  # type: ignore[arg-type]
    (prefix.context.paths.envs / "teaching").symlink_to("teaching-1")
    said = written(prefix)
    assert set(said.texts) == {"conda-lock.yml", "teaching.conda-lock.yml", "requirements-hub.lock"}


def test_nothing_to_write_of(prefix: Locked) -> None:
    with pytest.raises(TljhError, match=r"^there is no user environment to write a lock of\n  → tljh install$"):
        lock_writing.as_it_is(prefix.context)


# ---- other platforms


def test_another_platform(prefix: Locked) -> None:
    prefix.build()
    prefix.conda.channel = {"python": ["3.11.2", "3.12.1"], "jupyterlab": ["4.1", "4.4", "4.5"]}
    prefix.conda.asked.clear()
    found = part(prefix, OTHER)
    (solve,) = [asked for asked in prefix.conda.asked if asked["op"] == "solve"]
    assert (solve["platform"], solve["virtual"]) == (OTHER, list(VIRTUAL[OTHER]))
    assert "__glibc=2.28" in solve["virtual"]
    assert solve["optional"] == ["jupyterlab ==4.4", "python ==3.11.2"], "the same versions, where they can be had"
    assert {package.subdir for package in found.conda} == {OTHER}
    assert {package.name: package.version for package in found.conda} == {"jupyterlab": "4.4", "python": "3.11.2"}
    assert [package.name for package in found.pip] == ["cowsay"]


def test_what_conda_brings_there_is_left_out_of_pips_part(prefix: Locked) -> None:
    path = prefix.build()
    record = next((path / "conda-meta").glob("jupyterlab-*.json"))
    files = ["lib/python3.11/site-packages/cowsay-6.0.dist-info/METADATA"]
    record.write_text(json.dumps({**json.loads(record.read_text()), "files": files}))
    found = part(prefix, OTHER)
    assert found.pip == ()
    assert found.brings == {"jupyterlab": {"cowsay": "6.0"}}


def test_pypis_packages_of_another_platform(tmp_path: Path) -> None:
    prefix = Locked(real(tmp_path), "pypi")
    prefix.hub(*HUB)
    prefix.build()
    prefix.uv.newest["cowsay"] = "7.0"
    found = part(prefix, OTHER)
    assert found.python == "3.11"
    assert {package.name: package.version for package in found.pip} == {"cowsay": "6.0", "jupyterlab": "4.4"}


def test_what_a_followed_lock_has_is_kept(prefix: Locked) -> None:
    prefix.build()
    folder = locking.folder_of(prefix.context.paths)
    lock_writing.write(prefix.context, written(prefix, OTHER), folder)
    locking.look(prefix.context)
    assert lock_writing.platforms_of(prefix.context.held) == sorted([subdir(), OTHER])
    prefix.conda.asked.clear()
    before = len(prefix.machine.commands)
    said = written(prefix, *lock_writing.platforms_of(prefix.context.held))
    assert set(parse(said.texts["conda-lock.yml"], "x").platforms) == {subdir(), OTHER}
    assert prefix.conda.asked == []
    asked_uv = [command for command in prefix.machine.commands[before:] if "pylock.toml" in command]
    assert asked_uv == [], "its files are known"


# ---- renewals


def test_a_renewal(prefix: Locked, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix.build()

    def look(context: object) -> None:
        prefix.options(upgrade=("jupyterlab",))
        prefix.conda.channel = {"python": ["3.11.2"], "jupyterlab": ["4.4", "4.5"]}
        prefix.context.user_lock, _ = prefix.settle()
        prefix.context.hub_lock = Lock((), ("jupyterhub==6.2", "new==1", *HUB[1:3]))

    monkeypatch.setattr(run, "look", look)
    wanted = lock_writing.renewal(prefix.context)
    assert wanted.moves == [
        Move("hub", "jupyterhub", "pip", "6.1.1", "6.2"),
        Move("hub", "new", "pip", None, "1"),
        Move("user", "jupyterlab", "conda", "4.4=h1_0", "4.5=h1_0"),
    ]
    assert wanted.environments["user"][0] == prefix.context.paths.user
    prefix.options(upgrade=("sheep",))
    monkeypatch.setattr(run, "look", lambda context: None)
    with pytest.raises(TljhError, match=r"^no environment has a package sheep\n"):
        lock_writing.renewal(prefix.context)


def test_a_renewal_of_what_is_followed_asks_again(prefix: Locked) -> None:
    prefix.build()
    folder = locking.folder_of(prefix.context.paths)
    lock_writing.write(prefix.context, written(prefix, OTHER), folder)
    prefix.options(upgrade=())
    lock, _ = prefix.settle()
    prefix.conda.asked.clear()
    wanted = Wanted(Lock((), HUB), {"user": (prefix.context.paths.user, lock)})
    lock_writing.texts_of(prefix.context, wanted, [OTHER])
    assert [asked["platform"] for asked in prefix.conda.asked] == [OTHER]


# ---- where they go


def test_files_are_written(prefix: Locked, tmp_path: Path) -> None:
    said = Written({"conda-lock.yml": "a", "requirements-hub.lock": "b"}, {})
    files = lock_writing.write(prefix.context, said, tmp_path / "new/folder")
    assert [file.read_text() for file in files] == ["a", "b"]


def test_the_machines_copy(prefix: Locked, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[str] = []
    monkeypatch.setattr(install_lock, "acquire", lambda path, say: held.append(path.name) or 7)
    monkeypatch.setattr(install_lock, "release", lambda number: held.append(f"released {number}"))
    folder = locking.folder_of(prefix.context.paths)
    assert not lock_writing.release(prefix.context)
    assert held == []
    folder.mkdir()
    (folder / "old.conda-lock.yml").write_text("old")
    lock_writing.keep(prefix.context, Written({"conda-lock.yml": "a"}, {}))
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("conda-lock.yml", "a")]
    assert lock_writing.release(prefix.context)
    assert not folder.exists()
    assert held == ["tljh.lock", "released 7"] * 2
