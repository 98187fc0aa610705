"""How an error reads, and where things are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tljh import installer
from tljh.errors import CommandFailed, TljhError, UsageError
from tljh.paths import Paths


def test_what_whose_and_what_next() -> None:
    assert str(TljhError("it broke")) == "it broke"
    assert str(TljhError("it broke", whose="tljh-x 1.0", todo="mend it")) == "tljh-x 1.0: it broke\n  → mend it"
    assert (TljhError("x").exit_code, UsageError("x").exit_code) == (1, 2)


def test_a_command_that_failed() -> None:
    error = CommandFailed(["apt-get", "update"], 100, "".join(f"line {n}\n" for n in range(20)))
    lines = str(error).splitlines()
    assert lines[0] == "apt-get update ended with status 100"
    assert lines[1:] == [f"    line {n}" for n in range(5, 20)], "the end of what it said"
    assert str(CommandFailed(["x"], None, "")) == "x did not end in time"
    assert str(CommandFailed(["x"], 1, "", what="nothing works", todo="wait")) == "nothing works\n  → wait"


def test_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TLJH_INSTALL_PREFIX", raising=False)
    assert Paths.from_environment().prefix == Path("/opt/tljh")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", "here")
    paths = Paths.from_environment()
    assert paths.prefix.is_absolute()
    assert paths.started("traefik") == Path("/run/tljh/traefik.started")
    below = [value for name in dir(Paths) if isinstance(value := getattr(paths, name), Path) and name != "run"]
    assert all(path.is_relative_to(paths.prefix) for path in below)


def test_who_is_installed_elsewhere_knows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TLJH_INSTALL_PREFIX", raising=False)
    (tmp_path / "disk/envs/hub-3").mkdir(parents=True)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "disk/envs/hub-3"))
    assert Paths.from_environment().prefix == tmp_path / "disk"
    (tmp_path / "opt").symlink_to(tmp_path / "disk")
    monkeypatch.setattr("tljh.paths.DEFAULT_PREFIX", str(tmp_path / "opt"))
    assert Paths.from_environment().prefix == tmp_path / "opt", "by the name that it was installed under"
    monkeypatch.setattr("sys.prefix", "/usr")
    assert Paths.from_environment().prefix == tmp_path / "opt"


def test_tljhs_layout() -> None:
    paths = Paths(Path("/opt/tljh"))
    names = ("hub", "user", "config_file", "hub_config_d", "traefik_config_d", "log", "rules", "hub_database")
    assert [str(getattr(paths, name).relative_to("/opt/tljh")) for name in names] == [
        "hub",
        "user",
        "config/config.yaml",
        "config/jupyterhub_config.d",
        "config/traefik_config.d",
        "installer.log",
        "state/rules",
        "state/jupyterhub.sqlite",
    ]


def test_bootstrap_hands_over_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("tljh.cli.main", seen.append)
    monkeypatch.setattr(sys, "argv", ["tljh.installer", "--admin", "a", "b"])
    installer.main()
    assert seen == [["install", "--admin", "a", "b"]]
