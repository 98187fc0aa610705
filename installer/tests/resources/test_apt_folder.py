"""A folder of Debian packages: filled on one machine, installed from on another."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.apt_folder import download, index, only_from


def quiet(text: str) -> None:
    pass


def test_apt_knows_nothing_else_and_the_machines_lists_stay(tmp_path: Path) -> None:
    options = dict(word.split("=", 1) for word in only_from(Path("/srv/apt"), tmp_path) if word != "-o")
    assert Path(options["Dir::Etc::SourceList"]).read_text() == "deb [trusted=yes] file:/srv/apt ./\n"
    assert options["Dir::Etc::SourceParts"] == "/dev/null"
    assert options["Dir::State::Lists"] == str(tmp_path / "lists")
    assert (tmp_path / "lists" / "partial").is_dir()
    assert options["Dir::Cache::pkgcache"] == options["Dir::Cache::srcpkgcache"] == ""


class Apt(FakeMachine):
    """Brings one package, which says what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {"apt-get": self._apt, "dpkg-deb --field": "Package: git\nVersion: 1:2\n"}

    def _apt(self, words: list[str]) -> str:
        options = dict(word.split("=", 1) for word in words if "::" in word)
        assert Path(options["Dir::State::status"]).read_text() == "", "nothing is installed there"
        (Path(options["Dir::Cache::Archives"]) / "git_1%3a2_all.deb").write_bytes(b"git")
        return ""


def test_all_that_a_bare_machine_needs_is_fetched_and_indexed(tmp_path: Path) -> None:
    machine = Apt()
    download(machine, ["git", "sudo=1"], tmp_path, recommended=False, say=quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Packages", "git_1%3a2_all.deb"]
    assert (tmp_path / "Packages").read_text() == (
        "Package: git\nVersion: 1:2\nFilename: ./git_1%3a2_all.deb\nSize: 3\n"
        f"SHA256: {hashlib.sha256(b'git').hexdigest()}\n\n"
    )
    (command,) = machine.ran("apt-get")
    assert re.search(r" --no-install-recommends --download-only install git sudo=1$", command)


def test_with_what_their_packagers_recommend(tmp_path: Path) -> None:
    machine = Apt()
    download(machine, ["git"], tmp_path, recommended=True, say=quiet)
    assert "--no-install-recommends" not in machine.ran("apt-get")[0]


def test_apt_fails_in_its_own_words(tmp_path: Path) -> None:
    machine = FakeMachine(answers={"apt-get": Completed(100, "", "E: Failed to fetch http://x 404\n")})
    with pytest.raises(TljhError) as caught:
        download(machine, ["git"], tmp_path, recommended=False, say=quiet)
    assert "the system's packages can't be fetched" in str(caught.value)
    assert "Failed to fetch http://x 404" in str(caught.value)
    assert "`apt-get update` may help" in str(caught.value)


def test_an_empty_folder_has_an_empty_index(tmp_path: Path) -> None:
    assert index(FakeMachine(), tmp_path) == ""
