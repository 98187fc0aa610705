"""What a hub that is to be started would say to its configuration."""

from __future__ import annotations

import runpy
from pathlib import Path

import jupyterhub.app  # noqa: F401 - loading it later would start processes, which unit tests may not
import pytest
from tljh.hub import rehearsal
from tljh.hub.rehearsal import Obstacle, environment_of, obstacle

GOOD = [
    "",
    "c.JupyterHub.port = 8001\n",
    "c.Unknown.setting = 1\n",
    "c.JupyterHub.authenticator_class = 'dummy'\n",
]
BAD = {
    "\nnot_there\n": Obstacle("NameError: name 'not_there' is not defined", "mine.py", 2),
    "import not_there\n": Obstacle("ModuleNotFoundError: No module named 'not_there'", "mine.py", 1),
    "\n\nif x\n": Obstacle("SyntaxError: expected ':'", "mine.py", 3),
    "import json\njson.loads('{')\n": Obstacle(
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "mine.py",
        2,
    ),
    "raise SystemExit('no')\n": Obstacle("no"),
    "raise SystemExit(3)\n": Obstacle("it ends with status 3"),
    "raise SystemExit\n": Obstacle("it ends the hub"),
}


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.py"
    monkeypatch.setattr(rehearsal, "CONFIGURATION", path)
    return path


@pytest.mark.parametrize("text", GOOD)
def test_nothing_in_the_way(configuration: Path, text: str) -> None:
    configuration.write_text(text)
    assert rehearsal.rehearse(configuration.parent) == {}


@pytest.mark.parametrize("text", BAD)
def test_in_the_way(configuration: Path, text: str) -> None:
    configuration.write_text(text)
    found = Obstacle(**rehearsal.rehearse(configuration.parent))
    wanted = BAD[text]
    assert (found.what, Path(found.file).name, found.line) == (wanted.what, wanted.file, wanted.line)


def test_a_setting_that_the_hub_does_not_take(configuration: Path) -> None:
    configuration.write_text("c.JupyterHub.port = 'many'\n")
    found = rehearsal.rehearse(configuration.parent)
    assert (
        found["what"]
        == "TraitError: The 'port' trait of a JupyterHub instance expected an int, not the str 'many'."
    )
    configuration.write_text("c.JupyterHub.spawner_class = 'not.there.Spawner'\n")
    assert "not.there" in rehearsal.rehearse(configuration.parent)["what"]


@pytest.mark.parametrize(
    "error",
    [KeyError("CLIENT_SECRET"), OSError(98, "Address already in use"), BlockingIOError(11, "locked")],
)
def test_what_may_be_otherwise_in_the_hub(error: Exception) -> None:
    assert obstacle(error, Path("/")) is None


def test_the_line_is_of_the_admins_files_where_one_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("\nimport textwrap\ntextwrap.dedent(7)\n")
    with pytest.raises(TypeError) as caught:
        runpy.run_path(str(tmp_path / "mine.py"))
    found = obstacle(caught.value, tmp_path)
    assert found
    assert (found.file, found.line) == (str(tmp_path / "mine.py"), 3)
    elsewhere = obstacle(caught.value, Path("/elsewhere"))
    assert elsewhere
    assert (elsewhere.file, elsewhere.line) == ("", 0)


def test_the_variables_are_the_hubs(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/environ").write_bytes(b"PATH=/bin\0TLJH_SERVICE=jupyterhub\0X=a=b\0")
    assert environment_of("7", tmp_path) == {"PATH": "/bin", "X": "a=b"}, "it must not take itself for the hub"
    (tmp_path / "7/environ").write_bytes(b"PATH=/bin\0")
    assert environment_of("7", tmp_path) == {}, "another process has the number by now"
    assert environment_of("8", tmp_path) == {}
