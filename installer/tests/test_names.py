"""Names of users, whatever they are, end in a safe account or in a refusal."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath

import pytest
from fakes import FakeMachine
from hypothesis import example, given
from hypothesis import strategies as st
from tljh import user
from tljh.errors import TljhError
from tljh.hub.accounts import PREFIX, system_name
from tljh.normalize import LONGEST, generate_system_username, name_fault

AWKWARD = st.text(alphabet="aZ09._-@+/\\:;,|&$`'\"(){}[]<>*?!~#%^= \t\n\0é漢\ud800\u202e", max_size=300)
ANY = st.one_of(st.text(max_size=300), AWKWARD)


@given(ANY)
@example("..")
@example("root")
@example("jupyter-root")
@example("$(reboot)")
@example("x" * 300)
@example("-rf")
@example("{USERID}")
@example("a b")
@example("ADA")
@example("é" * 26)
@example("\ud800")
def test_a_name_gives_a_safe_account_or_none(name: str) -> None:
    account = system_name(name)
    assert account.startswith(PREFIX), "nobody gets root's account, or the system's"
    assert len(account) <= 32
    if name_fault(account):
        return
    assert len(account.encode()) <= LONGEST
    assert shlex.quote(account) == account or not account.isascii(), "a shell takes it for one word"
    assert not re.search(r"[\s:/,;|&$`'\"(){}\[\]<>*?!~#%^=\\]", account)
    assert str(PurePosixPath("/home") / account) == f"/home/{account}"
    assert PurePosixPath(f"/home/{account}").parent == PurePosixPath("/home")
    assert account not in (".", "..")
    assert not account.startswith(("-", "."))


@given(ANY)
def test_a_refusal_says_why(name: str) -> None:
    fault = name_fault(name)
    assert fault == "" or fault.startswith("it ")


@given(st.text(max_size=60), st.text(max_size=60))
def test_two_names_have_two_accounts(one: str, other: str) -> None:
    if one != other:
        assert generate_system_username(PREFIX + one) != generate_system_username(PREFIX + other)


@pytest.mark.parametrize(
    "name", ["ada", "ada.l", "ada_l-2", "ada@example.org", "ada+x@example.org", "émile", "ADA"]
)
def test_ordinary_names_are_taken(name: str) -> None:
    assert name_fault(system_name(name)) == ""


@pytest.mark.parametrize(
    ("account", "why"),
    [
        ("jupyter-$(reboot)", "it holds '$', '(', ')'"),
        ("jupyter-a b", "it holds ' '"),
        ("jupyter-../x", "it holds '/'"),
        ("é" * 20, "it takes more than 32 bytes"),
        ("-rf", "it does not begin with a letter or a digit"),
        ("", "it does not begin with a letter or a digit"),
    ],
)
def test_what_is_refused_and_why(account: str, why: str) -> None:
    assert name_fault(account) == why


@pytest.mark.parametrize("name", ["jupyter-$(touch x)", "jupyter-a\nb:x:0:0", "jupyter-a:b"])
def test_nothing_is_started_for_a_refused_name(
    name: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = FakeMachine(tmp_path)  # type: ignore[arg-type]
    monkeypatch.setattr(user, "Machine", lambda: machine)
    monkeypatch.setattr(user.passwd, "account", lambda username: None)
    with pytest.raises(TljhError) as caught:
        user.ensure_user(name)
    assert f"no account is made of the name {name!r}: it holds" in str(caught.value)
    assert "let this user have a name of letters, digits and . _ - @ +" in str(caught.value)
    assert machine.commands == []


def test_an_account_that_is_there_is_taken_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user.passwd, "account", lambda username: object())
    user.ensure_user("jupyter-made by an admin")
