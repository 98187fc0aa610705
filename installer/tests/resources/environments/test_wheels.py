"""Gathering wheels: what pip is asked, what comes from this machine, and what the lines then say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.environments.wheels import Wheels, for_pip

PYTHON = Path("/opt/tljh/hub/bin/python")


class Pip:
    """A pip that brings a wheel for each line of the list that it is given.

    Args:
        tag: Of the wheels.
        without: Names of which it brings none.
    """

    def __init__(self, tag: str = "py3-none-any", without: tuple[str, ...] = ()) -> None:
        self.tag = tag
        self.without = without
        self.lists: list[list[str]] = []
        self.words: list[list[str]] = []

    def __call__(self, words: list[str]) -> str:
        self.words.append(words)
        lines = Path(words[-1]).read_text().splitlines()
        self.lists.append(lines)
        folder = Path(words[words.index("--wheel-dir") + 1])
        for line in lines:
            name, _, version = line.split(" --hash=")[0].partition("==")
            if " @ " in line:
                name, version = line.split(" @ ")[0], "0.1"
            if version and name not in self.without:
                name = name.split("[")[0].replace("-", "_")
                (folder / f"{name}-{version}-{self.tag}.whl").write_text(name)
        return ""


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def wheels(tmp_path: Path, pip: Pip | Completed | None = None, **settings: object) -> Wheels:
    machine = FakeMachine(answers={"pip": pip or Pip()})
    known = {"environment": {}, "say": lambda text: None, "told": lambda done, size: None}
    return Wheels(machine, tmp_path / "wheels", ["pip"], **{**known, **settings})  # type: ignore[arg-type]


def test_pip_fetches_for_the_interpreter_and_by_the_hashes(tmp_path: Path) -> None:
    pip = Pip()
    lines = ["Click==8.1 --hash=sha256:aa --hash=sha256:bb", "uvloop[dev]==0.22 --hash=sha256:cc"]
    found = wheels(tmp_path, pip).gather(lines, PYTHON)
    assert found == [f"click==8.1 --hash={digest('Click')}", f"uvloop==0.22 --hash={digest('uvloop')}"]
    assert pip.lists == [lines]
    (words,) = pip.words
    assert words[1:4] == ["--python", str(PYTHON), "wheel"]
    assert "--no-deps" in words


def test_lines_without_a_hash_go_to_a_pip_of_their_own(tmp_path: Path) -> None:
    pip = Pip()
    lines = ["a==1.0 --hash=sha256:aa", "b==1.0", "c @ git+https://host/c@abc", "--no-binary=b"]
    found = wheels(tmp_path, pip).gather(lines, PYTHON)
    assert sorted(pip.lists) == [["--no-binary=b", lines[0]], ["--no-binary=b", lines[1], lines[2]]]
    assert [line.split(" ")[0] for line in found] == ["a==1.0", "b==1.0", "c==0.1"]


def test_many_lines_are_shared_out_and_told(tmp_path: Path) -> None:
    pip, told = Pip(), []
    lines = [f"a{number}==1.0" for number in range(30)]
    wheels(tmp_path, pip, told=lambda done, size: told.append((done, size))).gather(lines, PYTHON)
    assert sorted(map(len, pip.lists)) == [6, 12, 12]
    assert told == [(12, 30), (24, 30), (30, 30)]


def test_what_is_a_file_here_is_copied(tmp_path: Path) -> None:
    pip = Pip()
    (tmp_path / "with space").mkdir()
    local = tmp_path / "with space" / "tljh_x-1.0-py3-none-any.whl"
    local.write_text("mine")
    found = wheels(tmp_path, pip).gather([f"tljh-x @ {local.as_uri()}"], PYTHON)
    assert found == [f"tljh-x==1.0 --hash={digest('mine')}"]
    assert pip.lists == []
    assert (tmp_path / "wheels" / local.name).read_text() == "mine"


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    line = "tljh-x @ file:///gone/tljh_x-1.0-py3-none-any.whl"
    with pytest.raises(TljhError, match=r"/gone/tljh_x-1.0-py3-none-any.whl cannot be read: No such file"):
        wheels(tmp_path).gather([line], PYTHON)


def test_two_environments_with_two_versions(tmp_path: Path) -> None:
    gathered = wheels(tmp_path)
    assert gathered.gather(["tornado==6.4"], PYTHON)[0].startswith("tornado==6.4 ")
    assert gathered.gather(["tornado==6.5"], PYTHON)[0].startswith("tornado==6.5 ")
    assert len(list((tmp_path / "wheels").glob("*.whl"))) == 2


def test_what_is_editable_cannot_be_carried(tmp_path: Path) -> None:
    with pytest.raises(TljhError, match=r"editable has no wheel: -e /src\n  → .*TLJH_BOOTSTRAP_DEV"):
        wheels(tmp_path).gather(["-e /src", "a==1.0"], PYTHON)


def test_pip_fails_in_its_own_words(tmp_path: Path) -> None:
    pip = Completed(1, "", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n")
    with pytest.raises(TljhError) as caught:
        wheels(tmp_path, pip).gather(["a==1.0 --hash=sha256:aa"], PYTHON)
    assert "packages can't be fetched" in str(caught.value)
    assert "DO NOT MATCH THE HASHES" in str(caught.value)
    assert "PIP_INDEX_URL" in str(caught.value)


def test_a_wheel_that_pip_did_not_bring_is_missed(tmp_path: Path) -> None:
    with pytest.raises(TljhError, match=r"there are 0 wheels of b==1\.0"):
        wheels(tmp_path, Pip(without=("b",))).gather(["a==1.0", "b==1.0"], PYTHON)


@pytest.mark.parametrize(
    ("uv", "pip"),
    [
        ({}, {}),
        ({"UV_DEFAULT_INDEX": "https://i"}, {"PIP_INDEX_URL": "https://i"}),
        ({"UV_INDEX_URL": "https://i"}, {"PIP_INDEX_URL": "https://i"}),
        ({"UV_INDEX": "https://j"}, {"PIP_EXTRA_INDEX_URL": "https://j"}),
        ({"UV_FIND_LINKS": "/a,/b"}, {"PIP_FIND_LINKS": "/a /b"}),
        ({"UV_OFFLINE": "1"}, {"PIP_NO_INDEX": "1"}),
        ({"SSL_CERT_FILE": "/ca", "PIP_CERT": "/mine"}, {}),
        ({"UV_DEFAULT_INDEX": "https://i", "PIP_INDEX_URL": "https://mine"}, {}),
    ],
)  # fmt: skip
def test_pip_is_told_what_uv_is_told(uv: dict[str, str], pip: dict[str, str]) -> None:
    always = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "SOURCE_DATE_EPOCH": "315532800"}
    assert for_pip(uv) == {**pip, **always}


def test_what_is_built_has_a_fixed_date_unless_one_is_given() -> None:
    assert for_pip({"SOURCE_DATE_EPOCH": "7"})["SOURCE_DATE_EPOCH"] == "7"
