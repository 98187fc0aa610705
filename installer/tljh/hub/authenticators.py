"""Faults of published authenticators on current versions of JupyterHub and bcrypt, mended where they are.

A mend is applied only when its authenticator (or a subclass) is configured, and only where a look at the code
shows the fault: on a version that has mended it, nothing is touched. The classes are changed in place, because
``c.JupyterHub.authenticator_class`` must stay what the admin wrote: plugins compare it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from tljh.hub import passwords

log = logging.getLogger("tljh.hub")
T = TypeVar("T")

# the hub's loop must serve others while a password is hashed; a pool of its own, so that nothing slow is before it
_hashing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")


def mend_authenticator(configured: Any) -> list[str]:
    """Mend what is known to be wrong with the configured authenticator.

    Args:
        configured: The value of ``c.JupyterHub.authenticator_class``: a class, its path, or its registered name.

    Returns:
        What was mended, for the log.
    """
    families = {cls.__module__.partition(".")[0] for cls in _resolve(configured).__mro__}
    done: list[str] = []
    if "firstuseauthenticator" in families:
        from firstuseauthenticator import firstuseauthenticator

        done += mend_first_use(firstuseauthenticator)
    if "nativeauthenticator" in families:
        from nativeauthenticator import handlers, nativeauthenticator

        done += mend_native(handlers, nativeauthenticator)
    for sentence in done:
        log.info("mended: %s", sentence)
    return done


def _resolve(configured: Any) -> type:
    """The authenticator's class; ``object`` where it can't be told, which JupyterHub will then report."""
    if isinstance(configured, type):
        return configured
    if not isinstance(configured, str):
        return object
    from importlib.metadata import entry_points

    from traitlets.utils.importstring import import_item

    try:
        registered = {entry.name.lower(): entry for entry in entry_points(group="jupyterhub.authenticators")}
        entry = registered.get(configured.lower())
        found = entry.load() if entry is not None else import_item(configured)
    except Exception as error:
        log.debug("the authenticator %r cannot be looked at: %s", configured, error)
        return object
    return found if isinstance(found, type) else object


def in_thread(function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """Run something that only computes on the threads for hashing."""
    return asyncio.get_running_loop().run_in_executor(_hashing, function, *args)


# ---- FirstUseAuthenticator


def mend_first_use(module: ModuleType) -> list[str]:
    """Mend FirstUseAuthenticator 1.1.1.

    Args:
        module: ``firstuseauthenticator.firstuseauthenticator``.

    Returns:
        What was mended.
    """
    done = []
    if _render_lacks_arguments(module.CustomLoginHandler):
        module.CustomLoginHandler._render = _first_use_render
        done.append("FirstUseAuthenticator: the error page of a failed login was empty")
    if _hashes_on_the_loop(module.FirstUseAuthenticator.authenticate):
        module.FirstUseAuthenticator.authenticate = _first_use_authenticate
        module.FirstUseAuthenticator.reset_password = _first_use_reset_password
        module.ResetPasswordHandler.post = _first_use_reset_post
        done.append("FirstUseAuthenticator: hashing a password stopped the hub; a long one broke the login")
    return done


def _render_lacks_arguments(handler: type) -> bool:
    """Whether a login handler renders its page without the further arguments that its base class hands on."""

    def takes_any(function: Any) -> bool:
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        return inspect.Parameter.VAR_KEYWORD in kinds

    own = handler.__dict__.get("_render")
    base = getattr(super(handler, handler), "_render", None)
    return own is not None and base is not None and takes_any(base) and not takes_any(own)


def _hashes_on_the_loop(function: Any) -> bool:
    """Whether a coroutine calls bcrypt itself, rather than through a thread."""
    names = set(inspect.unwrap(function).__code__.co_names)
    return "bcrypt" in names and not names & {"to_thread", "run_in_executor", "submit"}


def _first_use_render(self: Any, login_error: Any = None, username: Any = None, **more: Any) -> Any:
    from jupyterhub.handlers import LoginHandler

    return LoginHandler._render(self, self.custom_login_error or login_error, username, **more)


async def _first_use_authenticate(self: Any, handler: Any, data: Any) -> str | None:
    """As FirstUseAuthenticator's; the database is used on the loop, hashes are computed on threads."""
    username: str = self.normalize_username(data["username"])
    password: str = data["password"]
    if not self.create_users and not self._user_exists(username):
        return None
    database = Path(self.dbm_path)
    stored = passwords.stored_hash(database, username)
    if stored is None:
        fault = passwords.password_fault(password, self.min_password_length)
        if fault is not None:
            handler.custom_login_error = fault
            self.log.error("%s: %s", username, fault)
            return None
        hashed = await in_thread(passwords.hash_password, password)
        # while that was computed, somebody else may have been the first
        stored = passwords.stored_hash(database, username)
        if stored is None:
            passwords.store_hash(database, username, hashed)
            return username
    return username if await in_thread(passwords.matches, password, stored) else None


def _first_use_reset_password(self: Any, username: str, new_password: str) -> str:
    fault = passwords.password_fault(new_password, self.min_password_length)
    if fault is not None:
        self.log.error("%s: %s", username, fault)
        return fault
    return _store_reset(self, username, passwords.hash_password(new_password))


def _store_reset(authenticator: Any, username: str, hashed: bytes) -> str:
    passwords.store_hash(Path(authenticator.dbm_path), username, hashed)
    said = "Your password has been changed successfully!"
    authenticator.log.info("%s: %s", username, said)
    return said


async def _first_use_reset_post(self: Any) -> None:
    """The form of ``/auth/change-password``; as FirstUseAuthenticator's, the hash computed on a thread."""
    user = self.current_user
    if user is None:  # what tornado's `authenticated` does for a POST
        from tornado import web

        raise web.HTTPError(403)
    self._register_template_path()
    password = self.get_body_argument("password", strip=False)
    said = passwords.password_fault(password, self.authenticator.min_password_length)
    alert = "danger"
    if said is None:
        hashed = await in_thread(passwords.hash_password, password)
        said, alert = _store_reset(self.authenticator, user.name, hashed), "success"
    page = await self.render_template("reset.html", result=True, alert=alert, result_message=said)
    self.finish(page)


# ---- NativeAuthenticator


def mend_native(handlers: ModuleType, module: ModuleType) -> list[str]:
    """Mend NativeAuthenticator 1.3.0.

    Args:
        handlers: ``nativeauthenticator.handlers``.
        module: ``nativeauthenticator.nativeauthenticator``.

    Returns:
        What was mended.
    """
    done = []
    login = handlers.LoginHandler
    if "statsd" in login.post.__code__.co_names and not hasattr(login, "statsd"):
        login.statsd = _NoStatistics()
        done.append("NativeAuthenticator: every login failed, because JupyterHub has no statsd any more")
    if _render_lacks_arguments(login) and not hasattr(login.render_template, "__wrapped__"):
        login.render_template = _native_render_template(login.render_template)
        done.append("NativeAuthenticator: the error page of a failed login was empty")
    if not _refuses_long_passwords(module.NativeAuthenticator.is_password_strong):
        _mend_native_passwords(module)
        done.append("NativeAuthenticator: a long password broke the sign-up and the login")
    return done


class _NoStatistics:
    """Stands where JupyterHub's statsd client was: takes times and keeps none."""

    ms = 0

    def timer(self, *args: object, **kwargs: object) -> _NoStatistics:
        return self

    def start(self) -> _NoStatistics:
        return self

    def stop(self, *args: object, **kwargs: object) -> None:
        return None


def _native_render_template(own: Callable[..., Any]) -> Callable[..., Any]:
    """Render error pages as every other page of the hub does, not as a login form that can't take them."""

    @functools.wraps(own)
    def render_template(self: Any, name: str, **namespace: Any) -> Any:
        if name.startswith("native-"):
            return own(self, name, **namespace)
        from jupyterhub.handlers import BaseHandler

        return BaseHandler.render_template(self, name, **namespace)

    return render_template


def _refuses_long_passwords(function: Any) -> bool:
    return hasattr(function, "__wrapped__") or "MAX_BYTES" in function.__code__.co_names


def _mend_native_passwords(module: ModuleType) -> None:
    """A password beyond bcrypt's 72 bytes is not strong for a new one, and cut for one from earlier days."""
    own_rule = module.NativeAuthenticator.is_password_strong
    user_info = module.UserInfo
    own_check = user_info.is_valid_password

    def is_password_strong(self: Any, password: str) -> bool:
        fits = len(password.encode("utf-8")) <= passwords.MAX_BYTES
        return fits and bool(own_rule(self, password))

    def is_valid_password(self: Any, password: str) -> bool:
        if len(password.encode("utf-8")) <= passwords.MAX_BYTES:
            return bool(own_check(self, password))
        return passwords.matches(password, self.password)

    is_password_strong.__wrapped__ = own_rule  # type: ignore[attr-defined]
    module.NativeAuthenticator.is_password_strong = is_password_strong
    user_info.is_valid_password = is_valid_password
