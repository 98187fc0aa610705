"""What another installer's hub environment holds, read from its files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from fakes import make_environment
from tljh.engine.machine import Machine
from tljh.paths import Paths
from tljh.resources import predecessor
from tljh.resources.predecessor import Predecessor


def add(hub: Path, name: str, version: str = "1.0", **files: str) -> Path:
    """A distribution with these files in its ``.dist-info``, and one module."""
    site = hub / "lib/python3.11/site-packages"
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text("# a module\n")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{files.pop('more', '')}"
    )
    listed = [f"{module}.py,,", f"{info.name}/METADATA,,", "../../../bin/program,,", f"__pycache__/{module}.pyc,,"]
    for key, text in {**files, "INSTALLER": "pip\n", "WHEEL": "Tag: py3-none-any\n"}.items():
        file = "entry_points.txt" if key == "entry" else "direct_url.json" if key == "url" else key
        (info / file).write_text(text)
        listed.append(f"{info.name}/{file},,")
    (info / "RECORD").write_text("\n".join([*listed, f"{info.name}/RECORD,,"]) + "\n")
    return info


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "tljh")
    found.hub_config_d.mkdir(parents=True)
    add(found.hub, "the-littlest-jupyterhub", "2.0.0")
    add(found.hub, "jupyterhub", "5.2.1")
    add(found.hub, "tljh-gallery", "1.2", entry="[tljh]\ngallery = tljh_gallery\n")
    return found


def found_at(paths: Paths) -> Predecessor:
    found = predecessor.find(Machine(), paths)
    assert found
    return found


def test_a_folder_with_tljh_in_it_is_one(paths: Paths) -> None:
    found = found_at(paths)
    assert (found.version, found.versions["jupyterhub"]) == ("2.0.0", "5.2.1")
    assert list(found.plugins) == ["tljh-gallery"]


def test_ours_is_none_and_a_folder_without_tljh_is_none(tmp_path: Path, paths: Paths) -> None:
    assert predecessor.find(Machine(), Paths(tmp_path / "nothing")) is None
    other = Paths(tmp_path / "other")
    make_environment(other.hub, {"jupyterhub": "5.2.1"})
    assert predecessor.find(Machine(), other) is None
    paths.hub.rename(tmp_path / "hub-1")
    paths.hub.symlink_to(tmp_path / "hub-1")
    assert predecessor.find(Machine(), paths) is None


@pytest.mark.parametrize(
    ("said", "spec"),
    [
        ({}, "tljh-x"),
        ({"url": "https://x.org/r", "vcs_info": {"vcs": "git", "requested_revision": "main"}}, "tljh-x @ git+https://x.org/r@main"),
        ({"url": "https://x.org/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "tljh-x @ git+https://x.org/r"),
        ({"url": "file:///srv/my%20plugin", "dir_info": {}}, "/srv/my plugin"),
        ({"url": "https://x.org/x.zip", "archive_info": {}}, "tljh-x @ https://x.org/x.zip"),
    ],
)  # fmt: skip
def test_how_pip_was_asked_for_it(paths: Paths, said: dict[str, object], spec: str) -> None:
    add(paths.hub, "tljh-x", url=json.dumps(said) if said else "{}")
    assert predecessor.spec_of(found_at(paths).distributions["tljh-x"]) == spec


def test_what_settings_name_is_needed_and_nothing_else(paths: Paths) -> None:
    for name in ("lti-login", "dockerspawner", "shared", "leftover"):
        add(paths.hub, name)
    paths.config_file.write_text("auth:\n  type: lti_login.LTI\n")
    text = "import shared.helpers\nc.JupyterHub.spawner_class = 'dockerspawner.DockerSpawner'\nx = 'leftover'\n"
    (paths.hub_config_d / "a.py").write_text(text)
    (paths.hub_config_d / "b.py").write_text("this is no Python\n")
    assert list(found_at(paths).named_in_settings(["Shared"])) == ["dockerspawner", "lti-login"]
    assert list(found_at(paths).named_in_settings([])) == ["dockerspawner", "lti-login", "shared"]


def test_a_wheel_of_what_is_installed(paths: Paths, tmp_path: Path) -> None:
    made = predecessor.as_wheel(found_at(paths).distributions["tljh-gallery"], tmp_path / "wheels")
    assert made.name == "tljh_gallery-1.2-py3-none-any.whl"
    names = zipfile.ZipFile(made).namelist()
    assert {"tljh_gallery.py", "tljh_gallery-1.2.dist-info/entry_points.txt"} <= set(names)
    assert not [name for name in names if ".." in name or "__pycache__" in name or "INSTALLER" in name]
    assert names.count("tljh_gallery-1.2.dist-info/RECORD") == 1


def test_what_somebody_asked_pip_for(paths: Paths) -> None:
    add(paths.hub, "top", more="Requires-Dist: needed>=1\nRequires-Dist: extra; extra == 'all'\n")
    add(paths.hub, "needed")
    add(paths.hub, "extra")
    there = [found_at(paths).distributions[name] for name in ("top", "needed", "extra")]
    assert predecessor.wanted_for_itself(there) == {"top", "extra"}, "of an old pip: what nobody needs"
    add(paths.hub, "needed", REQUESTED="")
    there = [found_at(paths).distributions[name] for name in ("top", "needed", "extra")]
    assert predecessor.wanted_for_itself(there) == {"needed"}
