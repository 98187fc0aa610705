"""Entries of conda-lock.yml: what they demand of a channel."""

from __future__ import annotations

import pytest
from lock_fakes import package
from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.entries import entry_of, file_name, more_of, package_of, pip_entry_of


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_channel_without_hashes(kind: str) -> None:
    with pytest.raises(TljhError) as caught:
        entry_of(package("numpy", "2.1", **{kind: ""}), "linux-64")
    assert str(caught.value) == (
        f"https://conda.example.org/forge: the channel gives no {kind} of numpy-2.1-h1_0.conda, which "
        "conda-lock's format demands\n  → take the package from another channel"
    )


def test_what_needs_no_more_words() -> None:
    assert more_of(package("numpy", depends=["python >=3.8", "abc"]), "linux-64") == {
        "depends": ("python >=3.8", "abc")
    }
    assert more_of(package("numpy", depends=["abc", "python >=3.8"], size=1), "linux-64") == {}


@pytest.mark.parametrize(
    ("build", "number"), [("h1_2", 2), ("py311h0_0_cpython", 0), ("h9_5_cp313t", 5), ("3_cp311", 3), ("x", 0)]
)
def test_build_numbers(build: str, number: int) -> None:
    said = entry_of(package("numpy", build=build, url=f"https://x/c/linux-64/numpy-1.0-{build}.conda"), "linux-64")
    assert package_of(said, {}).build_number == number
    assert package_of(said, {"build_number": 9, "url": "https://evil"}).build_number == 9
    assert package_of(said, {"url": "https://evil"}).url == said["url"], "what the entry says stays"


def test_file_names() -> None:
    assert file_name("https://x/c/noarch/a-1%211.0-h_0.conda") == "a-1!1.0-h_0.conda"


def test_a_repository_has_its_commit_where_conda_lock_has_it() -> None:
    commit = "a" * 40
    entry = pip_entry_of(
        PipPackage("x", "1", f"git+https://h/x@{commit}#subdirectory=y", "", direct=True), "linux-64"
    )
    assert entry["hash"] == {"sha256": commit}
    assert entry["source"] == {"type": "url", "url": entry["url"]}
    assert "source" not in pip_entry_of(PipPackage("x", "1", "https://f/x-1-py3-none-any.whl", "b"), "linux-64")
