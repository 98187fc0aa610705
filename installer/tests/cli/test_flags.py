"""TLJH's flags, as an admin and as bootstrap write them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tljh.cli.flags import (
    SECRETS_VARIABLE,
    TljhCommand,
    options_from,
    restart_without_passwords,
    spread,
    wishes,
)
from tljh.errors import UsageError
from tljh.stages.context import Options


@pytest.fixture(autouse=True)
def nothing_handed_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(SECRETS_VARIABLE, "")
    yield
    if os.environ[SECRETS_VARIABLE]:
        os.close(int(os.environ[SECRETS_VARIABLE]))


def parse(*words: str) -> Options:
    """What ``tljh install`` makes of these words."""
    found: list[Options] = []

    @click.command(cls=TljhCommand)
    @wishes
    def command(**flags: Any) -> None:
        flags.pop("verbose")
        found.append(options_from(**flags))

    result = CliRunner().invoke(command, list(words))
    if result.exception:
        raise result.exception
    return found[0]


def refused(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*words)
    return str(caught.value)


# ---- several values


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--admin a b -v", "--admin a --admin b -v"),
        ("--plugin x y --admin a b", "--plugin x --plugin y --admin a --admin b"),
        ("--admin a --admin b", "--admin a --admin b"),
        ("--admin=a --plugin x", "--admin=a --plugin x"),
        ("--user-requirements-txt-url u x", "--user-requirements-txt-url u x"),
        ("--admin", "--admin"),
        ("", ""),
    ],
)
def test_spread(words: str, expected: str) -> None:
    assert spread(words.split()) == expected.split()


@given(st.lists(st.sampled_from(["--admin", "--plugin", "-v", "a", "b:c"])))
def test_spreading_twice_changes_nothing_more(words: list[str]) -> None:
    once = spread(words)
    assert spread(once) == once
    assert [word for word in once if word in ("a", "b:c", "-v")] == [w for w in words if w in ("a", "b:c", "-v")]


def test_all_flags() -> None:
    found = parse("--admin", "ana", "bo:pass:word", "--plugin", "tljh-x==1", "tljh-y", "--admin", "cy", "-v")
    assert found.admins == ("ana", "bo", "cy")
    assert found.passwords == {"bo": "pass:word"}
    assert found.plugins == ("tljh-x==1", "tljh-y")
    assert found.requirements is None
    assert "pass:word" not in repr(found)


# ---- passwords


def test_passwords_leave_the_arguments() -> None:
    found = parse("--admin", "ana:hunter22", "bo", "--admin=cy:pass:word7", "--plugin", "x")
    assert found.argv == ("--admin", "ana", "bo", "--admin=cy", "--plugin", "x")
    assert found.passwords == {"ana": "hunter22", "cy": "pass:word7"}
    descriptor = int(os.environ[SECRETS_VARIABLE])
    assert os.get_inheritable(descriptor), "the next start of this program reads it"
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert json.loads(os.read(descriptor, 1000)) == {"admins": {"ana": "hunter22", "cy": "pass:word7"}}


def test_arguments_without_passwords_stay() -> None:
    assert parse("--admin", "ana", "-v").argv == ("--admin", "ana", "-v")
    assert not os.environ[SECRETS_VARIABLE]


def test_a_password_given_twice_leaves_the_arguments_twice() -> None:
    found = parse("--admin", "ana:first-one", "ana:second-one")
    assert found.passwords == {"ana": "second-one"}
    assert found.argv == ("--admin", "ana", "ana")


def test_a_password_that_the_file_replaces_leaves_the_arguments_too(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("ana:from-the-file\n")
    found = parse("--admin", "ana:from-the-flag", "--admin-password-file", str(file))
    assert found.passwords == {"ana": "from-the-file"}
    assert "from-the-flag" not in " ".join(found.argv)


def test_passwords_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.memfd_create("test", 0)
    os.write(descriptor, json.dumps({"admins": {"ana": "hunter22", "bo": "handed-over"}}).encode())
    monkeypatch.setenv(SECRETS_VARIABLE, str(descriptor))
    for _ in range(2):  # this program may start itself again
        found = parse("--admin", "ana")
        assert found.passwords == {"ana": "hunter22", "bo": "handed-over"}
        assert found.admins == ("ana", "bo")


@pytest.mark.parametrize("handed", ["nonsense", "9999", "text"])
def test_what_was_handed_over_can_not_be_read(handed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.memfd_create("test", 0)
    os.write(descriptor, b"{}")
    monkeypatch.setenv(SECRETS_VARIABLE, str(descriptor) if handed == "text" else handed)
    said = refused("--admin", "ana")
    monkeypatch.setenv(SECRETS_VARIABLE, str(descriptor))
    assert said.startswith("the passwords handed over in TLJH_SECRETS_FD cannot be read: ")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a,b", "a\tb"])
def test_what_is_no_name(name: str) -> None:
    assert refused(f"--admin={name}:hunter22") == (
        f"--admin {name!r} is not a user's name\n  → write --admin NAME or --admin NAME:PASSWORD"
    )


def test_a_password_that_the_hub_would_refuse() -> None:
    said = refused("--admin", "ana:short")
    assert said == (
        "--admin ana: Password too short! Please choose a password at least 7 characters long.\n"
        "  → choose another password"
    )
    assert "Password too long!" in refused("--admin", f"ana:{'ä' * 40}")


# ---- the password file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


@pytest.mark.parametrize(
    ("text", "admins", "passwords"),
    [
        ("hunter22\n", ["ana"], {"ana": "hunter22"}),
        ("has:colons:in it\n", ["ana"], {"ana": "has:colons:in it"}),
        ("ana:hunter22\n", ["ana"], {"ana": "hunter22"}),
        ("ana:hunter22\n\nbo:pass:word\n", ["ana", "bo"], {"ana": "hunter22", "bo": "pass:word"}),
        ("cy:hunter22\n", [], {"cy": "hunter22"}),
        ("ana:hunter22\ncy:hunter23", ["ana"], {"ana": "hunter22", "cy": "hunter23"}),
    ],
)
def test_the_password_file(file: Path, text: str, admins: list[str], passwords: dict[str, str]) -> None:
    file.write_text(text)
    words = [word for name in admins for word in ("--admin", name)]
    found = parse(*words, "--admin-password-file", str(file))
    assert found.passwords == passwords
    assert found.admins == tuple(dict.fromkeys([*admins, *passwords]))


@pytest.mark.parametrize(
    ("text", "admins"), [("", ["ana"]), ("hunter22", ["ana", "bo"]), ("a:hunter22\nx", ["a"])]
)
def test_a_password_file_that_does_not_fit(file: Path, text: str, admins: list[str]) -> None:
    file.write_text(text)
    said = refused("--admin", *admins, "--admin-password-file", str(file))
    assert said == (
        f"--admin-password-file: {file} holds a line without a colon\n"
        "  → write NAME:PASSWORD lines, or one password for the one --admin"
    )


def test_a_password_file_that_can_not_be_read(file: Path) -> None:
    todo = "  → name a file that can be read"
    said = refused("--admin", "ana", "--admin-password-file", str(file))
    assert said == f"--admin-password-file: {file} cannot be read: No such file or directory\n{todo}"
    file.write_bytes(b"\xff\xfe")
    said = refused("--admin", "ana", "--admin-password-file", str(file))
    assert said == f"--admin-password-file: {file} cannot be read: it is not text\n{todo}"


# ---- paths


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = Path.cwd()
    specs = ("./x", "..", "sub/x", "~/x", "/x/../y")
    assert parse("--plugin", *specs).plugins == (
        f"{here}/x",
        str(here.parent),
        f"{here}/sub/x",
        f"{tmp_path}/home/x",
        "/y",
    )
    editable = ("-e ./x", "--editable x", "--editable=~/x")
    words = [word for spec in editable for word in ("--plugin", spec)]
    assert parse(*words).plugins == (f"-e {here}/x", f"-e {here}/x", f"-e {tmp_path}/home/x")


@pytest.mark.parametrize(
    "spec",
    [
        "tljh-x",
        "tljh-x[a]==1.0",
        "git+https://host/x",
        "tljh-x @ file:///x.whl",
        "https://host/x.whl",
        "file:///x",
    ],
)
def test_what_is_no_path_stays(spec: str) -> None:
    assert parse("--plugin", spec).plugins == (spec,)


def test_a_requirements_file_is_a_path_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("--user-requirements-txt-url", "https://host/r.txt").requirements == "https://host/r.txt"
    assert parse("--user-requirements-txt-url", "./r.txt").requirements == f"{Path.cwd()}/r.txt"
    # it is recorded, and read again by runs that were started elsewhere
    assert parse("--user-requirements-txt-url", "r.txt").requirements == f"{Path.cwd()}/r.txt"


# ---- starting again


def test_started_again_when_ps_would_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    monkeypatch.setattr(sys, "argv", ["tljh", "--admin", "ana:hunter22"])
    restart_without_passwords(parse("--admin", "ana:hunter22"))
    (words,) = started
    assert words[0] == sys.executable
    assert words[-2:] == ["--admin", "ana"]
    assert "hunter22" not in " ".join(words)


def test_not_started_again_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execv", lambda program, words: pytest.fail("started again"))
    monkeypatch.setattr(sys, "argv", ["tljh", "install", "--admin", "ana"])
    restart_without_passwords(parse("--admin", "ana"))
    descriptor = os.memfd_create("test", 0)
    os.write(descriptor, json.dumps({"admins": {"ana": "hunter22"}}).encode())
    monkeypatch.setenv(SECRETS_VARIABLE, str(descriptor))
    restart_without_passwords(parse("--admin", "ana"))


# ---- how a run goes


def test_how_a_run_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    found = parse(
        *("--import-plugin", "mine.py", "--import-plugin", "package.module", "--without", "a", "--without", "b"),
        *("--exclude-stage", "data*", "--exclude-default-stages", "--run-hooks"),
    )
    assert found.import_plugins == (str(tmp_path / "mine.py"), "package.module")
    assert found.without == ("a", "b")
    assert found.exclude_stages == ("data*",)
    assert found.exclude_default_stages and found.run_hooks
    plain = parse()
    assert (plain.import_plugins, plain.without, plain.exclude_stages) == ((), (), ())
    assert not plain.exclude_default_stages and not plain.run_hooks


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gone.py", "--import-plugin: there is no file {}/gone.py"),
        ("./folder", "--import-plugin: there is no file {}/folder"),
        ("module:object", "--import-plugin: 'module:object' is neither a file nor a module"),
        ("", "--import-plugin: '' is neither a file nor a module"),
    ],
)
def test_nothing_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as caught:
        parse("--import-plugin", spec)
    assert str(caught.value) == (f"{words.format(tmp_path)}\n  → name a Python file, or a module (package.module)")
