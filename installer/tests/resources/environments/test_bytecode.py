"""Byte code: what is written, what is kept, what is taken from another environment."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import py_compile
import sys
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.environments import bytecode_worker
from tljh.resources.environments.bytecode import WORKER, compile_environment
from tljh.resources.environments.bytecode_worker import library, main, make, place_of, sources

SOURCE = "VALUES = {'a', 'b'}\ndef f(x):\n    return x in {'one', 'two', 'three'}\n"


def put(root: Path, name: str, text: str = SOURCE) -> str:
    """A Python file of an environment; its path relative to that."""
    relative = f"{library()}/site-packages/{name}"
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return relative


def code_of(root: Path, source: str) -> types.CodeType:
    code = marshal.loads((root / place_of(source)).read_bytes()[16:])
    assert isinstance(code, types.CodeType)
    return code


# ---- one file


def test_python_itself_would_have_written_the_same(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    assert make(str(tmp_path), (), source) == "compiled"
    ours = tmp_path / place_of(source)
    theirs = tmp_path / "theirs.pyc"
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(tmp_path / source), str(theirs), dfile=source, doraise=True, invalidation_mode=mode)
    assert ours.read_bytes() == theirs.read_bytes()
    assert str(ours) == importlib.util.cache_from_source(str(tmp_path / source))
    assert ours.stat().st_mode & 0o777 == 0o644


def test_where_an_environment_lies_is_not_in_it(tmp_path: Path) -> None:
    roots = [tmp_path / "envs/user-1", tmp_path / "elsewhere/user-22"]
    made = []
    for root in roots:
        source = put(root, "package/a.py")
        make(str(root), (), source)
        made.append((root / place_of(source)).read_bytes())
    assert made[0] == made[1]
    assert code_of(roots[0], source).co_filename == source


def test_code_knows_its_file_when_it_is_imported(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    make(str(tmp_path), (), source)
    here = str(tmp_path / source)
    code = SourceFileLoader("a", here).get_code("a")
    assert code is not None
    inner = next(value for value in code.co_consts if isinstance(value, types.CodeType))
    assert (code.co_filename, inner.co_filename) == (here, here)


def test_an_edited_source_is_compiled_anew(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    make(str(tmp_path), (), source)
    before = (tmp_path / source).stat()
    put(tmp_path, "a.py", SOURCE.replace("one", "six"))
    os.utime(tmp_path / source, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert make(str(tmp_path), (), source) == "compiled"
    assert make(str(tmp_path), (), source) == "kept"


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_a_packages_own_byte_code_of_any_kind_stays(tmp_path: Path, mode: py_compile.PycInvalidationMode) -> None:
    source = put(tmp_path, "a.py")
    py_compile.compile(str(tmp_path / source), doraise=True, invalidation_mode=mode)
    os.link(tmp_path / place_of(source), tmp_path / "in the cache")
    before = (tmp_path / place_of(source)).stat().st_ino
    assert make(str(tmp_path), (), source) == "kept"
    assert (tmp_path / place_of(source)).stat().st_ino == before


def test_what_an_interpreter_left_on_its_way_is_replaced(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    timestamp = py_compile.PycInvalidationMode.TIMESTAMP
    py_compile.compile(str(tmp_path / source), doraise=True, invalidation_mode=timestamp)
    assert make(str(tmp_path), (), source) == "compiled"
    assert make(str(tmp_path), (), source) == "kept"


def test_byte_code_by_time_goes_when_the_time_is_another(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    timestamp = py_compile.PycInvalidationMode.TIMESTAMP
    py_compile.compile(str(tmp_path / source), doraise=True, invalidation_mode=timestamp)
    os.utime(tmp_path / source, (1.0, 1.0))
    assert make(str(tmp_path), (), source) == "compiled"


def test_another_pythons_byte_code_and_half_a_header_are_replaced(tmp_path: Path) -> None:
    source = put(tmp_path, "a.py")
    make(str(tmp_path), (), source)
    target = tmp_path / place_of(source)
    good = target.read_bytes()
    for bad in (b"\0" * 4 + good[4:], good[:15], b""):
        target.write_bytes(bad)
        assert make(str(tmp_path), (), source) == "compiled"
        assert target.read_bytes() == good


@pytest.mark.parametrize("text", ["def f(:\n", "print 'two'\n", "x = '\0'\n", "# coding: nothing\nx = 1\n"])
def test_what_is_not_for_this_python_is_passed_over(tmp_path: Path, text: str) -> None:
    source = put(tmp_path, "template.py", text)
    assert make(str(tmp_path), (), source) == "refused"
    assert not (tmp_path / place_of(source)).exists()


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    put(tmp_path, "a.py")
    (tmp_path / library() / "site-packages/gone.py").symlink_to("nowhere")
    assert make(str(tmp_path), (), f"{library()}/site-packages/gone.py") == "refused"


def test_nothing_is_left_of_what_could_not_be_put_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path, "a.py")

    def full(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        make(str(tmp_path), (), source)
    assert list((tmp_path / place_of(source)).parent.iterdir()) == []


# ---- from another environment


def test_byte_code_of_the_same_source_is_copied_not_linked(tmp_path: Path) -> None:
    hub, user = tmp_path / "hub", tmp_path / "user"
    for root in (hub, user):
        source = put(root, "a.py")
    make(str(hub), (), source)
    marked = (hub / place_of(source)).read_bytes() + b"copied"
    (hub / place_of(source)).write_bytes(marked)
    assert make(str(user), (str(tmp_path / "none"), str(hub)), source) == "reused"
    copy = user / place_of(source)
    assert copy.read_bytes() == marked
    assert copy.stat().st_nlink == 1


def test_byte_code_that_is_not_by_this_hash_is_not_taken(tmp_path: Path) -> None:
    hub, user = tmp_path / "hub", tmp_path / "user"
    source = put(user, "a.py")
    put(hub, "a.py", SOURCE + "# another\n")
    make(str(hub), (), source)
    assert make(str(user), (str(hub),), source) == "compiled"
    for mode in (py_compile.PycInvalidationMode.TIMESTAMP, py_compile.PycInvalidationMode.UNCHECKED_HASH):
        put(hub, "a.py")
        py_compile.compile(str(hub / source), doraise=True, invalidation_mode=mode)
        (user / place_of(source)).unlink()
        assert make(str(user), (str(hub),), source) == "compiled", mode


# ---- a whole environment


def test_the_largest_first_and_nothing_of_other_versions(tmp_path: Path) -> None:
    put(tmp_path, "small.py", "x = 1\n")
    put(tmp_path, "package/large.py", "x = 1\n" * 100)
    put(tmp_path, "package/__pycache__/not.py", "x = 1\n")
    put(tmp_path, "package/data.txt", "x = 1\n")
    (tmp_path / library() / "stdlib.py").write_text("x = 11\n")
    other = tmp_path / "lib/python2.7/old.py"
    other.parent.mkdir()
    other.write_text("print 1\n")
    names = ("site-packages/package/large.py", "stdlib.py", "site-packages/small.py")
    assert sources(str(tmp_path)) == [f"{library()}/{name}" for name in names]


class Pool:
    """Does in this process what a ProcessPoolExecutor does in others."""

    def __init__(self, *arguments: object) -> None:
        self.map = lambda work, jobs, chunksize: map(work, jobs)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to end."""


def test_a_whole_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bytecode_worker, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(bytecode_worker, "STEP", 2)
    hub, user = tmp_path / "hub", tmp_path / "user"
    put(hub, "shared.py")
    main([str(hub)])
    for name, text in (("shared.py", SOURCE), ("own.py", SOURCE), ("template.py", "{{ x }} {")):
        put(user, name, text)
    main([str(user), str(hub)])
    main([str(user)])
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [
        {"compiled": 1},
        {"reused": 1, "compiled": 1, "refused": 1},
        {"kept": 2, "refused": 1},
    ]
    assert said.err.splitlines() == ["1 1", "2 3", "3 3", "2 3", "3 3"]


def test_the_worker_needs_nothing_of_ours() -> None:
    text = WORKER.read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))
    }
    assert imported <= {*sys.stdlib_module_names}


# ---- how it is run


def test_the_environments_own_interpreter_does_it() -> None:
    machine = FakeMachine(answers={"env": Completed(0, "{}", "200 399\nsomething else\n399 399\n")})
    told: list[tuple[int, int]] = []
    compile_environment(
        machine,
        Path("/envs/user-1/bin/python"),
        Path("/envs/user-1"),
        reuse=[Path("/envs/hub-2")],
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert machine.commands == [
        f"env -i PYTHONHASHSEED=0 PYTHONSAFEPATH=1 /envs/user-1/bin/python -S {WORKER} /envs/user-1 /envs/hub-2"
    ]
    assert told == [(200, 399), (399, 399)]


@pytest.mark.parametrize(
    ("said", "words", "todo"),
    [
        (
            "200 399\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n",
            "there is no room left on the disk for the byte code of /e",
            "make room, then run the same command again",
        ),
        (
            "200 399\nconcurrent.futures.process.BrokenProcessPool: A process was killed\n399 399\n",
            "/e could not be byte-compiled: concurrent.futures.process.BrokenProcessPool: A process was killed",
            "mend what it complains of, then run the same command again",
        ),
        (
            "",
            "/e could not be byte-compiled: it did not end in time",
            "mend what it complains of, then run the same command again",
        ),
    ],
)
def test_why_it_failed(said: str, words: str, todo: str) -> None:
    machine = FakeMachine(answers={"env": Completed(1, "", said)})
    with pytest.raises(TljhError) as caught:
        compile_environment(machine, Path("/e/bin/python"), Path("/e"))
    assert str(caught.value) == f"{words}\n  → {todo}"
