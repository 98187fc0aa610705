"""What a plugin states with ``tljh_resources`` and in its stages: things that should be on the machine.

Plugins import this module, and the process that asks them; the installer itself works with what ``as_dict`` gives.
What becomes of each kind on the machine is in ``tljh.stages.contributed.plugin_resources``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_UNIT_ENDINGS = ("service", "timer", "socket", "path", "target", "mount", "automount", "slice")


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"must be an absolute path, not {path!r}")
    if ".." in PurePosixPath(path).parts:
        raise ValueError(f"must not contain '..', as {path!r} does")
    clean = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
    if clean == "/" or not clean.isprintable():
        raise ValueError(f"must be the path of a file or folder, not {path!r}")
    return clean


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise ValueError(f'must be octal digits in a text, such as "0644", not {text!r}')
    return f"{int(text, 8):04o}"


def _owner(text: str) -> str:
    user, colon, _ = text.partition(":")
    if not user or not re.fullmatch(r"[\w.$-]+(:[\w.$-]+)?", text):
        raise ValueError(f'must be an account, or an account and a group, such as "root:root", not {text!r}')
    return text if colon else f"{user}:{user}"


def _account(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}\$?", name):
        raise ValueError(f"must be small letters, digits, - and _, at most 31, not {name!r}")
    return name


def _unit(name: str) -> str:
    if not re.fullmatch(r"[\w:.@\\-]+", name):
        raise ValueError(f"must be the name of a unit, such as 'example.service', not {name!r}")
    return name if name.rpartition(".")[2] in _UNIT_ENDINGS else f"{name}.service"


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, PurePosixPath) else value


AbsolutePath = Annotated[str, BeforeValidator(_as_text), AfterValidator(_absolute)]
Mode = Annotated[str, AfterValidator(_mode)]
Owner = Annotated[str, AfterValidator(_owner)]
AccountName = Annotated[str, AfterValidator(_account)]
Program = Annotated[list[str], Field(min_length=1)]


class Declared(BaseModel):
    """One thing that should be on the machine while its plugin is installed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """The declaration as plain data, with its kind."""
        return {"kind": self.kind, **self.model_dump(mode="json")}


class File(Declared):
    """A file with a content that is known. The folders above it are made where they are missing.

    Attributes:
        mode: Octal digits.
        owner: ``account:group``; they may be declared beside it.
    """

    kind: ClassVar[str] = "file"

    path: AbsolutePath
    content: str | bytes
    mode: Mode = "0644"
    owner: Owner = "root:root"

    def as_dict(self) -> dict[str, Any]:
        """The declaration as plain data; a content that is not text is ``{"base64": …}``."""
        data = self.content.encode() if isinstance(self.content, str) else self.content
        try:
            content: Any = data.decode()
        except UnicodeDecodeError:
            content = {"base64": base64.b64encode(data).decode()}
        rest = self.model_dump(mode="json", exclude={"content"})
        return {"kind": self.kind, **rest, "content": content}


class Folder(Declared):
    """A folder. It is removed with the plugin only when it is empty."""

    kind: ClassVar[str] = "folder"

    path: AbsolutePath
    mode: Mode = "0755"
    owner: Owner = "root:root"


class Link(Declared):
    """A symbolic link; ``target`` may be relative to it."""

    kind: ClassVar[str] = "link"

    path: AbsolutePath
    target: Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]


class Group(Declared):
    """A group of the system."""

    kind: ClassVar[str] = "group"

    name: AccountName


class Account(Declared):
    """An account of the system. One that is there already keeps its home and shell.

    Attributes:
        groups: Groups that it is to be a member of.
        home: ``None``: a system account has none, another ``/home/NAME``.
        system: Whether its number is one of the system's.
    """

    kind: ClassVar[str] = "account"

    name: AccountName
    groups: list[AccountName] = []
    home: AbsolutePath | None = None
    shell: AbsolutePath = "/usr/sbin/nologin"
    system: bool = True


class Unit(Declared):
    """A unit of systemd. On a host without systemd it is left out, with a warning.

    Attributes:
        name: ``.service`` is added where it has no kind.
        text: Of the unit file.
        enabled: Whether it is started at boot.
        started: Whether it runs; it is restarted when ``text`` changes.
    """

    kind: ClassVar[str] = "unit"

    name: Annotated[str, AfterValidator(_unit)]
    text: Annotated[str, Field(min_length=1)]
    enabled: bool = True
    started: bool = True

    @model_validator(mode="after")
    def _can_be_enabled(self) -> Unit:
        if self.enabled and not re.search(r"^\[Install\]\s*$", self.text, re.M):
            raise ValueError(
                f"{self.name} can't be enabled without an [Install] section: "
                "add one (WantedBy=multi-user.target), or say enabled=False"
            )
        if self.started and "@." in self.name:
            raise ValueError(f"{self.name} is a template, which can't be started: say started=False")
        return self


class Timer(Declared):
    """A command that runs now and then: a timer of systemd with its service.

    Attributes:
        name: Without a kind.
        command: Program (an absolute path) and arguments.
        calendar: When, as systemd.time(7) writes it: ``daily``, ``Mon *-*-* 03:00`` …
        user: The account that it runs as.
    """

    kind: ClassVar[str] = "timer"

    name: Annotated[str, Field(pattern=r"^[\w:\\-][\w:.\\-]*$")]
    command: Program
    calendar: Annotated[str, Field(pattern=r"^[^\n\r]+$")]
    user: AccountName = "root"

    @model_validator(mode="after")
    def _runs_a_program(self) -> Timer:
        if not self.command[0].startswith("/"):
            raise ValueError(f"command must begin with an absolute path, not {self.command[0]!r}")
        return self


class HubService(Declared):
    """A service of JupyterHub: one line of ``c.JupyterHub.services``.

    Attributes:
        url: Where it listens, such as ``http://127.0.0.1:9123``; then it is reached at ``/services/NAME/``.
        command: Started by the hub, when given.
        admin: Whether it may do everything.
        scopes: What it may do otherwise; it gets a role of its own with them.
        api_token: For a service that is started elsewhere; one that the hub starts gets one by itself.
        oauth_no_confirm: Whether users aren't asked if they trust it.
        oauth_client_allowed_scopes: What tokens of users that log in to it may do at most.
        display: Whether it is in the menu of the hub's pages.
    """

    kind: ClassVar[str] = "hub service"

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")]
    url: Annotated[str, Field(pattern=r"^https?://.+$")] | None = None
    command: Program | None = None
    admin: bool = False
    environment: dict[str, str] = {}
    api_token: str | None = Field(default=None, repr=False)
    scopes: list[str] = []
    cwd: AbsolutePath | None = None
    user: AccountName | None = None
    oauth_redirect_uri: str | None = None
    oauth_no_confirm: bool = False
    oauth_client_allowed_scopes: list[str] = []
    display: bool = True
    info: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_something(self) -> HubService:
        if self.command is None and self.api_token is None:
            raise ValueError(
                f"the hub service {self.name} needs a command that the hub starts, "
                "or the api_token of one that is started elsewhere"
            )
        if self.url is None and self.command is None and not self.scopes and not self.admin:
            raise ValueError(f"the hub service {self.name} may do nothing: give it scopes, a url or admin=True")
        return self


class Download(Declared):
    """A file that is fetched; it is put in place only when its content is the expected one.

    Attributes:
        url: ``https://…``, or ``file:///…``.
        sha256: Of the content, 64 hexadecimal digits.
    """

    kind: ClassVar[str] = "download"

    path: AbsolutePath
    url: Annotated[str, Field(pattern=r"^(https://[^/\s]+/\S*|file:///.+)$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$"), AfterValidator(str.lower)]
    mode: Mode = "0644"
    owner: Owner = "root:root"


KINDS: dict[str, type[Declared]] = {
    model.kind: model for model in (File, Folder, Link, Group, Account, Unit, Timer, HubService, Download)
}

Kind = Literal["file", "folder", "link", "group", "account", "unit", "timer", "hub service", "download"]


@dataclass(frozen=True)
class HealthCheck:
    """Something that ``tljh doctor`` looks at.

    Attributes:
        name: Short, in small letters, such as ``disk space``.
        sentence: What is so when all is well.
        check: Looks; ``True``, ``None`` or an empty text when all is well, otherwise ``False`` or what is wrong.
        fix: Mends it, where that can be done.
    """

    name: str
    sentence: str
    check: Callable[[], bool | str | None]
    fix: Callable[[], None] | None = None

    def problem(self) -> str:
        """What is wrong; empty when all is well."""
        found = self.check()
        if found is True or found is None:
            return ""
        return found if isinstance(found, str) else f"this is not so: {self.sentence}"
