"""A file of jupyterhub_config.d that the hub could not read is found before the hub is stopped."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from fakes import Answer, FakeMachine
from tljh.engine.processes import Completed
from tljh.errors import CommandFailed, TljhError
from tljh.paths import Paths
from tljh.settings.hub_files import check_hub_file, check_hub_files, rehearse

GOOD = ["", "c.JupyterHub.ip = ''\n", "name_that_is_not_there\n", "# -*- coding: latin-1 -*-\nx = '\xe9'\n"]
BAD = {
    "c.JupyterHub.ip = \n": " line 1: this is not Python: invalid syntax",
    "x = 1\n\tx = 2\n": " line 2: this is not Python: unexpected indent",
    "x = '\xe9'\n": ": this is not Python: ",
    "x = 1\0\n": "this is not Python: ",
}


@pytest.mark.parametrize("text", GOOD)
def test_python(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text, encoding="latin-1")
    check_hub_files(tmp_path)


@pytest.mark.parametrize("text", BAD)
def test_no_python(tmp_path: Path, text: str) -> None:
    path = tmp_path / "b.py"
    path.write_text(text, encoding="latin-1")
    (tmp_path / "a.py").write_text("")
    (tmp_path / "not-read.txt").write_text("?")
    with pytest.raises(TljhError) as caught:
        check_hub_files(tmp_path)
    assert BAD[text] in str(caught.value)
    assert str(caught.value).startswith(f"{path}")
    assert str(caught.value).endswith("\n  → mend or remove it; the hub could not start with it")


def test_what_will_be_there_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("(")
    check_hub_file(path, b"x = 1\n")
    path.write_text("")
    with pytest.raises(TljhError, match=r"a\.py line 1: this is not Python"):
        check_hub_file(path, b"(")


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.py").symlink_to("nowhere")
    with pytest.raises(TljhError, match=r"a\.py: it can't be read: No such file or directory"):
        check_hub_files(tmp_path)


def test_warnings_are_left_to_the_hub(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_hub_file(tmp_path / "a.py", b"x = '\\d'\n")


# ---- the configuration loaded beside the hub that runs

COMMAND = "python -I -m tljh.hub.rehearsal 4711"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "tljh")
    made.hub_config_d.mkdir(parents=True)
    (made.hub_config_d / "mine.py").write_text("nothing_of_that_name\n")
    return made


def tried(
    paths: Paths,
    answer: Answer,
    started: str = "environment /opt/tljh/envs/hub-1\npid 4711\n",
    running: str = "4711",
) -> list[str]:
    machine = FakeMachine(paths.prefix.parent, answers={"python": answer})
    place = machine.at(paths.started("jupyterhub"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(started)
    machine.at(Path("/proc") / running).mkdir(parents=True, exist_ok=True)
    rehearse(paths, machine, paths.envs / "hub-2")
    return machine.commands


def test_what_keeps_the_hub_from_starting_is_told_with_its_place(paths: Paths) -> None:
    found = {"what": "NameError: name 'nothing' is not defined", "file": "/config/mine.py", "line": 3}
    with pytest.raises(TljhError) as caught:
        tried(paths, json.dumps(found))
    assert str(caught.value).startswith(
        "/config/mine.py line 3: NameError: name 'nothing' is not defined\n  → mend"
    )
    assert "the one that runs was not stopped" in str(caught.value)
    assert "systemctl restart jupyterhub" in str(caught.value)
    with pytest.raises(TljhError, match="the hub's configuration: it ends with status 3"):
        tried(paths, json.dumps({"what": "it ends with status 3", "file": "", "line": 0}))


@pytest.mark.parametrize(
    "answer",
    ["{}", "", Completed(1, "", "No module named tljh.hub.rehearsal"), CommandFailed(["python"], None, "")],
)
def test_what_finds_nothing_holds_nobody_up(paths: Paths, answer: Answer) -> None:
    assert tried(paths, answer) == [COMMAND]


def test_only_beside_a_hub_and_with_files_of_the_admins(paths: Paths) -> None:
    assert tried(paths, "{}", running="4712") == [], "it was stopped: no program is started to see that"
    assert tried(paths, "{}", "environment /opt/tljh/envs/hub-1\n") == [], "an earlier version's launcher"
    (paths.hub_config_d / "mine.py").rename(paths.hub_config_d / "mine.txt")
    assert tried(paths, "{}") == []
