"""What ``tljh`` says, and does, when the Python of the hub environment is gone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tljh import rescue

HERE = f"Python {sys.version_info[0]}.{sys.version_info[1]}"


class Replaced(Exception):
    """This process would now be another."""


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose interpreter is gone, made from a wheel that was kept."""
    environment = tmp_path / "envs/hub-3"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib/python3.9/site-packages").mkdir(parents=True)
    (environment / "bin/python").symlink_to("/usr/bin/python3.9-gone")
    (tmp_path / "hub").symlink_to("envs/hub-3")
    (tmp_path / "ours.whl").touch()
    made_from(tmp_path, spec="/no/such/checkout", wheel=str(tmp_path / "ours.whl"))
    (tmp_path / "package").mkdir()
    (tmp_path / "package/bootstrap.py").touch()
    monkeypatch.setattr(rescue, "__file__", str(tmp_path / "package/rescue.py"))
    for name in ("TLJH_BOOTSTRAP_PIP_SPEC", "TLJH_INSTALL_PREFIX"):
        monkeypatch.setenv(name, "")

    def replace(program: str, words: list[str]) -> None:
        raise Replaced([program, *words])

    monkeypatch.setattr(os, "execv", replace)
    return tmp_path


def made_from(prefix: Path, **source: str) -> None:
    record = {"sources": {"the-littlest-jupyterhub": source}}
    (prefix / "hub/tljh-environment.json").write_text(json.dumps(record))


def became(prefix: Path, *words: str) -> list[str]:
    with pytest.raises(Replaced) as caught:
        rescue.main([str(prefix), *words])
    program, *command = caught.value.args[0]
    assert program == command[0] == sys.executable
    return list(command[1:])


@pytest.mark.parametrize("words", [["tljh"], ["tljh", "doctor"], ["tljh", "status"], ["tljh-config", "install"]])
def test_it_says_what_is_wrong_and_what_to_do(
    prefix: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert rescue.main([str(prefix), *words]) == 1
    assert capsys.readouterr().err == (
        f"tljh: the hub environment was made with /usr/bin/python3.9-gone, which is gone; here is {HERE}\n"
        "  → tljh doctor --fix: builds the environments anew; users, files and packages stay\n"
    )


def test_another_version_that_finds_no_packages(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = prefix / "hub/bin/python"
    python.unlink()
    python.symlink_to(sys.executable)
    rescue.main([str(prefix), "tljh", "doctor"])
    assert f"was made with python3.9, and {os.path.realpath(prefix / 'hub')}/bin/python is {HERE} now" in (
        capsys.readouterr().err
    )


def test_it_becomes_bootstrap(prefix: Path) -> None:
    assert became(prefix, "tljh", "doctor", "--fix") == [str(prefix / "package/bootstrap.py")]
    assert os.environ["TLJH_BOOTSTRAP_PIP_SPEC"] == str(prefix / "ours.whl")
    assert os.environ["TLJH_INSTALL_PREFIX"] == str(prefix)
    assert became(prefix, "tljh", "install", "--admin", "ada")[1:] == ["--admin", "ada"]


def test_it_becomes_the_bootstrap_of_the_checkout_that_it_came_from(prefix: Path) -> None:
    (prefix / "checkout/bootstrap").mkdir(parents=True)
    (prefix / "checkout/bootstrap/bootstrap.py").touch()
    made_from(prefix, spec=str(prefix / "checkout"), wheel=str(prefix / "ours.whl"))
    assert became(prefix, "tljh", "install") == [str(prefix / "checkout/bootstrap/bootstrap.py")]
    assert os.environ["TLJH_BOOTSTRAP_PIP_SPEC"] == ""


def test_it_knows_no_way(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (prefix / "hub/tljh-environment.json").unlink()
    assert rescue.main([str(prefix), "tljh", "doctor", "--fix"]) == 1
    assert "→ run the bootstrap command again that you installed with" in capsys.readouterr().err
