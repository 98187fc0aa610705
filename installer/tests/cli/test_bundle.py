"""``tljh bundle``: what is printed, and what is said to a wrong command."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fakes import make_context
from tljh.cli import bundle as module
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.archives import bundle
from tljh.resources.archives.bundle import Entry, Manifest
from tljh.stages import preflight
from tljh.stages import run as stages_run
from tljh.stages.locks import bundling

FILES = {"wheels/a.whl": 3_000_000, "conda/linux-64/b.conda": 0, "apt/c.deb": 1_000_000, "apt/Packages": 7}
MANIFEST = Manifest(
    "3.0", "debian 12", "x86_64", "3.11", "wheels/a.whl", ["tljh-x"], {n: Entry("00", s) for n, s in FILES.items()}
)


def tljh(*words: str) -> Result:
    return CliRunner().invoke(module.group, list(words))


def said(result: Result) -> str:
    assert isinstance(result.exception, TljhError), result.output
    return str(result.exception)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "tljh"))
    return Paths(tmp_path / "tljh")


@pytest.fixture
def kept(paths: Paths) -> Path:
    folder = paths.state / "bundle"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(MANIFEST.as_text())
    return folder


@pytest.fixture
def making(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the work itself."""

    @contextlib.contextmanager
    def opened(*arguments: object, **options: object) -> Iterator[object]:
        yield make_context(tmp_path)

    def create(context: object, target: Path) -> Manifest:
        target.write_bytes(b"bundle")
        return MANIFEST

    monkeypatch.setattr(stages_run, "opened", opened)
    monkeypatch.setattr(stages_run, "look", lambda context: None)
    monkeypatch.setattr(bundling, "create", create)
    monkeypatch.setattr(bundling, "put_bootstrap_beside", lambda context, target: target.parent / "bootstrap.py")


# ---- create


def test_create_says_what_it_is_for_and_how_to_use_it(making: None, tmp_path: Path) -> None:
    result = tljh("create", str(tmp_path / "my hub.tar.zst"))
    assert result.exit_code == 0, result.output
    assert f"{tmp_path}/my hub.tar.zst: 4 files, 4 MB, for debian 12, x86_64, Python 3.11\n" in result.output
    assert "sha256: 2d2fa3e2b9e5ecfe96f9bbb1ac4c3de3ecd0f2a5df6ef9a2fbd0ec60ae8d3d2a" not in result.output
    assert "    python3 bootstrap.py --bundle 'my hub.tar.zst' --admin NAME\n" in result.output


def test_create_as_json_prints_nothing_else(making: None, tmp_path: Path) -> None:
    found = json.loads(tljh("create", str(tmp_path / "hub.tar.zst"), "--json").output)
    assert found["bundle"] == str(tmp_path / "hub.tar.zst")
    assert found["files"]["apt/Packages"] == {"sha256": "00", "size": 7}
    assert len(found["sha256"]) == 64


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("hub.zip", "hub.zip does not end in .tar.zst\n  → write it as hub.zip.tar.zst"),
        ("gone/hub.tar.zst", "there is no folder "),
    ],
)
def test_a_file_that_cannot_be(file: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = tljh("create", file)
    assert said(result).startswith(words)
    assert isinstance(result.exception, TljhError) and result.exception.exit_code == 2


def test_a_full_disk_is_said(making: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(context: object, target: Path) -> Manifest:
        raise OSError(28, "No space left on device", "/srv/.x/wheels/a.whl")

    monkeypatch.setattr(bundling, "create", full)
    text = said(tljh("create", str(tmp_path / "hub.tar.zst")))
    assert text.startswith("/srv/.x/wheels/a.whl cannot be written: No space left on device")
    assert f"make room in {tmp_path} for twice the size" in text


# ---- show


def test_show_a_file(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    path = tmp_path / "hub.tar.zst"
    bundle.write(
        path, tmp_path / "made", Manifest("3.0", "debian 12", "x86_64", "3.11", "", [], {}), lambda n: None
    )
    lines = tljh("show", str(path)).output.splitlines()
    assert lines[:3] == [
        "version          3.0",
        "for              debian 12, x86_64, Python 3.11",
        "plugins          none",
    ]
    assert lines[-1].startswith("sha256           ") and len(lines[-1].split()[1]) == 64


def test_show_what_this_machine_was_installed_from(kept: Path) -> None:
    assert tljh("show").output.splitlines()[2:] == [
        "plugins          tljh-x",
        "wheels           1, 3 MB",
        "conda packages   1, 0 MB",
        "system packages  1, 1 MB",
    ]
    found = json.loads(tljh("show", "--json").output)
    assert (found["bundle"], found["plugins"]) == (str(kept), ["tljh-x"])
    assert "sha256" not in found


def test_show_on_a_machine_without_one(paths: Paths) -> None:
    assert said(tljh("show")) == "this machine was not installed from a bundle\n  → name a bundle"


# ---- remove


def test_remove(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    assert tljh("remove").output == "Packages come from the network from now on.\n"
    assert not kept.exists()
    assert said(tljh("remove")).startswith("this machine was not installed from a bundle")


def test_remove_is_for_root(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert isinstance(tljh("remove").exception, TljhError)
    assert kept.exists()
