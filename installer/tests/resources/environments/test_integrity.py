"""Damage of every kind is found, and nothing else is taken for damage."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeMachine, real
from installed_fakes import (
    SITE,
    add_conda_package,
    add_distribution,
    add_record,
    make_virtual,
    put,
    sha256,
)
from tljh.engine.processes import Completed
from tljh.resources.environments import integrity
from tljh.resources.environments.integrity import Fault, examine, unloadable, verify
from tljh.resources.locks.lock import RECORD, Requested


@pytest.fixture
def virtual(tmp_path: Path) -> Path:
    """A virtual environment with one distribution."""
    root = make_virtual(real(tmp_path) / "user-3")
    files = {f"{SITE}/a/__init__.py": "1", f"{SITE}/a/b.py": "2", "bin/a": "#!/bin/sh\n", "share/a.txt": "3"}
    add_distribution(root, "a", files=files)
    add_record(root, pip={"a": "1.0"})
    return root


@pytest.fixture
def conda(tmp_path: Path) -> Path:
    """A conda environment with two packages, one of them of Python."""
    root = real(tmp_path) / "user-3"
    zlib = add_conda_package(root, "zlib", files={"lib/libz.so.1": "z", "bin/minigzip": "\x7fELF"})
    files = {f"{SITE}/n.py": "n", f"{SITE}/n-1.0.dist-info/METADATA": "Name: n\n"}
    n = add_conda_package(root, "n", "1.0=py311_0", files=files)
    add_record(root, conda=[zlib, n])
    return root


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(fault.what, fault.package, fault.path) for fault in verify(root)]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def mode(bits: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(bits)


# ---- distributions


def test_nothing_is_wrong(virtual: Path) -> None:
    report = examine(virtual)
    assert (report.faults, report.files, report.packages, report.unknown) == ((), 7, 1, ())


@pytest.mark.parametrize(
    ("path", "damage", "what"),
    [
        (f"{SITE}/a/b.py", remove, "missing"),
        (f"{SITE}/a/b.py", empty, "changed"),
        (f"{SITE}/a/b.py", to_folder, "changed"),
        (f"{SITE}/a/b.py", to_dead_link, "changed"),
        (f"{SITE}/a/b.py", mode(0o640), "mode"),
        (f"{SITE}/a/b.py", mode(0o646), "mode"),
        ("bin/a", mode(0o644), "mode"),
        ("bin/a", empty, "changed"),
        ("share/a.txt", remove, "missing"),
        (f"{SITE}/a-1.0.dist-info/METADATA", remove, "missing"),
        (f"{SITE}/a-1.0.dist-info/RECORD", remove, "record"),
        (f"{SITE}/a-1.0.dist-info/RECORD", empty, "record"),
    ],
)
def test_damage_of_a_distribution(virtual: Path, path: str, damage: Callable[[Path], None], what: str) -> None:
    damage(virtual / path)
    assert verify(virtual) == [Fault(path, "a", "pip", what)]  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [0o644, 0o664, 0o444, 0o755])
def test_modes_that_installers_leave_are_right(virtual: Path, bits: int) -> None:
    (virtual / SITE / "a/b.py").chmod(bits)
    assert verify(virtual) == []


def test_a_folder_that_not_everybody_can_look_into(virtual: Path) -> None:
    (virtual / SITE / "a").chmod(0o750)
    (virtual / "share").chmod(0o757)
    virtual.chmod(0o700)
    assert found(virtual) == [("mode", "", "."), ("mode", "", f"{SITE}/a"), ("mode", "", "share")]


def test_a_distribution_of_which_nothing_is_left(virtual: Path) -> None:
    for file in (virtual / SITE / "a-1.0.dist-info").iterdir():
        file.unlink()
    assert verify(virtual) == [Fault("", "a", "pip", "missing")]


def test_what_an_admin_installed_and_removed_again_is_not_missed(virtual: Path) -> None:
    add_record(virtual, Requested("b==1", "by hand"), pip={"a": "1.0", "b": "1"})
    assert verify(virtual) == []
    add_record(virtual, Requested("b==1", "core"), pip={"a": "1.0", "b": "1"})
    assert found(virtual) == [("missing", "b", "")]


def test_what_an_admin_installed_is_looked_at_too(virtual: Path) -> None:
    add_distribution(virtual, "mine", installer="pip", files={f"{SITE}/mine.py": "x"})
    assert verify(virtual) == []
    empty(virtual / SITE / "mine.py")
    assert found(virtual) == [("changed", "mine", f"{SITE}/mine.py")]


def test_the_last_of_two_that_brought_a_file_wins(virtual: Path) -> None:
    add_distribution(virtual, "b", files={f"{SITE}/a/__init__.py": "of b"})
    assert verify(virtual) == []
    empty(virtual / SITE / "a/__init__.py")
    assert found(virtual) == [("changed", "b", f"{SITE}/a/__init__.py")]


def test_a_program_of_pip_in_the_next_environment(virtual: Path) -> None:
    program = f"#!{virtual.parent}/user-1/bin/python\nimport a\n"
    add_distribution(virtual, "mine", installer="pip", files={"bin/mine": program})
    put(virtual, "bin/mine", program.replace("user-1", "user-3"))
    assert verify(virtual) == []
    put(virtual, "bin/mine", program.replace("user-1", "user-3") + "more")
    assert found(virtual) == [("changed", "mine", "bin/mine")]


def test_byte_code_may_be_missing_or_another(virtual: Path) -> None:
    rows = ["a/__pycache__/b.cpython-311.pyc,,", "a/__pycache__/c.cpython-311.pyc,sha256=AAAA,1"]
    add_distribution(virtual, "c", files={}, listed=rows)
    assert verify(virtual) == []
    put(virtual, f"{SITE}/a/__pycache__/c.cpython-311.pyc", "compiled anew")
    assert verify(virtual) == []


def test_byte_code_that_not_everybody_can_read_or_everybody_can_change(virtual: Path) -> None:
    folder = f"{SITE}/a/__pycache__"
    rows = ["a/__pycache__/c.cpython-311.pyc,,"]
    add_distribution(virtual, "c", files={}, listed=rows)
    for name, bits in (("b", 0o600), ("c", 0o600), ("d", 0o666), ("e", 0o644)):
        put(virtual, f"{folder}/{name}.cpython-311.pyc", "x").chmod(bits)
    assert found(virtual) == [
        ("mode", "", f"{folder}/b.cpython-311.pyc"),
        ("mode", "", f"{folder}/d.cpython-311.pyc"),
        ("mode", "c", f"{folder}/c.cpython-311.pyc"),
    ]
    (virtual / folder).chmod(0o777)
    assert ("mode", "", folder) in found(virtual)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"requirements": []}'])
def test_an_environment_without_its_own_record(virtual: Path, text: str) -> None:
    put(virtual, RECORD, text)
    assert found(virtual) == [("record", "", RECORD)]
    remove(virtual / RECORD)
    assert found(virtual) == [("record", "", RECORD)]


def test_what_makes_a_virtual_environment(virtual: Path) -> None:
    empty(virtual / "pyvenv.cfg")
    to_dead_link(virtual / "bin" / "python")
    assert found(virtual) == [("missing", "", "bin/python"), ("changed", "", "pyvenv.cfg")]
    remove(virtual / "pyvenv.cfg")
    assert found(virtual)[1] == ("missing", "", "pyvenv.cfg")


def test_files_that_no_package_brought(virtual: Path) -> None:
    ours = (
        "bin/python3",
        "bin/activate.fish",
        f"{SITE}/_tljh_user_site.pth",
        f"{SITE}/__pycache__/x.pyc",
        ".lock",
    )
    for path in (*ours, f"{SITE}/mine.py", "share/jupyter/kernels/r/kernel.json"):
        put(virtual, path, "x")
    (virtual / "lib64").symlink_to("lib")
    (virtual / "extra").symlink_to("share")
    report = examine(virtual)
    assert report.unknown == ("extra", f"{SITE}/mine.py", "share/jupyter/kernels/r/kernel.json")
    assert report.faults == ()


def test_large_files_are_hashed_in_blocks(virtual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "BLOCK", 7)
    content = "0123456789" * 5
    file = put(virtual, "share/large", content)
    assert integrity.digest_of(file) == sha256(content)
    assert integrity.digest_of(file, "sha512") == hashlib.sha512(content.encode()).hexdigest()


def test_progress(virtual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE", 3)
    told: list[tuple[int, int]] = []
    examine(virtual, lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_what_we_may_not_read_is_no_damage(virtual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, algorithm: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(integrity, "digest_of", refuse)
    with pytest.raises(PermissionError):
        verify(virtual)


def test_what_the_disk_cannot_give_back_is_damage(virtual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object, algorithm: str) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(integrity, "digest_of", fail)
    assert {what for what, _, _ in found(virtual)} == {"changed"}


# ---- conda


def test_nothing_is_wrong_with_conda(conda: Path) -> None:
    report = examine(conda)
    assert (report.faults, report.files, report.packages, report.unknown) == ((), 4, 2, ())


@pytest.mark.parametrize(
    ("path", "damage", "what"),
    [
        ("lib/libz.so.1", remove, "missing"),
        ("lib/libz.so.1", empty, "changed"),
        ("lib/libz.so.1", mode(0o600), "mode"),
        ("bin/minigzip", mode(0o644), "mode"),
        ("conda-meta/zlib-1.0-h0.json", empty, "record"),
    ],
)
def test_damage_of_a_conda_package(conda: Path, path: str, damage: Callable[[Path], None], what: str) -> None:
    damage(conda / path)
    assert verify(conda) == [Fault(path, "conda:zlib", "conda", what)]  # type: ignore[arg-type]


def test_a_conda_package_without_its_record(conda: Path) -> None:
    remove(conda / "conda-meta/n-1.0-py311_0.json")
    assert verify(conda) == [Fault("", "conda:n", "conda", "missing")]


def test_a_text_below_bin_need_not_run(conda: Path) -> None:
    add_conda_package(conda, "text", files={"bin/notes.txt": "hello"})
    (conda / "bin/notes.txt").chmod(0o644)
    assert verify(conda) == []


def link(conda: Path, target: str, **row: str) -> None:
    rows = [{"_path": "lib/libz.so", "path_type": "softlink", **row}]
    add_conda_package(conda, "links", files={"lib/other.txt": "other"}, paths=rows)
    (conda / "lib/libz.so").unlink(missing_ok=True)
    (conda / "lib/libz.so").symlink_to(target)


def test_a_link_of_rattler(conda: Path) -> None:
    row = {"sha256": sha256("z"), "sha256_in_prefix": sha256("libz.so.1")}
    link(conda, "libz.so.1", **row)
    assert verify(conda) == []
    link(conda, "other.txt", **row)
    assert found(conda) == [("changed", "conda:links", "lib/libz.so")]
    remove(conda / "lib/libz.so")
    put(conda, "lib/libz.so", "z")
    assert found(conda) == [("changed", "conda:links", "lib/libz.so")], "a copy is no link"


def test_a_link_of_conda_whose_target_was_written_into(conda: Path) -> None:
    row = {"sha256": sha256("/placeholder"), "sha256_in_prefix": sha256("/placeholder")}
    link(conda, "libz.so.1", **row)
    assert verify(conda) == []
    link(conda, "nowhere", **row)
    assert found(conda) == [("changed", "conda:links", "lib/libz.so")]


def test_a_folder_of_a_conda_package(conda: Path) -> None:
    add_conda_package(conda, "f", files={}, paths=[{"_path": "var/f", "path_type": "directory"}])
    assert found(conda) == [("missing", "conda:f", "var/f")]
    put(conda, "var/f", "")
    assert found(conda) == [("changed", "conda:f", "var/f")]
    remove(conda / "var/f")
    (conda / "var/f").mkdir()
    assert verify(conda) == []


def test_what_pip_replaced_is_by_hand_and_no_damage(conda: Path) -> None:
    for name in ("n.py", "n-1.0.dist-info/METADATA"):
        remove(conda / SITE / name)
    add_distribution(conda, "n", "2.0", installer="pip", files={f"{SITE}/n.py": "n 2"})
    report = examine(conda)
    assert (report.faults, report.replaced) == ((), ("conda:n",))
    empty(conda / SITE / "n.py")
    assert found(conda) == [("changed", "n", f"{SITE}/n.py")]


def test_a_file_of_a_conda_package_that_pip_wrote_over(conda: Path) -> None:
    add_distribution(conda, "other", installer="pip", files={"bin/minigzip": "#!/bin/sh\n"})
    assert verify(conda) == []


# ---- byte code that an import stumbles over


def test_byte_code_is_loaded_by_the_environments_own_interpreter(virtual: Path) -> None:
    byte_code = put(virtual, f"{SITE}/a/__pycache__/b.cpython-311.pyc", "x")
    machine = FakeMachine(answers={"python": f"{byte_code}\n"})
    assert unloadable(machine, virtual) == [Fault(f"{SITE}/a/__pycache__/b.cpython-311.pyc", "", "", "changed")]
    assert machine.options[0]["input"] == str(byte_code)


def test_byte_code_that_cannot_be_asked_about(virtual: Path) -> None:
    machine = FakeMachine(answers={"python": Completed(1, "", "ImportError")})
    assert unloadable(machine, virtual) == [], "there is none"
    put(virtual, f"{SITE}/__pycache__/b.cpython-311.pyc", "x")
    assert unloadable(machine, virtual) == [], "the interpreter is damaged"
    os.unlink(virtual / "bin/python")
    assert unloadable(FakeMachine(), virtual) == []


def test_the_loader_names_what_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import io
    import marshal
    import sys

    head = importlib.util.MAGIC_NUMBER + bytes(12)
    body = marshal.dumps(compile("x = [1, 2, 3]", "x.py", "exec"))
    contents = {"good": head + body, "cut": head + body[:20], "empty": b"", "other": b"\0\0\0\0" + head + body[:9]}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    said: list[str] = []
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(str(tmp_path / name) for name in contents)))
    exec(integrity._LOADER, {"print": said.append})
    assert said == [str(tmp_path / "cut")], "what has another head is compiled anew by Python itself"
