from __future__ import annotations

import dbm
from pathlib import Path

import bcrypt
import pytest
from tljh.errors import TljhError
from tljh.hub import passwords


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = bcrypt.gensalt
    monkeypatch.setattr(passwords.bcrypt, "gensalt", lambda rounds=4: salt(4))


def test_a_password_is_set_checked_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "passwords.dbm"
    assert not passwords.password_is_set(path, "alice")
    assert not list(tmp_path.iterdir())
    passwords.set_password(path, "alice", "wonder:land")
    assert passwords.password_is_set(path, "alice")
    assert not passwords.password_is_set(path, "bob")
    assert passwords.check_password(path, "alice", "wonder:land")
    assert not passwords.check_password(path, "alice", "something else")
    assert not passwords.check_password(path, "bob", "wonder:land")
    passwords.set_password(path, "alice", "another one")
    assert passwords.check_password(path, "alice", "another one")


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    passwords.set_password(tmp_path / "passwords.dbm", "alice", "wonderland")
    modes = {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    assert modes == {"0o600"}


def test_the_format_is_firstuseauthenticators(tmp_path: Path) -> None:
    path = tmp_path / "passwords.dbm"
    passwords.set_password(path, "zoë", "wonderland")
    with dbm.open(str(path), "r") as database:
        stored = database["zoë".encode()]
    assert bcrypt.hashpw(b"wonderland", stored) == stored


def test_the_rules_have_words() -> None:
    assert passwords.password_fault("1234567") is None
    assert "too short! Please choose a password at least 7" in str(passwords.password_fault("123456"))
    assert passwords.password_fault("", minimum=0) is None
    assert passwords.password_fault("x" * 72) is None
    assert "at most 72 bytes" in str(passwords.password_fault("x" * 73))
    assert "at most 72 bytes" in str(passwords.password_fault("é" * 37))


def test_a_password_that_breaks_a_rule_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "passwords.dbm"
    with pytest.raises(TljhError, match=r"the password for alice cannot be used: .*too long"):
        passwords.set_password(path, "alice", "x" * 73)
    assert not passwords.password_is_set(path, "alice")


def test_a_hash_from_before_bcrypt_5_of_a_long_password_still_matches() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(rounds=4))  # what bcrypt 4 made of 80
    assert passwords.matches("x" * 80, stored)
    assert not passwords.matches("y" * 80, stored)


def test_a_database_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "passwords.dbm"
    path.write_bytes(b"no database at all")
    with pytest.raises(TljhError, match=r"the password database .* cannot be opened"):
        passwords.password_is_set(path, "alice")


# ---- all of them, for a backup


def test_every_password_there_and_back(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "passwords.dbm", tmp_path / "two" / "passwords.dbm"
    one.parent.mkdir()
    two.parent.mkdir()
    assert passwords.every_hash(one) == {}
    passwords.set_password(one, "zoë", "wonderland")
    passwords.set_password(one, "bob", "something")
    passwords.set_password(two, "gone", "something")
    (two.parent / "passwords.dbm.old-kind").write_text("of another kind of database")
    passwords.write_anew(two, passwords.every_hash(one))
    assert passwords.every_hash(two) == passwords.every_hash(one)
    assert passwords.check_password(two, "zoë", "wonderland")
    assert not passwords.password_is_set(two, "gone")
    assert {oct(path.stat().st_mode & 0o777) for path in two.parent.iterdir()} == {"0o600"}
    assert "passwords.dbm.old-kind" not in [path.name for path in two.parent.iterdir()]
