"""A project's folder: what of it counts, and what a copy of it has."""

from __future__ import annotations

from pathlib import Path

from tljh.resources.environments.project_folder import copy, digest_of


def make_plugin(folder: Path) -> Path:
    path = folder / "tljh-x"
    (path / "tljh_x").mkdir(parents=True)
    (path / "setup.py").write_text("setup()")
    (path / "tljh_x" / "__init__.py").write_text("x = 1")
    return path


# ---- digests


def test_a_digest_knows_every_file(tmp_path: Path) -> None:
    path = make_plugin(tmp_path)
    seen = {digest_of(path)}
    (path / "tljh_x" / "__init__.py").write_text("x = 2")
    seen.add(digest_of(path))
    (path / "tljh_x" / "__init__.py").rename(path / "tljh_x" / "other.py")
    seen.add(digest_of(path))
    (path / "tljh_x" / "empty.txt").touch()
    seen.add(digest_of(path))
    assert len(seen) == 4
    assert all(digest.startswith("sha256:") for digest in seen)


def test_what_building_leaves_does_not_count(tmp_path: Path) -> None:
    path = make_plugin(tmp_path)
    before = digest_of(path)
    for name in ("build/lib/x.py", "dist/x.whl", "tljh_x.egg-info/PKG-INFO", ".git/HEAD", ".venv/x"):
        (path / name).parent.mkdir(parents=True)
        (path / name).write_text("left behind")
    (path / "tljh_x/__pycache__").mkdir()
    (path / "tljh_x/__pycache__/x.pyc").write_text("left behind")
    assert digest_of(path) == before


def test_a_package_that_is_called_build_counts(tmp_path: Path) -> None:
    path = make_plugin(tmp_path)
    (path / "tljh_x/build").mkdir()
    (path / "tljh_x/build/__init__.py").write_text("x = 1")
    before = digest_of(path)
    (path / "tljh_x/build/__init__.py").write_text("x = 2")
    assert digest_of(path) != before


def test_a_link_to_nowhere_stops_nothing(tmp_path: Path) -> None:
    path = make_plugin(tmp_path)
    (path / "tljh_x" / ".#__init__.py").symlink_to("ana@laptop.1234")  # as an editor leaves it
    assert digest_of(path).startswith("sha256:")


def test_the_place_does_not_count(tmp_path: Path) -> None:
    first, second = make_plugin(tmp_path / "a"), make_plugin(tmp_path / "b")
    assert digest_of(first) == digest_of(second)
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"wheel")
    assert digest_of(wheel).startswith("sha256:")


# ---- copies


def test_a_copy_has_what_counts_and_the_history(tmp_path: Path) -> None:
    path, target = make_plugin(tmp_path), tmp_path / "copy"
    for name in ("build/lib/x.py", "dist/x.whl", "tljh_x.egg-info/PKG-INFO", ".git/HEAD", ".venv/x", ".flake8"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("there")
    copy(path, target)
    found = {str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()}
    assert found == {"setup.py", "tljh_x/__init__.py", ".git/HEAD", ".flake8"}
    assert digest_of(target) == digest_of(path)


def test_links_lead_to_the_same(tmp_path: Path) -> None:
    path, target = make_plugin(tmp_path), tmp_path / "deeper" / "copy"
    target.parent.mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "data.py").write_text("x = 3")
    (tmp_path / "README.md").write_text("read")
    (path / "README.md").symlink_to("../README.md")
    (path / "shared").symlink_to("../shared")
    (path / "inside").symlink_to("tljh_x")
    (path / "nowhere").symlink_to("ana@laptop.1234")
    copy(path, target)
    assert (target / "README.md").read_text() == "read"
    assert (target / "shared" / "data.py").read_text() == "x = 3"
    assert (target / "inside").is_symlink() and (target / "inside" / "__init__.py").exists()
    assert (target / "nowhere").is_symlink()
