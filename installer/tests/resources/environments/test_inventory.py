"""Which environments there are, and what is in them: from where, and who asked for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fakes import FakeMachine, real
from installed_fakes import SITE, add_conda_package, add_distribution, add_record, make_virtual, put
from tljh.engine.facts import Facts
from tljh.paths import Paths
from tljh.resources.environments import inventory
from tljh.resources.environments.inventory import Package, environments, links, packages, python_of, size_of
from tljh.resources.locks.lock import Requested


def of(root: Path, *plugins: str) -> dict[str, Package]:
    return {f"{row.manager}:{row.name}": row for row in packages(Facts(FakeMachine()), root, plugins)}


# ---- packages


@pytest.fixture
def virtual(tmp_path: Path) -> Path:
    root = make_virtual(real(tmp_path) / "user-1")
    requires = ["Jinja2>=3", "fancy ; extra == 'all'", "old ; python_version < '3'", "not a requirement!"]
    add_distribution(root, "lab", "4.2", requires=requires)
    add_distribution(root, "server", requires=["lab[all]"])
    for name in ("jinja2", "fancy", "old", "lonely"):
        add_distribution(root, name)
    add_distribution(root, "mine", installer="pip")
    rows = [
        Requested("lab>=4", "core"),
        Requested("server", "config.yaml"),
        Requested("server", "tljh-demo"),
        Requested("server==1", "config.yaml"),
    ]
    names = {"lab": "4.2", "server": "1.0", "jinja2": "1.0", "fancy": "1.0", "old": "1.0", "lonely": "1.0"}
    add_record(root, *rows, pip=names)
    return root


def test_who_asked_for_a_distribution(virtual: Path) -> None:
    found = of(virtual, "tljh_demo")
    assert found["pip:lab"] == Package("lab", "4.2", "", "pip", "package index", ("core",), ("server",))
    assert found["pip:server"].origins == ("config.yaml", "plugin tljh-demo")
    assert found["pip:mine"].origins == ("by hand",)
    assert of(virtual)["pip:server"].origins == ("config.yaml", "tljh-demo"), "it is no plugin"


def test_who_needs_a_distribution(virtual: Path) -> None:
    found = of(virtual)
    assert found["pip:jinja2"].required_by == ("lab",)
    assert found["pip:fancy"].required_by == ("lab",), "server asks for this extra"
    assert (found["pip:old"].required_by, found["pip:lonely"].required_by) == ((), ())


def test_markers_are_asked_of_the_environments_own_python(virtual: Path) -> None:
    add_distribution(
        virtual, "asks", requires=["lonely ; python_version < '3.12'", "old ; python_version >= '3.12'"]
    )
    assert of(virtual)["pip:lonely"].required_by == ("asks",)
    put(virtual, "pyvenv.cfg", "home = /usr/bin\nversion = 3.13.1\n")
    found = of(virtual)
    assert (found["pip:lonely"].required_by, found["pip:old"].required_by) == ((), ("asks",))


def test_another_version_than_the_locked_one_is_by_hand_and_still_asked_for(virtual: Path) -> None:
    (virtual / SITE / "lab-4.2.dist-info/METADATA").unlink()
    add_distribution(virtual, "lab", "4.3", installer="pip")
    assert of(virtual)["pip:lab"].origins == ("by hand", "core")


def test_where_a_distribution_came_from(virtual: Path) -> None:
    folder = add_distribution(virtual, "other", installer="pip")
    put(folder, "direct_url.json", json.dumps({"url": "https://ada:secret@example.org/other.whl"}))
    assert of(virtual)["pip:other"].source == "https://ada:***@example.org/other.whl"


@pytest.fixture
def conda(tmp_path: Path) -> Path:
    root = real(tmp_path) / "user-1"
    python = add_conda_package(root, "python", "3.12.7=h1_cpython")
    n = add_conda_package(root, "stack_data", "2.1=py312_0", depends=["python >=3.12,<3.13.0a0"])
    rows = [Requested("python 3.12.*", "config.yaml", "conda"), Requested("stack_data", "core", "either")]
    add_distribution(root, "tool", requires=["stack-data", "python"])
    add_record(root, *rows, Requested("tool", "tljh-x"), pip={"tool": "1.0"}, conda=[python, n])
    return root


def test_who_asked_for_a_conda_package(conda: Path) -> None:
    found = of(conda)
    channel = "https://conda.example.org/science"
    assert found["conda:python"] == Package(
        "python", "3.12.7", "h1_cpython", "conda", channel, ("config.yaml",), ("stack_data", "tool")
    )
    # a name at PyPI and the same name in a channel, written in another way
    assert found["conda:stack_data"].required_by == ("tool",)
    assert found["conda:stack_data"].origins == ("core",)


def test_a_package_that_channels_call_otherwise(conda: Path) -> None:
    hub = add_conda_package(conda, "jupyterhub-base", "6.1=py312_0")
    add_record(conda, Requested("jupyterhub==6.1", "core", "either"), conda=[hub])
    assert of(conda)["conda:jupyterhub-base"].origins == ("core",)


def test_conda_packages_that_an_admin_installed(conda: Path) -> None:
    add_conda_package(conda, "r-base", "4.4=h2", depends=["python"], channel="https://conda.example.org/t/abc/r")
    (conda / "conda-meta/stack_data-2.1-py312_0.json").unlink()
    add_conda_package(conda, "stack_data", "2.2=py312_0")
    found = of(conda)
    assert found["conda:r-base"].origins == ("by hand",)
    assert found["conda:r-base"].source == "https://conda.example.org/r", "the token is left out"
    assert found["conda:stack_data"].origins == ("by hand", "core")
    assert found["conda:python"].required_by == ("r-base", "tool")


def test_a_damaged_record_stops_nothing(conda: Path) -> None:
    put(conda, "conda-meta/r-base-4.4-h2.json", "{")
    assert of(conda)["conda:r-base"] == Package("r-base", "4.4", "h2", "conda", "", ("by hand",))


def test_a_conda_package_that_pip_replaced(conda: Path) -> None:
    add_distribution(conda, "stack-data", "3.0", installer="pip")
    found = of(conda)
    assert found["conda:stack_data"].replaced
    assert not found["pip:stack-data"].replaced


def test_an_environment_that_is_not_ours(tmp_path: Path) -> None:
    root = make_virtual(real(tmp_path) / "x")
    add_distribution(root, "a")
    assert of(root)["pip:a"].origins == ()
    assert packages(Facts(FakeMachine()), tmp_path / "nowhere") == []


# ---- environments


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(real(tmp_path) / "tljh")
    for name in ("hub-1", "user-9", "user-10", "user-11", "deep-learning-2"):
        make_virtual(found.envs / name)
    add_distribution(found.envs / "user-10", "lab")
    add_record(found.envs / "user-10", Requested("lab", "core"), pip={"lab": "1.0"})
    found.user.symlink_to("envs/user-10")
    found.hub.symlink_to("envs/hub-1")
    (found.envs / "deep-learning").symlink_to("deep-learning-2")
    (found.prefix / "else").symlink_to("envs/user-9")
    return found


def test_the_names_of_environments(paths: Paths) -> None:
    found = links(paths, Facts(FakeMachine()))
    assert list(found.items()) == [
        ("hub", paths.hub),
        ("user", paths.user),
        ("deep-learning", paths.envs / "deep-learning"),
    ]


def test_what_is_known_of_environments(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    command = b"/opt/python\0%s/user-10/bin/jupyterhub-singleuser\0" % os.fsencode(paths.envs)
    running = [("jupyter-ada", command), ("jupyter-bob", command), ("root", b"/bin/sh")]
    monkeypatch.setattr(inventory, "_processes", lambda: running)
    hub, user, deep = environments(paths, Facts(FakeMachine()))
    assert user.current is not None
    assert (user.current.provider, user.current.python, user.current.packages) == ("pypi", "3.11.2", 1)
    assert (user.current.processes, user.current.users) == (2, ("jupyter-ada", "jupyter-bob"))
    assert [built.path.name for built in user.older] == ["user-11", "user-9"], "by number, not by letter"
    assert not user.older[0].complete
    assert (hub.older, deep.older) == ((), ())


def test_a_link_to_nothing(paths: Paths) -> None:
    paths.hub.unlink()
    paths.hub.symlink_to("envs/hub-2")
    (hub, *_) = environments(paths, Facts(FakeMachine()))
    assert hub.current is None
    assert [built.path.name for built in hub.older] == ["hub-1"]


def test_the_processes_of_this_machine_but_for_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(b"pytest" in line and str(os.getpid()).encode() in line for _, line in inventory._processes())
    monkeypatch.setattr(os, "getpid", lambda: 0)
    (_, mine) = (os.getppid(), Path("/proc/self/cmdline").read_bytes())
    assert mine in [line for _, line in inventory._processes()]


def test_a_size_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    put(tmp_path, "a", "x" * 100_000)
    once = size_of(tmp_path)
    assert once >= 100_000
    os.link(tmp_path / "a", tmp_path / "b")
    assert size_of(tmp_path) == once


@pytest.mark.parametrize(
    ("text", "version"),
    [("version = 3.11.2\n", "3.11.2"), ("home = /usr\nversion_info = 3.12.1\n", "3.12.1"), ("", "")],
)
def test_the_version_of_python(tmp_path: Path, text: str, version: str) -> None:
    put(tmp_path, "pyvenv.cfg", text)
    assert python_of(Facts(FakeMachine()), tmp_path) == version
