"""The file that a bundle is: the same bytes for the same content, what its manifest says, and what is no bundle.

That bootstrap reads what is written here, ``bootstrap/tests/test_bundle.py`` shows.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from fakes import FakeMachine
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.archives import bundle
from tljh.resources.archives.bundle import Entry, Manifest

FILES = {"wheels/b-1.whl": b"b" * 5000, "bootstrap.py": b"a", "apt/Packages": b""}


def make(folder: Path, files: dict[str, bytes] = FILES) -> tuple[Path, Manifest]:
    """A folder with files, and what is said of it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    entries = bundle.entries(folder, lambda size: None)
    return folder, Manifest("3.0", "debian 12", "x86_64", "3.11", "wheels/b-1.whl", ["tljh-x"], entries)


def written(tmp_path: Path, name: str = "hub.tar.zst") -> Path:
    folder, manifest = make(tmp_path / "made")
    bundle.write(tmp_path / name, folder, manifest, lambda size: None)
    return tmp_path / name


def members(path: Path) -> list[tarfile.TarInfo]:
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    return tarfile.open(fileobj=io.BytesIO(plain)).getmembers()


# ---- writing


def test_the_manifest_comes_first_and_the_rest_in_order(tmp_path: Path) -> None:
    found = members(written(tmp_path))
    assert [member.name for member in found] == ["manifest.json", "apt/Packages", "bootstrap.py", "wheels/b-1.whl"]
    assert {(m.uid, m.gid, m.mtime, m.mode, m.isfile()) for m in found} == {(0, 0, 0, 0o644, True)}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = written(tmp_path).read_bytes()
    for path in (tmp_path / "made").rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1e9, 1e9))
    assert written(tmp_path, "again.tar.zst").read_bytes() == first


def test_an_entry_has_hash_and_size(tmp_path: Path) -> None:
    told: list[int] = []
    make(tmp_path)
    entries = bundle.entries(tmp_path, told.append)
    assert entries["wheels/b-1.whl"] == Entry(hashlib.sha256(b"b" * 5000).hexdigest(), 5000)
    assert list(entries) == sorted(FILES)
    assert sum(told) == 5001


def test_nothing_stays_of_what_cannot_be_written(tmp_path: Path) -> None:
    folder, manifest = make(tmp_path / "made")
    (folder / "bootstrap.py").unlink()
    (tmp_path / "hub.tar.zst").write_text("the one before")
    with pytest.raises(FileNotFoundError):
        bundle.write(tmp_path / "hub.tar.zst", folder, manifest, lambda size: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub.tar.zst", "made"]
    assert (tmp_path / "hub.tar.zst").read_text() == "the one before"


# ---- reading


def test_the_manifest_of_a_file_and_of_what_it_was_unpacked_to(tmp_path: Path) -> None:
    path = written(tmp_path)
    manifest = bundle.manifest_of(path)
    assert manifest == make(tmp_path / "made")[1]
    assert manifest.size == 5001
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(manifest.as_text())
    assert bundle.manifest_of(tmp_path / "out") == manifest


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no bundle: "),
        (b"a text", "it is no bundle: "),
        (zstandard.ZstdCompressor().compress(b"no archive"), "it is no bundle: "),
    ],
)
def test_what_is_no_bundle(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.tar.zst"
    path.write_bytes(content)
    with pytest.raises(TljhError) as caught:
        bundle.manifest_of(path)
    assert str(caught.value).startswith(f"{path}: {words}")


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TljhError, match=r"/nothing: it cannot be read: No such file or directory"):
        bundle.manifest_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 2}', "it has format 2, and 1 is known here"),
        ("[1]", "TypeError"),
        ("{", "JSONDecodeError"),
        ('{"format": 1, "files": {"a": {"sha": 1}}}', "TypeError"),
    ],
)
def test_a_manifest_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(TljhError) as caught:
        Manifest.of_text(text, "/x")
    assert str(caught.value).startswith("/x: the manifest cannot be used: ") and words in str(caught.value)
    assert "make the bundle anew" in str(caught.value)


def test_what_the_manifest_says_is_plain_json() -> None:
    manifest = Manifest("3.0", "debian 12", "x86_64", "3.11", "wheels/a.whl", (), {"a": Entry("00", 1)})
    said = json.loads(manifest.as_text())
    assert (said["format"], said["files"]) == (1, {"a": {"sha256": "00", "size": 1}})


# ---- the kept one


def test_a_machine_without_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "state" / "bundle").mkdir(parents=True)
    assert bundle.kept(Paths(tmp_path)) is None, "one without a manifest is none"
    assert not bundle.forget(FakeMachine(), Paths(tmp_path))


def test_a_kept_bundle_and_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "bundle"
    (folder / "wheels").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    found = bundle.kept(Paths(tmp_path))
    assert found is not None
    assert (found.wheels, found.archives, found.packages) == (folder / "wheels", folder / "conda", folder / "apt")
    assert found.variables["UV_FIND_LINKS"] == str(folder / "wheels")
    assert found.variables["UV_OFFLINE"] == "1"
    assert found.variables["UV_INDEX"] == "", "what the admin's environment says does not hold"
    assert bundle.forget(FakeMachine(), Paths(tmp_path))
    assert not folder.exists()
