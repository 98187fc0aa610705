"""Which files pip's part comes from: of many wheels the one that fits, for this platform and others."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine, make_context, real
from lock_fakes import FILES, LockUv, sha256
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage, Target, locate, read_pylock, with_hashes
from tljh.resources.environments.python_environment import Builder
from tljh.resources.locks.lock import Requested

PYTHON = Path("/usr/bin/python3")
ELSEWHERE = Target(PYTHON, "3.11", "linux-aarch64")


@pytest.fixture
def uv() -> LockUv:
    return LockUv()


@pytest.fixture
def builder(tmp_path: Path, uv: LockUv) -> Builder:
    return make_context(real(tmp_path), uv=uv).builder


def pylock(*wheels: str, more: str = "", name: str = "x") -> str:
    listed = ", ".join(
        f'{{ url = "{FILES}/{wheel}", hashes = {{ sha256 = "{n}" }} }}' for n, wheel in enumerate(wheels)
    )
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\nwheels = [{listed}]\n{more}'


def chosen(*wheels: str, target: Target = ELSEWHERE) -> str:
    (found,) = read_pylock(pylock(*wheels), target)
    return found.url.rpartition("/")[2]


def test_the_wheel_that_fits_best() -> None:
    pure, abi3 = "x-1.0-py3-none-any.whl", "x-1.0-cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl"
    newer, best = "x-1.0-cp311-cp311-manylinux_2_31_aarch64.whl", "x-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    foreign = ("x-1.0-cp312-cp312-manylinux_2_28_aarch64.whl", "x-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
    assert chosen(pure, abi3, newer, *foreign) == abi3, "a newer glibc than is supposed does not do"
    assert chosen(pure, abi3, newer, best, *foreign) == best
    assert chosen(*foreign, pure, "nonsense.whl") == pure


def test_of_equals_the_first_but_a_higher_build_wins() -> None:
    assert chosen("x-1.0-py2.py3-none-any.whl", "x-1.0-py3-none-any.whl") == "x-1.0-py2.py3-none-any.whl"
    assert chosen("x-1.0-1-py3-none-any.whl", "x-1.0-2-py3-none-any.whl") == "x-1.0-2-py3-none-any.whl"


def test_this_machine() -> None:
    import platform

    here = f"x-1.0-cp311-cp311-manylinux2014_{platform.machine()}.whl"
    assert chosen("x-1.0-py3-none-any.whl", here, target=Target(PYTHON, "3.11")) == here


def test_a_source_where_no_wheel_fits() -> None:
    more = f'sdist = {{ url = "{FILES}/x-1.0.tar.gz", hashes = {{ sha256 = "ab" }} }}\n'
    (found,) = read_pylock(pylock("x-1.0-cp311-cp311-win_amd64.whl", more=more), ELSEWHERE)
    assert found == PipPackage("x", "1.0", f"{FILES}/x-1.0.tar.gz", "ab")
    with pytest.raises(TljhError, match=r"^x 1\.0 has no file for this platform and no source\n"):
        read_pylock(pylock("x-1.0-cp311-cp311-win_amd64.whl"), ELSEWHERE)


def test_what_was_asked_for_by_its_place() -> None:
    text = """
[[packages]]
name = "Git_Ty"
version = "0.3"
vcs = { type = "git", url = "https://me:secret@host/gitty", commit-id = "%s", subdirectory = "sub" }

[[packages]]
name = "local"
version = "1"
archive = { path = "/srv/local-1-py3-none-any.whl", hashes = { sha256 = "cd" } }
""" % ("a" * 40)
    gitty, local = read_pylock(text, ELSEWHERE)
    assert gitty.line == f"git-ty @ git+https://host/gitty@{'a' * 40}#subdirectory=sub"
    assert local.line == "local @ file:///srv/local-1-py3-none-any.whl --hash=sha256:cd"
    folder = '[[packages]]\nname = "x"\ndirectory = { path = "/srv/x" }\n'
    with pytest.raises(TljhError, match="x comes from the folder /srv/x, which no lock can describe"):
        read_pylock(folder, ELSEWHERE)


def test_what_uv_is_asked(builder: Builder, uv: LockUv) -> None:
    rows = [Requested("--index-url https://i", "x"), Requested("cowsay", "x"), Requested("brought>=1", "y")]
    found = locate(builder, rows, ELSEWHERE, prefer={"cowsay": "6.0"}, there={"brought": "2.0"})
    assert [package.name for package in found] == ["cowsay"], "conda brings the other"
    assert uv.asked == ["--index-url https://i", "cowsay", "brought>=1"]
    assert 'version = "6.0"' in uv.preferred
    words = " ".join(uv.flags)
    assert "--python-version 3.11 --python-platform aarch64-manylinux_2_28" in words
    assert "--override" in words and "--no-deps" not in words


def test_exact_requirements_without_what_they_ask_for(builder: Builder, uv: LockUv) -> None:
    line = f"cowsay==6.0 --hash=sha256:{'0' * 64} --hash=sha256:{sha256('cowsay==6.0')}"
    (found,) = locate(builder, [Requested(line, "x")], Target(PYTHON, "3.12"), exact=True)
    assert found == PipPackage("cowsay", "6.0", f"{FILES}/cowsay-6.0-py3-none-any.whl", sha256("cowsay==6.0"))
    assert uv.asked == ["cowsay==6.0"]
    assert "--no-deps" in uv.flags and "--python-platform" not in uv.flags
    assert uv.preferred == []


def test_another_file_than_the_one_that_is_installed(builder: Builder) -> None:
    rows = [Requested(f"cowsay==6.0 --hash=sha256:{'0' * 64}", "x")]
    with pytest.raises(TljhError) as caught:
        locate(builder, rows, Target(PYTHON, "3.11"), exact=True)
    assert "cowsay-6.0-py3-none-any.whl has the sha256" in str(caught.value)
    assert "which is not the file that is installed here" in str(caught.value)
    assert "tljh lock --upgrade cowsay" in str(caught.value)


def test_hashes_of_all_files(builder: Builder) -> None:
    lines = with_hashes(builder, ["--extra-index-url https://i", "a==1", "b==2"])
    assert lines == [f"a==1 --hash=sha256:{sha256('a==1')}", f"b==2 --hash=sha256:{sha256('b==2')}"]


def test_no_solution_and_no_index(builder: Builder) -> None:
    assert isinstance(builder.machine, FakeMachine)
    builder.machine.answers["uv"] = Completed(2, "", "error: No solution found: cowsay and sheep")
    with pytest.raises(TljhError, match="cannot be installed together: plugin-x asks for cowsay"):
        locate(builder, [Requested("cowsay", "plugin-x")], ELSEWHERE)
    builder.machine.answers["uv"] = Completed(2, "", "error: Failed to fetch: `https://i/a/`")
    with pytest.raises(TljhError, match="the package index cannot be reached"):
        with_hashes(builder, ["a==1"])
