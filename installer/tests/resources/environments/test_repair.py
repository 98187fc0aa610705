"""Mending: just what is damaged, each file by a rename; what an admin did stays his."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import FakeMachine, real, store_in_memory
from installed_fakes import SITE, add_conda_package, add_distribution, add_record, make_virtual, put
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import Step
from tljh.engine.resource import Diff
from tljh.errors import CommandFailed, TljhError
from tljh.resources.environments import repair
from tljh.resources.environments.environment import by_hand
from tljh.resources.environments.integrity import Fault, verify
from tljh.resources.environments.python_environment import Builder
from tljh.resources.environments.repair import (
    WHOLE,
    Files,
    as_it_is,
    by_package,
    can_be_mended,
    give_modes,
    in_words,
    keep_settings,
)
from tljh.resources.locks.lock import RECORD, Lock, Requested


class Uv:
    """Installs distributions beside an environment; ``offered`` is what the index has: name → keywords."""

    def __init__(self, **offered: dict[str, object]) -> None:
        self.offered = offered
        self.asked: list[str] = []
        self.listed: list[str] = []
        self.error: BaseException | None = None

    def __call__(self, words: list[str]) -> str:
        self.asked.append(" ".join(words[1:3]))
        if words[1] == "venv":
            make_virtual(Path(words[-1]))
            return ""
        if self.error:
            raise self.error
        place = Path(words[words.index("--prefix") + 1]) if "--prefix" in words else None
        root = place or Path(words[words.index("--python") + 1]).parents[1]
        self.listed = Path(words[-1]).read_text().splitlines()
        for line in self.listed:
            name = line.replace(" @ ", "==").partition("==")[0]
            if name in self.offered:
                add_distribution(root, name, **self.offered[name])  # type: ignore[arg-type]
        return ""


def builder(uv: Uv, cache: Path) -> Builder:
    return Builder(
        FakeMachine(answers={"uv": uv}), Path("uv"), Path("/usr/bin/python3"), cache, say=lambda text: None
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A virtual environment with a distribution of ours and one that an admin installed."""
    root = make_virtual(real(tmp_path) / "envs" / "user-3")
    add_distribution(root, "a", files=FILES)
    add_distribution(root, "mine", files=MINE, installer="pip")
    add_record(root, Requested("a", "core"), pip={"a": "1.0"})
    return root


FILES = {f"{SITE}/a/__init__.py": "1", f"{SITE}/a/b.py": "2", "bin/a": "#!/bin/sh\n"}
MINE = {f"{SITE}/mine.py": "mine", "bin/mine": "#!/e/bin/python\npip's program"}
LOCK = Lock((Requested("a", "core"),), ("--index-url https://i.example.org", "a==1.0 --hash=sha256:ab"))


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode) for path in files}


# ---- distributions


def test_only_what_is_damaged_is_replaced(root: Path) -> None:
    before = tree(root)
    untouched = (root / SITE / "a/__init__.py").stat()
    put(root, f"{SITE}/a/b.py", "damaged")
    held = (root / SITE / "a/b.py").open()
    (root / "bin/a").unlink()
    uv = Uv(a={"files": FILES})
    repair.reinstall(builder(uv, root.parent / "cache"), LOCK, root, ["a"])
    assert tree(root) == before
    assert verify(root) == []
    assert (root / SITE / "a/__init__.py").stat() == untouched
    assert held.read() == "damaged", "what has it open goes on with it: nothing was written in place"
    assert uv.listed == ["--index-url https://i.example.org", "a==1.0 --hash=sha256:ab"]
    assert [path.name for path in root.parent.iterdir()] == ["user-3"]


def test_a_virtual_environment_gets_what_another_one_of_its_kind_holds(root: Path) -> None:
    uv = Uv(a={"files": FILES})
    made = builder(uv, root.parent / "cache")
    repair.reinstall(made, LOCK, root, ["a"])
    venv, install = made.machine.commands  # type: ignore[attr-defined]
    assert venv.startswith(f"uv venv --quiet --relocatable --python {root}/bin/python {root.parent}/repair-")
    assert install.startswith("uv pip install --no-deps --link-mode copy --python ")


def test_pips_part_of_a_conda_environment(root: Path) -> None:
    (root / "pyvenv.cfg").unlink()
    add_conda_package(root, "python", "3.11=h0")
    put(root, f"{SITE}/mine.py", "damaged")
    made = builder(Uv(mine={"files": MINE}), root.parent / "cache")
    repair.reinstall(made, LOCK, root, ["mine"])
    (install,) = made.machine.commands  # type: ignore[attr-defined]
    assert f"--python {root}/bin/python --prefix {root.parent}/repair-" in install
    assert (root / SITE / "mine.py").read_text() == "mine"


@pytest.mark.parametrize("damage", ["RECORD", "METADATA", "folder", "everything"])
def test_a_damaged_record_comes_anew(root: Path, damage: str) -> None:
    before = tree(root)
    folder = root / SITE / "a-1.0.dist-info"
    if damage in ("RECORD", "METADATA"):
        (folder / damage).unlink()
    else:
        for file in folder.iterdir():
            file.unlink()
    if damage == "everything":
        (root / SITE / "a/b.py").unlink()
        put(root, f"{SITE}/a/__init__.py", "damaged")
    assert verify(root)
    repair.reinstall(builder(Uv(a={"files": FILES}), root.parent / "cache"), LOCK, root, ["a"])
    assert tree(root) == before


def test_what_pip_installed_stays_pips(root: Path) -> None:
    """uv writes other programs than pip; the distribution comes over whole, and still counts as by hand."""
    (root / "bin/mine").unlink()
    theirs = {**MINE, "bin/mine": "#!/e/bin/python\nuv's program"}
    uv = Uv(mine={"files": theirs})
    repair.reinstall(builder(uv, root.parent / "cache"), LOCK, root, ["mine"])
    assert uv.listed[1:] == ["mine==1.0"]
    assert (root / "bin/mine").read_text().endswith("uv's program")
    assert verify(root) == []
    fact = Facts(FakeMachine()).environment(root)
    assert fact is not None
    assert fact.by_pip == {"mine"}
    assert by_hand(fact) == {"mine": "==1.0"}


def test_who_installed_it_is_known_from_its_record_too(root: Path) -> None:
    (root / SITE / "mine-1.0.dist-info/INSTALLER").write_text("?")
    repair.reinstall(builder(Uv(mine={"files": MINE}), root.parent / "cache"), LOCK, root, ["mine"])
    assert (root / SITE / "mine-1.0.dist-info/INSTALLER").read_text() == "pip\n"
    assert verify(root) == []


def test_a_folder_where_a_file_should_be_and_a_file_where_a_folder_should_be(root: Path) -> None:
    before = tree(root)
    (root / SITE / "a/b.py").unlink()
    (root / SITE / "a/b.py").mkdir()
    (root / "bin/a").unlink()
    repair.reinstall(builder(Uv(a={"files": FILES}), root.parent / "cache"), LOCK, root, ["a"])
    assert tree(root) == before
    for path in (f"{SITE}/a/__init__.py", f"{SITE}/a/b.py"):
        (root / path).unlink()
    (root / SITE / "a").rmdir()
    put(root, f"{SITE}/a", "a file")
    repair.reinstall(builder(Uv(a={"files": FILES}), root.parent / "cache"), LOCK, root, ["a"])
    assert tree(root) == before


@pytest.mark.parametrize(
    ("lines", "version", "url", "wanted"),
    [
        (("a==1.0 --hash=x",), "1.0", "", "a==1.0 --hash=x"),
        (("a==1.0 --hash=x",), "1.1", "", "a==1.1"),
        (("a==1.0",), "1.0", "https://e.org/a.whl", "a==1.0"),
        (("a==1.0",), "2.0", "https://e.org/a.whl", "a @ https://e.org/a.whl"),
        (("a @ file:///a.whl",), "1.0", "file:///a.whl", "a @ file:///a.whl"),
        (("a @ file:///a.whl",), "1.0", "", "a @ file:///a.whl"),
        (("a @ file:///a.whl",), "1.0", "file:///b.whl", "a @ file:///b.whl"),
        ((), "1.0", "", "a==1.0"),
    ],
)
def test_what_is_there_now_is_what_is_put_back(
    tmp_path: Path, lines: tuple[str, ...], version: str, url: str, wanted: str
) -> None:
    folder = add_distribution(tmp_path, "a", version)
    if url:
        put(folder, "direct_url.json", json.dumps({"url": url}))
    assert repair._line(Lock((), lines), "a", folder) == wanted


def test_a_distribution_that_nothing_speaks_of(root: Path) -> None:
    with pytest.raises(
        TljhError, match=r"nothing says where lost came from\n  → install it again: pip install lost"
    ):
        repair.reinstall(builder(Uv(), root.parent / "cache"), LOCK, root, ["lost"])


def test_a_download_that_fails_changes_nothing(root: Path) -> None:
    (root / "bin/a").unlink()
    before = tree(root)
    uv = Uv()
    uv.error = CommandFailed(["uv"], 2, "error sending request for url (https://i.example.org/a/)")
    with pytest.raises(TljhError, match="the package index cannot be reached"):
        repair.reinstall(builder(uv, root.parent / "cache"), LOCK, root, ["a"])
    assert tree(root) == before
    assert [path.name for path in root.parent.iterdir()] == ["user-3"]


def test_what_a_killed_repair_left_is_removed(root: Path) -> None:
    (root.parent / "repair-abc" / "lib").mkdir(parents=True)
    repair.reinstall(builder(Uv(a={"files": FILES}), root.parent / "cache"), LOCK, root, ["a"])
    assert [path.name for path in root.parent.iterdir()] == ["user-3"]


@pytest.mark.parametrize("named", [False, True])
def test_a_cache_that_the_admin_names_stays(root: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    cache = root.parent / "cache"
    put(cache, "file", "x")
    if named:
        monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    else:
        monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    repair.reinstall(builder(Uv(a={"files": FILES}), cache), LOCK, root, ["a"])
    assert cache.exists() == named


# ---- what needs no package


def test_modes(root: Path) -> None:
    machine = FakeMachine()
    give_modes(machine, root, ["lib", f"{SITE}/a/b.py", "bin/a", "share"])
    assert machine.commands == [
        f"chmod a+rx,go-w -- {root}/lib",
        f"chmod a+rx,go-w -- {root}/bin/a",
        f"chmod a+r,go-w -- {root}/{SITE}/a/b.py {root}/share",
    ]
    machine.commands.clear()
    give_modes(machine, root, [f"x{number}" for number in range(1001)])
    assert len(machine.commands) == 3


def test_settings_that_were_changed_are_kept_beside(root: Path) -> None:
    put(root, "etc/jupyter/a.json", '{"mine": 1}')
    put(root, "etc/jupyter/empty.json", "")
    faults = [
        Fault("etc/jupyter/a.json", "a", "pip", "changed"),
        Fault("etc/jupyter/empty.json", "a", "pip", "changed"),
        Fault("bin/a", "a", "pip", "changed"),
        Fault("etc/jupyter/gone.json", "a", "pip", "missing"),
    ]
    keep_settings(FakeMachine(), root, faults)
    assert (root / "etc/jupyter/a.json.changed").read_text() == '{"mine": 1}'
    assert len(list(root.rglob("*.changed"))) == 1


# ---- the resource


def files(root: Path, damaged: Sequence[str], reinstalled: list[str]) -> Files:
    def reinstall(packages: Sequence[str]) -> None:
        reinstalled.extend(packages)
        if "a" in packages:
            put(root, f"{SITE}/a/b.py", "2")

    return Files(
        "files:user",
        path=root,
        look=lambda: verify(root),
        reinstall=reinstall,
        frame=lambda: [make_virtual(root)].clear(),
        damaged=damaged,
        stage="verify",
    )


def apply(machine: FakeMachine, resource: Files) -> tuple[list[dict[str, object]], BaseException | None]:
    store = store_in_memory()
    run = store.begin_run("x")
    step = Step(resource, Diff({}, dict(resource.desired()), {}))
    try:
        Applier(machine, Facts(machine), store, run).apply(step)
        error = None
    except TljhError as caught:
        error = caught
    return [{k: line[k] for k in ("key", "before", "after", "result")} for line in store.journal()], error


def test_mending_is_journaled_by_package(root: Path) -> None:
    put(root, f"{SITE}/a/b.py", "damaged")
    done: list[str] = []
    machine = FakeMachine()
    assert apply(machine, files(root, ["a"], done)) == (
        [{"key": "a", "before": "1 changed", "after": WHOLE, "result": "done"}],
        None,
    )
    assert done == ["a"]
    assert machine.ran("env -i") or machine.ran("python"), "its byte code is made, too"


def test_what_was_mended_meanwhile_is_left_alone(root: Path) -> None:
    done: list[str] = []
    assert apply(FakeMachine(), files(root, ["a"], done)) == ([], None)
    assert done == []


def test_what_is_still_wrong_is_said(root: Path) -> None:
    (root / SITE / "mine.py").unlink()
    journal, error = apply(FakeMachine(), files(root, ["mine"], []))
    assert str(error).startswith(
        "files:user is not as wanted after the change: mine is 1 missing and should be as installed\n"
    )
    assert [line["result"] for line in journal] == ["failed: not as wanted after the change"]


def test_only_the_packages_that_are_named(root: Path) -> None:
    put(root, f"{SITE}/a/b.py", "damaged")
    (root / SITE / "mine.py").unlink()
    done: list[str] = []
    resource = files(root, ["a"], done)
    assert apply(FakeMachine(), resource)[1] is None
    assert done == ["a"]
    assert [fault.package for fault in resource.seen] == ["mine"]


def test_a_mode_needs_no_package(root: Path) -> None:
    (root / SITE / "a/b.py").chmod(0o600)

    def chmod(words: list[str]) -> str:
        Path(words[-1]).chmod(0o644)
        return ""

    machine = FakeMachine(answers={"chmod": chmod})
    done: list[str] = []
    assert apply(machine, files(root, ["a"], done))[1] is None
    assert (done, len(machine.commands)) == ([], 1)


def test_what_makes_a_virtual_environment_is_made_again(root: Path) -> None:
    (root / "bin/python").unlink()
    (root / "pyvenv.cfg").unlink()
    assert apply(FakeMachine(), files(root, ["(environment)"], [])) == (
        [{"key": "(environment)", "before": "2 missing", "after": WHOLE, "result": "done"}],
        None,
    )


def test_byte_code_that_cannot_be_loaded_is_made_again(root: Path) -> None:
    byte_code = put(root, f"{SITE}/a/__pycache__/b.cpython-311.pyc", "cut")
    resource = files(root, ["(environment)"], [])
    there = Fault(str(byte_code.relative_to(root)), "", "", "changed")
    resource.look = lambda: [there] if byte_code.exists() else []
    machine = FakeMachine()
    assert apply(machine, resource)[1] is None
    assert len(machine.commands) == 1


def test_faults_in_words() -> None:
    faults = [
        Fault("y", "b", "pip", "changed"),
        Fault("z", "", "", "mode"),
        Fault("x", "a", "pip", "record"),
        Fault("y", "a", "pip", "missing"),
        Fault("z", "a", "pip", "missing"),
    ]
    found = by_package(faults)
    assert list(found) == ["a", "b", "(environment)"]
    assert in_words(found["a"]) == "2 missing, 1 unreadable record"
    assert in_words(found["(environment)"]) == "1 with a wrong mode"
    assert can_be_mended(faults[0])
    assert not can_be_mended(Fault(RECORD, "", "", "record"))


# ---- conda's packages


def test_what_an_admin_installed_with_conda_is_not_taken_away(tmp_path: Path) -> None:
    root = real(tmp_path)
    zlib = add_conda_package(root, "zlib")
    mine = add_conda_package(root, "mine", depends=["zlib"])
    replaced = add_conda_package(root, "replaced", "2.0=h0")
    old = add_conda_package(tmp_path / "elsewhere", "replaced", "1.0=h0")
    gone = add_conda_package(tmp_path / "elsewhere", "gone")
    ours = add_conda_package(tmp_path / "elsewhere", "ours")
    rows = (Requested("gone", "by hand", "conda"), Requested("ours", "core", "conda"))
    lock = Lock(rows, (), {}, (gone, ours, old, zlib))
    found = as_it_is(Facts(FakeMachine()), root, lock, [])
    assert {package.name: package.pin for package in found.conda} == {
        "mine": mine.pin,
        "ours": "1.0=h0",
        "replaced": replaced.pin,
        "zlib": zlib.pin,
    }
    assert next(package for package in found.conda if package.name == "mine").depends == ("zlib",)


def test_a_damaged_record_of_ours_is_no_matter(tmp_path: Path) -> None:
    zlib = add_conda_package(tmp_path, "zlib")
    put(tmp_path, "conda-meta/zlib-1.0-h0.json", "{")
    found = as_it_is(Facts(FakeMachine()), real(tmp_path), Lock((), (), {}, (zlib,)), ["conda:zlib"])
    assert found.conda == (zlib,)


def test_a_damaged_record_of_what_an_admin_installed(tmp_path: Path) -> None:
    put(tmp_path, "conda-meta/mine-1.0-h0.json", "{")
    with pytest.raises(TljhError) as caught:
        as_it_is(Facts(FakeMachine()), real(tmp_path), Lock((), ()), ["conda:mine"])
    assert str(caught.value) == (
        "the record of conda package mine, which was installed by hand, can't be read\n"
        "  → install it again: conda install --force-reinstall mine=1.0"
    )
