"""Requirement lines, locks, and what is said when uv finds no solution; uv itself is a fake."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fakes import FakeMachine, FakeUv, recorded
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.environments.python_environment import Builder, _without_list
from tljh.resources.locks.lock import BY_HAND, RECORD, Lock, Requested, record_of


def make_builder(uv: object, overrides: tuple[str, ...] = ()) -> Builder:
    machine = FakeMachine(answers={"uv": uv})  # type: ignore[dict-item]
    python = Path("/usr/bin/python3")
    return Builder(machine, Path("uv"), python, Path("/cache"), overrides, say=lambda text: None)


def core(*lines: str) -> list[Requested]:
    return [Requested(line, "core") for line in lines]


# ---- lines


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Jupyter_Hub==5.2.1", "jupyter-hub"),
        ("jupyterlab[extra] >=4,<5", "jupyterlab"),
        ("ruamel.yaml; python_version > '3'", "ruamel-yaml"),
        ("tljh-x @ file:///opt/x.whl", "tljh-x"),
        ("tljh-x@git+https://host/x", "tljh-x"),
        ("git+https://host/x", ""),
        ("https://host/x-1.0.whl", ""),
        ("file:///opt/x.whl", ""),
        ("--extra-index-url https://host/simple", ""),
        ("-r other.txt", ""),
        ("./here", ""),
    ],
)
def test_the_name_that_a_line_asks_for(line: str, name: str) -> None:
    assert Requested(line, "core").name == name


def test_pins() -> None:
    lines = (
        "--extra-index-url https://host/simple",
        "jupyterhub==5.2.1",
        "Ruamel.Yaml==0.18 ; python_version > '3'",
        "tljh-x[extra] @ file:///opt/tljh_x-1.0-py3-none-any.whl",
        "uvicorn[standard]==0.30.0",
    )
    assert Lock((), lines).pins == {
        "jupyterhub": "==5.2.1",
        "ruamel-yaml": "==0.18",
        "tljh-x": "@ file:///opt/tljh_x-1.0-py3-none-any.whl",
        "uvicorn": "==0.30.0",
    }


def test_a_lock_of_a_record(tmp_path: Path) -> None:
    lock = Lock(tuple(core("a>=1")), ("a==1.0", "b @ file:///b.whl"), {"/b": {"digest": "sha256:1"}})
    assert Lock.of_record(json.loads(record_of(lock, {}))) == lock


def test_a_lock_of_bootstraps_record() -> None:
    record = {
        "format": 1,
        "requirements": [{"requirement": "the-littlest-jupyterhub @ file:///x.whl", "origin": "core"}],
        "packages": {"the-littlest-jupyterhub": "2.0", "jupyterhub": "5.2.1"},
        "sources": {},
    }
    lock = Lock.of_record(record)
    assert lock is not None
    assert lock.requested == (Requested("the-littlest-jupyterhub @ file:///x.whl", "core"),)
    assert lock.pins == {"the-littlest-jupyterhub": "==2.0", "jupyterhub": "==5.2.1"}
    assert Lock.of_record({}) is None


def test_whether_it_would_be_the_same_again() -> None:
    lock = Lock((*core("a", "b"), Requested("c==1", BY_HAND)), ("a==1", "b==1", "c==1"))
    assert lock.asks_for_the_same(core("a", "b"))
    assert lock.asks_for_the_same([Requested("a", "tljh-x"), *core("b")])
    assert not lock.asks_for_the_same(core("b", "a"))
    assert not lock.asks_for_the_same(core("a", "b", "d"))
    assert not lock.asks_for_the_same(core("a"))


# ---- solving and building


def test_resolve() -> None:
    uv = FakeUv({"a": "2.0", "b": "3.0"})
    builder = make_builder(uv, ("ours @ file:///ours.whl",))
    asked = [*core("--pre", "a"), Requested("b", "tljh-x"), Requested("c @ file:///c.whl", "tljh-x")]
    lock = builder.resolve(asked, {"a": "==1.0", "gone": "==9", "c": "@ file:///old.whl"})
    assert lock.lines == ("--pre", "a==1.0", "b==3.0", "c @ file:///c.whl")
    assert lock.requested == tuple(asked)
    assert uv.preferred == ["a==1.0", "gone==9"]
    assert uv.asked == ["--pre", "a", "b", "c @ file:///c.whl"]
    assert uv.overrides == ["ours @ file:///ours.whl", 'rfc3987-syntax ; python_version < "0"']


def test_what_somebody_names_is_not_needless() -> None:
    uv = FakeUv()
    builder = make_builder(uv)
    builder.resolve([*core("jsonschema"), Requested("RFC3987_syntax>=1", "tljh-x")], {})
    assert uv.overrides == []


def test_how_uv_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = make_builder(FakeUv())
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    builder.resolve(core("a"), {})
    machine = builder.machine
    assert isinstance(machine, FakeMachine)
    env = machine.options[-1]["env"]
    assert env["UV_CACHE_DIR"] == "/cache"
    assert env["UV_PYTHON_DOWNLOADS"] == "never"
    monkeypatch.setenv("UV_CACHE_DIR", "/mine")
    builder.resolve(core("a"), {})
    assert machine.options[-1]["env"]["UV_CACHE_DIR"] == "/mine"


def test_the_record_is_written_last(tmp_path: Path) -> None:
    uv = FakeUv()
    builder = make_builder(uv)
    lock = builder.resolve([*core("a==1.0"), Requested("b", "tljh-x")], {})
    path = tmp_path / "envs/user-1"
    builder.build(lock, path)
    record = json.loads((path / RECORD).read_text())
    assert record["packages"] == {"a": "1.0", "b": "1.0"}
    assert record["requirements"][1] == {"requirement": "b", "origin": "tljh-x", "manager": "pip"}
    assert Lock.of_record(record) == lock

    def killed(words: list[str]) -> str:
        if "sync" in words:
            assert not (path / RECORD).exists(), "what is being filled is not complete"
            raise KeyboardInterrupt
        return ""

    assert isinstance(builder.machine, FakeMachine)
    builder.machine.answers["uv"] = killed
    builder.machine.commands.clear()
    with pytest.raises(KeyboardInterrupt):
        builder.build(lock, path)
    assert not (path / RECORD).exists()
    assert not builder.machine.ran("uv venv"), "one that is there is filled"


def test_one_that_begins_with_another_is_a_copy_of_it(tmp_path: Path) -> None:
    builder = make_builder(FakeUv())
    builder.build(Lock((), ()), tmp_path / "b", base=tmp_path / "a")
    assert isinstance(builder.machine, FakeMachine)
    assert builder.machine.ran("cp") == [
        f"cp --archive --reflink=auto {tmp_path}/a {tmp_path}/.tljh-new-{os.getpid()}-b"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    assert not builder.machine.ran("uv venv")


def test_programs_that_pip_wrote_start_with_the_copys_interpreter(tmp_path: Path) -> None:
    base, copy = tmp_path / "user-1", tmp_path / "user-2"

    def cp(words: list[str]) -> str:
        folder = Path(words[-1]) / "bin"
        folder.mkdir(parents=True)
        (folder / "pips").write_text(f"#!{base}/bin/python\nprint('{base}/bin/')\n")
        (folder / "pips").chmod(0o755)
        (folder / "uvs").write_text(f"#!/bin/sh\n{base}/bin/python\n")
        return ""

    builder = make_builder(FakeUv())
    assert isinstance(builder.machine, FakeMachine)
    builder.machine.answers["cp"] = cp
    builder.build(Lock((), ()), copy, base=base)
    assert (copy / "bin" / "pips").read_text() == f"#!{copy}/bin/python\nprint('{base}/bin/')\n"
    assert (copy / "bin" / "pips").stat().st_mode & 0o777 == 0o755
    assert (copy / "bin" / "uvs").read_text() == f"#!/bin/sh\n{base}/bin/python\n"


def test_our_own_cache_is_linked_from_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    builder = make_builder(FakeUv())
    builder.cache = tmp_path / "cache"
    builder.cache.mkdir()
    builder.build(Lock((), ("a==1",)), tmp_path / "a")
    assert isinstance(builder.machine, FakeMachine)
    assert "--link-mode hardlink" in builder.machine.ran("uv pip sync")[0]
    assert not builder.cache.exists(), "an environment must share no file with anything"


def test_the_admins_cache_is_copied_from_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    builder = make_builder(FakeUv())
    builder.build(Lock((), ("a==1",)), tmp_path / "a")
    assert isinstance(builder.machine, FakeMachine)
    assert "--link-mode copy" in builder.machine.ran("uv pip sync")[0]
    assert tmp_path.exists()


def test_for_what_moves_the_index_is_asked_anew() -> None:
    builder = make_builder(FakeUv())
    builder.resolve(core("a", "b"), {"b": "==1.0"}, refresh={"a"})
    assert isinstance(builder.machine, FakeMachine)
    (asked,) = builder.machine.ran("uv pip compile")
    assert "--refresh-package=a" in asked and "--refresh-package=b" not in asked


def test_what_was_begun_is_gone_on_with(tmp_path: Path) -> None:
    builder = make_builder(FakeUv())
    path, lock = tmp_path / "user-1", Lock((), ("a==1.0",))
    builder.begin(lock, path)
    builder.build(lock, path)
    machine = builder.machine
    assert isinstance(machine, FakeMachine)
    (only,) = machine.ran("uv pip sync")
    assert "--no-build" in only, "a source package may need what apt has yet to bring"
    assert len(machine.ran("uv venv")) == 1
    assert (path / RECORD).exists()
    builder.forget()
    assert path.exists(), "what was built is nobody's to forget"


def test_what_was_begun_becomes_what_is_wanted_now(tmp_path: Path) -> None:
    builder = make_builder(FakeUv())
    path = tmp_path / "user-1"
    builder.begin(Lock((), ("a==1.0",)), path)
    builder.build(Lock((), ("a==2.0",)), path)
    machine = builder.machine
    assert isinstance(machine, FakeMachine)
    _, second = machine.ran("uv pip sync")
    assert "--no-build" not in second
    assert json.loads((path / RECORD).read_text())["packages"] == {"a": "2.0"}


def test_what_can_not_be_begun_is_built_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    builder = make_builder(FakeUv())
    path, lock = tmp_path / "user-1", Lock((), ("a==1.0",))
    machine = builder.machine
    assert isinstance(machine, FakeMachine)
    machine.answers["uv pip sync --no-build"] = Completed(1, "", "a needs to be built")
    with caplog.at_level("INFO"):
        builder.begin(lock, path)
        builder.build(lock, path)
    assert "user-1 could not be begun beforehand" in caplog.text
    assert json.loads((path / RECORD).read_text())["packages"] == {"a": "1.0"}


def test_what_was_begun_and_came_to_nothing_leaves_no_trace(tmp_path: Path) -> None:
    builder = make_builder(FakeUv())
    builder.begin(Lock((), ("a==1.0",)), tmp_path / "user-1")
    builder.forget()
    assert not (tmp_path / "user-1").exists()


def test_in_which_order_an_environment_is_made(tmp_path: Path) -> None:
    path, done = tmp_path / "a", []
    builder = make_builder(FakeUv())
    builder.reuse = [Path("/hub")]
    machine = builder.machine
    assert isinstance(machine, FakeMachine)

    def finish() -> None:
        assert machine.ran("uv pip sync")
        assert not machine.ran("env"), "what is added now is to be byte-compiled too"
        done.append("finish")

    def check() -> None:
        assert machine.ran("env")[0].endswith(f"{path} /hub")
        assert not (path / RECORD).exists()
        done.append("check")

    builder.build(Lock((), ("a==1",)), path, finish=finish, check=check)
    assert done == ["finish", "check"]
    assert (path / RECORD).exists()


def test_a_wheel_is_built_once(tmp_path: Path) -> None:
    builder = make_builder(FakeUv())
    folder = tmp_path / "wheels/abc"
    for _ in range(2):
        assert builder.wheel(Path("/src/tljh-x"), folder) == folder / "tljh_x-0.1-py3-none-any.whl"
    assert isinstance(builder.machine, FakeMachine)
    assert len(builder.machine.ran("uv build")) == 1


def test_uv_draws_without_a_line_for_each_package() -> None:
    drawn = (
        b"Installed 2 packages in 3ms\r\n \x1b[32m+\x1b[39m \x1b[1mnumpy\x1b[0m==2.0\r\n - pip==24.0\r\n bar ###"
    )
    assert _without_list(drawn) == b"Installed 2 packages in 3ms\r\n bar ###"


# ---- no solution, no network, no room


def explained(recording: str, *asked: Requested) -> str:
    builder = make_builder(Completed(1, "", recorded(f"resources/{recording}")))
    with pytest.raises(TljhError) as caught:
        builder.resolve([*core("jupyterhub==5"), *asked], {})
    return str(caught.value)


def test_a_package_for_another_python() -> None:
    said = explained("uv-other-python", Requested("tljh-x @ file:///srv/tljh_x-1.0-py3-none-any.whl", "--plugin"))
    assert said.startswith("what is asked for needs another version of Python than this machine's: --plugin asks")
    assert "does not satisfy Python>=4 and tljh-x==1.0" in said
    assert "install a version of it for this Python, or leave it out" in said


def test_who_asked_for_what_can_not_be_had_together() -> None:
    said = explained(
        "uv-no-solution",
        Requested("requests>=2.31", "tljh-x"),
        Requested("urllib3<1.20", "--user-requirements-txt-url"),
        Requested("numpy", "tljh-y"),
    )
    first, *others = said.splitlines()
    assert first == (
        "the packages asked for cannot be installed together: tljh-x asks for requests>=2.31; "
        "--user-requirements-txt-url asks for urllib3<1.20"
    )
    assert any("your requirements are unsatisfiable" in line for line in others)
    assert others[-1] == (
        "  → nothing has been changed; correct what asks for it, then run the same command again"
    )


def test_a_package_that_is_not_there() -> None:
    said = explained("uv-no-such-package", Requested("NoSuchPackage_xyzzy.abc==1.0", "tljh-x"))
    assert said.startswith("the package index does not have a package that is asked for: tljh-x asks for NoSuch")


def test_an_index_that_can_not_be_reached() -> None:
    said = explained("uv-unreachable")
    assert said.startswith("the package index cannot be reached\n")
    assert "Connection refused" in said
    assert "(PIP_INDEX_URL, UV_DEFAULT_INDEX, proxies)" in said


def test_a_package_whose_name_sounds_like_the_network() -> None:
    said = explained("uv-no-such-version", Requested("mysql-connector-python==99.0", "tljh-sql"))
    assert said.startswith(
        "the packages asked for cannot be installed together: tljh-sql asks for mysql-connector-python==99.0\n"
    )


@pytest.mark.parametrize(
    ("line", "said_by_uv"),
    [
        (
            "cow say",
            "Couldn't parse requirement in `r.in` at position 139\n  cause: Expected one of `@`\n    cow say",
        ),
        (
            "-r /etc/hosts",
            "Error parsing included file in `r.in` at position 9\n  cause: Unexpected '1': /etc/hosts:1",
        ),
    ],
)
def test_a_line_that_pip_does_not_understand_is_somebodys(line: str, said_by_uv: str) -> None:
    builder = make_builder(Completed(1, "", f"error: {said_by_uv}\n"))
    with pytest.raises(TljhError) as caught:
        builder.resolve([*core("jupyterhub==5"), Requested("numpy", "tljh-y"), Requested(line, "tljh-x")], {})
    first = str(caught.value).splitlines()[0]
    assert first == f"a requirement is not written as pip wants it: tljh-x asks for {line}"


def test_a_repository_that_can_not_be_reached() -> None:
    said = (
        "error: Git operation failed\n  cause: fatal: unable to access 'https://x/': Could not resolve host: x\n"
    )
    builder = make_builder(Completed(1, "", said))
    with pytest.raises(TljhError) as caught:
        builder.resolve([*core("jupyterhub==5"), Requested("git+https://x/", "--plugin")], {})
    text = str(caught.value)
    assert text.startswith("the git repository cannot be reached") and "--plugin asks for git+https://x/" in text


def test_a_project_that_can_not_be_built_is_named(tmp_path: Path) -> None:
    builder = make_builder(Completed(1, "", "error: Failed to build `/srv/x`\n"))
    with pytest.raises(TljhError, match=r"^a package could not be built from its source: /srv/x\n"):
        builder.wheel(Path("/srv/x"), tmp_path / "wheels")


def test_nobody_is_blamed_for_another_package_with_a_longer_name() -> None:
    said = explained(
        "uv-no-such-version",
        Requested("connector", "tljh-x"),
        Requested("mysql-connector-python==99.0", "tljh-sql"),
    )
    assert "tljh-x" not in said


def test_an_environment_for_which_there_is_no_room(tmp_path: Path) -> None:
    said = "error: Failed to install: numpy-2.0.whl\n  cause: No space left on device (os error 28)\n"
    builder = make_builder(lambda words: Completed(2, "", said) if "sync" in words else "")
    with pytest.raises(TljhError) as caught:
        builder.build(Lock(tuple(core("numpy")), ("numpy==2.0",)), tmp_path / "e")
    text = str(caught.value)
    assert text.startswith("there is no room left on the disk\n")
    assert "No space left on device" in text
    assert text.endswith("  → make room, then run the same command again")
