"""The functions of ``tljh.apt`` and ``tljh.conda`` that plugins call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fakes import add_distribution, make_environment
from tljh import apt, conda
from tljh.engine.machine import Machine
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.plugins import recording


class Recorder(Machine):
    """Records what it is to run."""

    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__(root)
        self.commands: list[list[str]] = []
        self.env: dict[str, str] = {}

    def run(self, command: Any, **options: Any) -> Completed:
        self.commands.append([str(word) for word in command])
        self.env.update(options.get("env") or {})
        return Completed(0, "", "")


@pytest.fixture
def machine(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLJH_UV", "UV_CACHE_DIR", "TLJH_INSTALL_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def test_apt_fetches_its_lists_only_where_there_are_none(machine: Recorder) -> None:
    apt.install_packages(["hello", "sl"], machine=machine)
    assert [command[3] for command in machine.commands] == ["update", "install"]
    assert machine.commands[1][-3:] == ["--yes", "hello", "sl"]
    assert machine.env == {"DEBIAN_FRONTEND": "noninteractive"}
    machine.commands.clear()
    lists = machine.root / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "deb_main_Packages").write_text("")
    apt.install_packages(["hello"], machine=machine)
    assert [command[3] for command in machine.commands] == ["install"]


def test_nothing_is_started_for_nothing(machine: Recorder) -> None:
    apt.install_packages([], machine=machine)
    conda.ensure_pip_packages("/opt/tljh/user", [], machine=machine)
    conda.ensure_conda_packages("/opt/tljh/user", [])
    assert machine.commands == []


def test_pip_packages_go_into_the_environment_behind_the_link(machine: Recorder, tmp_path: Path) -> None:
    real = tmp_path / "envs" / "user-3"
    real.mkdir(parents=True)
    link = tmp_path / "user"
    link.symlink_to(real)
    conda.ensure_pip_packages(link, ["numpy", "--no-deps"], machine=machine)
    install, chown, chmod = machine.commands
    assert install == [
        "/opt/tljh/bin/uv",
        *("pip", "install", "--python", f"{real}/bin/python"),
        *("--compile-bytecode", "--link-mode", "copy", "numpy", "--no-deps"),
    ]
    assert machine.env == {"UV_CACHE_DIR": "/opt/tljh/cache/uv"}
    assert chown == ["chown", "-R", f"{os.getuid()}:{os.getgid()}", str(real)]
    assert chmod == ["chmod", "-R", "o-w,a+rX", str(real)]


def test_requirements_and_upgrades(machine: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_UV", "/usr/bin/uv")
    conda.ensure_pip_requirements("/srv/env", "https://example.org/r.txt", upgrade=True, machine=machine)
    assert machine.commands[0][0] == "/usr/bin/uv"
    assert machine.commands[0][-3:] == ["--upgrade", "--requirement", "https://example.org/r.txt"]


def test_conda_packages_are_refused() -> None:
    with pytest.raises(TljhError) as error:
        conda.ensure_conda_packages("/opt/tljh/user", ["r-base"])
    assert "conda packages (r-base) can't be installed in /opt/tljh/user" in error.value.what
    assert "tljh.conda.ensure_pip_packages" in (error.value.todo or "")


# ---- what a hook does is noted


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(recording.VARIABLE, str(tmp_path / "notes"))
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "prefix"))
    return tmp_path / "notes"


def test_packages_of_the_system_are_noted_with_whether_they_were_there(machine: Recorder, notes: Path) -> None:
    status = machine.root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: git\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n")
    apt.install_packages(["git", "hello=2.10", "--no-install-recommends"], machine=machine)
    assert [(said["name"], said["was"]) for said in recording.read(notes)] == [
        ("git", True),
        ("hello=2.10", False),
    ]


@pytest.fixture
def user_environment(tmp_path: Path, notes: Path) -> Path:
    real = make_environment(tmp_path / "prefix/envs/user-1", {"numpy": "2.0"})
    (tmp_path / "prefix/user").symlink_to("envs/user-1")
    return real


def adding(path: Path, *packages: str) -> Any:
    """A machine on which whatever is run brings these packages."""

    class Adding(Recorder):
        def run(self, command: Any, **options: Any) -> Completed:
            if "install" in command:
                for package in packages:
                    add_distribution(path, package, "1.0", installer="uv")
            return super().run(command, **options)

    return Adding()


def test_packages_of_the_user_environment_are_noted_with_what_came_along(
    user_environment: Path, notes: Path
) -> None:
    machine = adding(user_environment, "cowsay", "rich")
    conda.ensure_pip_packages(user_environment.parent.parent / "user", ["cowsay>=5"], machine=machine)
    (said,) = recording.read(notes)
    assert (said["kind"], said["name"], said["new"]) == ("pip", "cowsay>=5", ["cowsay", "rich"])


def test_a_requirements_file_is_noted_line_by_line(user_environment: Path, notes: Path, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# ours\ncowsay\nnumpy >= 1  # there\n")
    conda.ensure_pip_requirements(user_environment, file, machine=adding(user_environment, "cowsay"))
    assert [(said["name"], said["new"]) for said in recording.read(notes)] == [
        ("cowsay", ["cowsay"]),
        ("numpy >= 1", ["cowsay"]),
    ]


def test_other_environments_are_the_hooks_own_business(
    user_environment: Path, notes: Path, tmp_path: Path
) -> None:
    other = make_environment(tmp_path / "other", {})
    conda.ensure_pip_packages(other, ["cowsay"], machine=adding(other, "cowsay"))
    assert recording.read(notes) == []
