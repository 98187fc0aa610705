from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import pytest
from firstuseauthenticator import firstuseauthenticator
from jupyterhub.handlers import BaseHandler, LoginHandler
from nativeauthenticator import handlers as native_handlers
from nativeauthenticator import nativeauthenticator
from tljh.hub import authenticators, passwords

PLACES = {
    firstuseauthenticator.CustomLoginHandler: ("_render",),
    firstuseauthenticator.FirstUseAuthenticator: ("authenticate", "reset_password"),
    firstuseauthenticator.ResetPasswordHandler: ("post",),
    native_handlers.LoginHandler: ("render_template", "statsd"),
    nativeauthenticator.NativeAuthenticator: ("is_password_strong",),
    nativeauthenticator.UserInfo: ("is_valid_password",),
}


@pytest.fixture(autouse=True)
def unmended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Mends are undone after each test; hashes are cheap."""
    before = [(cls, name, cls.__dict__.get(name)) for cls, names in PLACES.items() for name in names]
    salt = bcrypt.gensalt
    monkeypatch.setattr(passwords.bcrypt, "gensalt", lambda rounds=4: salt(4))
    yield
    for cls, name, value in before:
        if value is not None:
            setattr(cls, name, value)
        elif name in cls.__dict__:
            delattr(cls, name)


class Log:
    def error(self, *words: object) -> None:
        pass

    info = warning = error


def first_use(path: Path, **more: Any) -> Any:
    """As much of an authenticator as its methods look at."""
    values = {"create_users": True, "min_password_length": 7, "_user_exists": lambda name: False, **more}
    return SimpleNamespace(
        dbm_path=str(path / "passwords.dbm"), normalize_username=lambda name: name.lower(), log=Log(), **values
    )


def login(authenticator: Any, username: str, password: str) -> tuple[str | None, str]:
    handler = SimpleNamespace(custom_login_error="")
    data = {"username": username, "password": password}
    function = firstuseauthenticator.FirstUseAuthenticator.authenticate
    return asyncio.run(function(authenticator, handler, data)), handler.custom_login_error


def test_a_mend_is_made_where_the_fault_is_and_once() -> None:
    assert len(authenticators.mend_first_use(firstuseauthenticator)) == 2
    assert authenticators.mend_first_use(firstuseauthenticator) == []
    assert len(authenticators.mend_native(native_handlers, nativeauthenticator)) >= 2
    assert authenticators.mend_native(native_handlers, nativeauthenticator) == []


@pytest.mark.parametrize(
    ("configured", "mended"),
    [
        ("firstuseauthenticator.FirstUseAuthenticator", True),
        (firstuseauthenticator.FirstUseAuthenticator, True),
        ("tmpauthenticator.TmpAuthenticator", False),
        ("dummy", False),
        ("no.such.Authenticator", False),
        (None, False),
    ],
)
def test_only_what_is_configured_is_mended(configured: Any, mended: bool) -> None:
    assert bool(authenticators.mend_authenticator(configured)) is mended


def test_a_subclass_is_mended_too() -> None:
    class Mine(firstuseauthenticator.FirstUseAuthenticator):  # type: ignore[misc]
        pass

    assert authenticators.mend_authenticator(Mine)


def test_the_error_page_keeps_what_the_hub_hands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    rendered: list[Any] = []
    monkeypatch.setattr(LoginHandler, "_render", lambda self, *args, **more: rendered.append((args, more)))
    page = firstuseauthenticator.CustomLoginHandler._render
    page(SimpleNamespace(custom_login_error=""), login_error="Invalid", username="alice", sync=True)
    page(SimpleNamespace(custom_login_error="Too short"), login_error="Invalid", username="alice")
    assert rendered == [(("Invalid", "alice"), {"sync": True}), (("Too short", "alice"), {})]


def test_the_first_password_is_kept_and_the_next_compared(tmp_path: Path) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    one = first_use(tmp_path)
    assert login(one, "Alice", "wonderland") == ("alice", "")
    assert login(one, "alice", "wonderland") == ("alice", "")
    assert login(one, "alice", "something else") == (None, "")


def test_a_bad_first_password_is_explained_on_the_page(tmp_path: Path) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    one = first_use(tmp_path)
    user, said = login(one, "alice", "x" * 73)
    assert user is None
    assert "at most 72 bytes" in said
    assert "at least 7 characters" in login(one, "alice", "short")[1]
    assert not passwords.password_is_set(Path(one.dbm_path), "alice")


def test_strangers_stay_out_where_users_are_not_created(tmp_path: Path) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    one = first_use(tmp_path, create_users=False)
    assert login(one, "stranger", "wonderland") == (None, "")
    assert not passwords.password_is_set(Path(one.dbm_path), "stranger")


def test_hashing_is_done_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    threads: list[str] = []
    real = passwords.hash_password

    def hash_password(password: str) -> bytes:
        threads.append(threading.current_thread().name)
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", hash_password)
    login(first_use(tmp_path), "alice", "wonderland")
    assert threads[0].startswith("password")


def test_of_two_first_logins_the_later_must_know_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    one = first_use(tmp_path)
    real = passwords.hash_password

    def meanwhile(password: str) -> bytes:
        passwords.store_hash(Path(one.dbm_path), "alice", real("the first one"))
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", meanwhile)
    assert login(one, "alice", "the second one") == (None, "")
    assert passwords.check_password(Path(one.dbm_path), "alice", "the first one")


def test_a_reset_has_the_same_rules(tmp_path: Path) -> None:
    authenticators.mend_first_use(firstuseauthenticator)
    one = first_use(tmp_path)
    reset = firstuseauthenticator.FirstUseAuthenticator.reset_password
    assert "at most 72 bytes" in reset(one, "alice", "x" * 73)
    assert "success" in reset(one, "alice", "wonderland")
    assert passwords.check_password(Path(one.dbm_path), "alice", "wonderland")


def test_natives_error_pages_are_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseHandler, "render_template", lambda self, name, **more: f"hub's {name}")
    authenticators.mend_native(native_handlers, nativeauthenticator)
    assert native_handlers.LoginHandler.render_template(SimpleNamespace(), "error.html", sync=True) == (
        "hub's error.html"
    )
    assert native_handlers.LoginHandler.statsd.timer("login").start().stop(send=False) is None


def test_natives_long_passwords_are_weak_or_cut() -> None:
    authenticators.mend_native(native_handlers, nativeauthenticator)
    one = SimpleNamespace(minimum_password_length=1, check_common_password=False)
    strong = nativeauthenticator.NativeAuthenticator.is_password_strong
    assert strong(one, "x" * 72)
    assert not strong(one, "x" * 73)
    row = SimpleNamespace(password=bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)))
    assert nativeauthenticator.UserInfo.is_valid_password(row, "x" * 80)


def test_a_version_that_has_mended_it_is_left_alone() -> None:
    class Handler(LoginHandler):  # type: ignore[misc]
        def _render(self, login_error: Any = None, username: Any = None, **more: Any) -> None: ...

    class Authenticator:
        async def authenticate(self, handler: Any, data: Any) -> None:
            await asyncio.to_thread(bcrypt.checkpw, b"", b"")

    module: Any = SimpleNamespace(CustomLoginHandler=Handler, FirstUseAuthenticator=Authenticator)
    assert authenticators.mend_first_use(module) == []
    assert "more" in inspect.signature(Handler._render).parameters
