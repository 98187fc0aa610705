"""Every setting of config.yaml, declared once: key, type, default and one sentence.

The reference page, tab completion, the validation and the defaults all come from here. How a file is checked
against it is in ``validation.py``; what a setting does to JupyterHub is in ``tljh.configurer``.

Importing this module imports pydantic, which is slow: import it inside the function that needs it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from tljh.settings import environment_values


def _no_hint(value: Any) -> str:
    return ""


@dataclass(frozen=True)
class Expected:
    """What an admin is told that a value must be: "a number", "a list of text" …

    Attributes:
        words: What any value of the setting is.
        hint: What to do about this wrong value, where more can be said than ``words``; else empty.
    """

    words: str
    hint: Callable[[Any], str] = _no_hint


def _memory(value: int | float | str) -> int | float | str:
    # JupyterHub's ByteSpecification: a number, or a number and one of K, M, G, T (units of 1024)
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?[KMGT]", value):
        raise ValueError("not an amount of memory")
    if not isinstance(value, str) and value <= 0:
        raise ValueError("not an amount of memory")
    return value


Text = Annotated[str, Expected("text")]
Flag = Annotated[bool, Expected("true or false")]
Texts = Annotated[list[str], Expected("a list of text")]
Port = Annotated[int, Field(ge=1, le=65535), Expected("a port number from 1 to 65535")]
Seconds = Annotated[int, Field(ge=0), Expected("a number of seconds")]
Count = Annotated[int, Field(ge=1), Expected("a number above 0")]
Memory = Annotated[
    int | float | str, AfterValidator(_memory), Expected('text like "1G", a number of bytes, or nothing')
]
Cores = Annotated[float, Field(gt=0), Expected("a number of cores above 0, or nothing")]
Path = Annotated[str, Expected("the path of a file")]
Groups = Annotated[dict[str, list[str]], Expected("group names, each with a list of user names")]
Free = Annotated[dict[str, Any], Expected("a mapping")]
PythonVersion = Annotated[
    str, BeforeValidator(environment_values.version), Expected('text like "3.12"', environment_values.version_hint)
]
Channels = Annotated[
    list[str],
    AfterValidator(environment_values.channels),
    Expected("a list of channels, by names or URLs", environment_values.channels_fault),
]
CondaPackages = Annotated[
    list[str],
    AfterValidator(environment_values.packages),
    Expected("a list of conda packages, as conda takes them", environment_values.packages_fault),
]
PipPackages = Annotated[
    list[str],
    AfterValidator(environment_values.packages),
    Expected("a list of requirements, as pip takes them", environment_values.packages_fault),
]
EnvironmentFile = Annotated[
    str, AfterValidator(environment_values.file), Expected("the full path or the https URL of a file")
]


def setting(default: Any, sentence: str) -> Any:
    """A setting's default and the one sentence that says what it does."""
    return Field(default=default, description=sentence, validate_default=False)


class Section(BaseModel):
    """A part of config.yaml. Keys that it doesn't know are kept: ``validation`` reports them."""

    model_config = ConfigDict(extra="allow", strict=True)


class Auth(Section):
    """Who may log in, and how that is found out. What is under a class name goes to that class."""

    type: Text = setting(
        "firstuseauthenticator.FirstUseAuthenticator",
        "The authenticator: an importable class, or the name that an installed package gave it.",
    )
    FirstUseAuthenticator: Free = setting(
        {"create_users": False}, "Traits of the default authenticator: the first password typed for a user is set."
    )


class Users(Section):
    """Users, by the names that they log in with."""

    allowed: Texts = setting([], "Users who may log in; when empty, whoever the authenticator lets in.")
    banned: Texts = setting([], "Users who may not log in, whatever else allows them.")
    admin: Texts = setting([], "Users who administer the hub and have sudo in their terminals.")
    extra_user_groups: Groups = setting({}, "System groups, each with the users that are added to it.")


class Limits(Section):
    """What one user's server may take."""

    memory: Memory = setting(None, "Memory of one user's server; nothing means no limit.")
    cpu: Cores = setting(None, "Processor cores of one user's server; nothing means no limit.")


class Http(Section):
    """Where the hub is reached by HTTP."""

    address: Text = setting("", "The address to listen on; empty means all of them.")
    port: Port = setting(80, "The port to listen on.")


class Tls(Section):
    """An own certificate."""

    key: Path = setting("", "The file of the private key, in PEM format.")
    cert: Path = setting("", "The file of the certificate and its chain, in PEM format.")


class LetsEncrypt(Section):
    """A certificate that is fetched and renewed by itself."""

    email: Text = setting("", "The mail address that Let's Encrypt writes to before a certificate ends.")
    domains: Texts = setting([], "The names of this server; the first is the certificate's main one.")
    staging: Flag = setting(
        False, "Use the staging server, whose certificates no browser trusts, to try things out."
    )


class Https(Section):
    """Where the hub is reached by HTTPS; HTTP then only redirects to it."""

    enabled: Flag = setting(False, "Serve by HTTPS, with an own certificate or one of Let's Encrypt.")
    address: Text = setting("", "The address to listen on; empty means all of them.")
    port: Port = setting(443, "The port to listen on.")
    tls: Tls = Tls()
    letsencrypt: LetsEncrypt = LetsEncrypt()


class TraefikApi(Section):
    """How the hub talks to its proxy. There is rarely a reason to change it."""

    ip: Text = setting("127.0.0.1", "The address of the proxy's API.")
    port: Port = setting(8099, "The port of the proxy's API.")
    username: Text = setting("api_admin", "The user name for the proxy's API.")
    password: Text = setting("", "The password for the proxy's API; empty means the one that was generated.")


class Packages(Section):
    """What is installed, besides what every environment has and what plugins ask for."""

    conda: CondaPackages = setting([], 'Packages of conda\'s channels, for example "numpy >=2".')
    pip: PipPackages = setting([], "Packages of PyPI, or of where pip is configured to look.")


class NamedEnvironment(Section):
    """One more environment, and a kernel of its name for all users.

    A name is lower-case letters, digits, `-` and `_`, begins with a letter, has at most 30 characters, does not
    end in `-` and a number, and is not `hub`, `user` or `base`.
    """

    title: Text = setting("", "What users read where they choose a kernel; empty means the name.")
    python: PythonVersion = setting("", "The version of Python; empty means the newest that goes with the rest.")
    channels: Channels = setting(
        [], "conda's channels, the first wins; empty means those of the user environment."
    )
    file: EnvironmentFile = setting(
        "", "conda's `environment.yml` with what to install; the keys beside this one come on top."
    )
    packages: Packages = Packages()


class UserEnvironment(Section):
    """What users work with."""

    default_app: Annotated[
        Literal["jupyterlab", "classic", "nteract"], Expected('"jupyterlab", "classic" or "nteract"')
    ] = setting("jupyterlab", "What opens after the login.")
    provider: Annotated[Literal["auto", "conda", "pypi"], Expected('"auto", "conda" or "pypi"')] = setting(
        "auto", "Where the packages of the user environment come from."
    )
    python: PythonVersion = setting("", "The version of Python; empty means the newest that goes with the rest.")
    channels: Channels = setting(
        [], "conda's channels, the first wins; empty means those of `.condarc`, or `conda-forge`."
    )
    file: EnvironmentFile = setting(
        "", "conda's `environment.yml` with what to install; the keys beside this one come on top."
    )
    pypi_names: Annotated[dict[str, str], Expected("names of conda packages, each with a requirement of PyPI")] = (
        setting({}, "What to install from PyPI for a conda package that a plugin asks for.")
    )
    packages: Packages = Packages()


class Cull(Section):
    """Ending servers that nobody uses."""

    enabled: Flag = setting(True, "End servers that nobody uses.")
    timeout: Seconds = setting(600, "Seconds without activity after which a server is ended.")
    every: Seconds = setting(60, "Seconds between two looks at the servers.")
    concurrency: Count = setting(5, "How many requests to the hub are made at once.")
    users: Flag = setting(False, "Remove the users too, not only their servers.")
    max_age: Seconds = setting(0, "Seconds after which a server is ended even when it is used; 0 means never.")
    remove_named_servers: Flag = setting(False, "Remove named servers when they are ended.")


class Services(Section):
    """What runs beside the hub."""

    cull: Cull = Cull()


class Config(Section):
    """All of config.yaml."""

    base_url: Text = setting("/", "The path that all of the hub's URLs begin with.")
    auth: Auth = Auth()
    users: Users = Users()
    limits: Limits = Limits()
    http: Http = Http()
    https: Https = Https()
    traefik_api: TraefikApi = TraefikApi()
    user_environment: UserEnvironment = UserEnvironment()
    environments: Annotated[
        dict[str, NamedEnvironment], Expected("names of environments, each with a mapping")
    ] = setting({}, "More environments, each with a kernel for all users.")
    services: Services = Services()
    plugins: Annotated[dict[str, Free], Expected("plugin names, each with a mapping")] = setting(
        {}, "Settings of plugins, each under the plugin's name."
    )


@dataclass(frozen=True)
class Row:
    """One setting, as documentation, help and tab completion show it."""

    key: str
    type: str
    default: Any
    sentence: str


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field opens; ``None`` where it holds a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def section_of_items(field: FieldInfo) -> type[Section] | None:
    """The section that each item of a field opens, where a field holds sections by names an admin chooses."""
    kinds = get_args(field.annotation) if get_origin(field.annotation) is dict else ()
    return section_of(FieldInfo(annotation=kinds[1])) if kinds else None


def expected(field: FieldInfo) -> str:
    """What a value of this field must be, in words."""
    if section_of(field):
        return "a mapping"
    return next((item.words for item in field.metadata if isinstance(item, Expected)), "another value")


def hint(field: FieldInfo, value: Any) -> str:
    """What to do about a value that this field can't have; empty where nothing more can be said."""
    return next((item.hint(value) for item in field.metadata if isinstance(item, Expected)), "")


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values that a field can have, where there are only a few."""
    if get_origin(field.annotation) is Literal:
        return get_args(field.annotation)
    return ("true", "false") if field.annotation is bool else ()


def field_at(key: str) -> FieldInfo | None:
    """The declaration of ``key``; ``None`` where config.yaml's schema doesn't know it."""
    field: FieldInfo | None = FieldInfo(annotation=Config)
    for part in key.split("."):
        if field is None:
            return None
        model, items = section_of(field), section_of_items(field)
        field = FieldInfo(annotation=items) if items else model.model_fields.get(part) if model else None
    return field


def describe(model: type[Section] = Config, prefix: str = "") -> Iterator[Row]:
    """Every setting, in the order of the file: (key, type in words, default, sentence)."""
    for name, field in model.model_fields.items():
        below = _below(name, field, prefix)
        if below:
            yield from describe(*below)
        else:
            yield Row(f"{prefix}{name}", expected(field), field.default, field.description or "")
    if model is Auth:
        yield Row(
            "auth.<Class>.<trait>", "whatever the trait takes", None, "A trait of any class, as JupyterHub has it."
        )


def sections(model: type[Section] = Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every section: (key, what its docstring says)."""
    for name, field in model.model_fields.items():
        below = _below(name, field, prefix)
        if below:
            yield below[1][:-1], inspect.cleandoc(below[0].__doc__ or "")
            yield from sections(*below)


def _below(name: str, field: FieldInfo, prefix: str) -> tuple[type[Section], str] | None:
    """What a field opens, and what its keys begin with; for items with a placeholder for their names."""
    section, items = section_of(field), section_of_items(field)
    if section:
        return section, f"{prefix}{name}."
    return (items, f"{prefix}{name}.<name>.") if items else None


def defaults(model: type[Section] = Config) -> dict[str, Any]:
    """The defaults as a new nested dictionary: what an empty config.yaml means."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        section = section_of(field)
        found[name] = defaults(section) if section else _copy(field.default)
    return found


def named_environment(name: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    """One item of ``environments`` with its defaults, as a new nested dictionary.

    Args:
        name: Its name, which is its title where it has none.
        values: What config.yaml says; its values have been checked.
    """
    found = defaults(NamedEnvironment)
    packages = found.pop("packages")
    given = {key: value for key, value in (values or {}).items() if value is not None}
    packages |= {key: value for key, value in (given.pop("packages", None) or {}).items() if value is not None}
    found |= {**_copy(given), "packages": _copy(packages)}
    found["title"] = found["title"] or name
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
