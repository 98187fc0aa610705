"""A file of jupyterhub_config.d that the hub could not read is found before the hub is stopped."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from tljh.errors import TljhError
from tljh.settings.hub_files import check_hub_file, check_hub_files

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
