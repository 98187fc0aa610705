"""What a user environment is asked to hold: our own list, config.yaml, requirements files and the plugins."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from importlib import resources as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tljh.errors import TljhError
from tljh.fetch import fetch_text, without_credentials
from tljh.plugins.contributions import merged
from tljh.resources.conda.settings import public
from tljh.resources.environments.pip_part import joined
from tljh.resources.locks.lock import Requested
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds

if TYPE_CHECKING:
    from tljh.settings.environment_file import EnvironmentFile

REQUIREMENTS = "--user-requirements-txt-url"
CHANNEL = "--channel"
CONFIG = "config.yaml"
PYTHON = "python >=3.10"
DEFAULT_CHANNEL = "conda-forge"
INSTALLERS = ("conda", "mamba")
"""For admins who are used to them; only where a channel has them."""


def channels(context: Context, wanted: Mapping[str, Any], *, with_plugins: bool = True) -> list[Requested]:
    """The channels of an environment, the most important first: config.yaml, its file, the flag, the plugins.

    Args:
        wanted: The environment's part of config.yaml.
        with_plugins: Whether the plugins' channels and the flag's are for this environment.
    """
    rows = [Requested(name, CONFIG, "channel") for name in wanted.get("channels") or ()]
    file = environment_file(context, wanted)
    rows += [Requested(name, _origin(wanted), "channel") for name in (file.channels if file else ())]
    if with_plugins:
        context.channels = list(dict.fromkeys([*context.store.wishes("channel"), *context.options.channels]))
        rows += [Requested(name, CHANNEL, "channel") for name in context.channels]
        asked = merged(context.reports, "tljh_extra_user_conda_channels")
        rows += [Requested(row.value, row.plugin, "channel") for row in asked]
    if not rows:
        found = context.conda_settings.channels or (DEFAULT_CHANNEL,)
        rows = [
            Requested(name, ".condarc" if context.conda_settings.channels else "core", "channel") for name in found
        ]
    first = {row.requirement: row for row in reversed(rows)}
    return [row for row in dict.fromkeys(rows) if first[row.requirement] is row]


def of_user_environment(context: Context, provider: str, from_channels: Sequence[Requested]) -> list[Requested]:
    """All that the user environment is asked to hold.

    Args:
        provider: ``conda`` or ``pypi``.
        from_channels: As ``channels`` gives them.

    Raises:
        TljhError: a plugin or config.yaml wants conda packages and the provider is ``pypi``; a file can't be read.
    """
    wanted = context.config["user_environment"]
    file = environment_file(context, wanted)
    either = [*our_requirements(), f"jupyterhub{context.required('hub_lock').pins['jupyterhub']}"]
    pip = [Requested(line, REQUIREMENTS) for line in _requirements_files(context)]
    pip += _configured(wanted, "pip", "pip")
    pip += [Requested(line, _origin(wanted)) for line in (file.pip if file else ())]
    asked = merged(context.reports, "tljh_extra_user_pip_packages")
    pip += [Requested(row.value, row.plugin) for row in asked]
    conda = _configured(wanted, "conda", "conda")
    conda += [Requested(spec, _origin(wanted), "conda") for spec in (file.conda if file else ())]
    plugins = merged(context.reports, "tljh_extra_user_conda_packages")
    conda += [Requested(row.value, row.plugin, "conda") for row in plugins]
    done = plugin_deeds.requirements(context)
    pip += [row for row in done if row.manager == "pip"]
    conda += [row for row in done if row.manager == "conda"]
    if provider == "pypi":
        refuse_another_python(context, wanted, "user_environment.python", CONFIG)
        mapped = _as_pypi(context, conda, wanted.get("pypi_names") or {})
        return [*(Requested(line, "core") for line in either), *mapped, *pip]
    rows = [_public(row) for row in from_channels]
    rows.append(python_spec(wanted))
    rows += [Requested(line, "core", "either") for line in either]
    rows += [Requested(name, "core", "if there") for name in INSTALLERS]
    return [*rows, *conda, *pip]


def of_environment(
    context: Context, wanted: Mapping[str, Any], origin: str, provider: str, from_channels: Sequence[Requested]
) -> list[Requested]:
    """All that an environment beside the user environment is asked to hold; a kernel is always in it.

    Args:
        wanted: Its part of config.yaml, or what a plugin said.
        origin: Who asks.
    """
    file = environment_file(context, wanted)
    pip = [*_configured(wanted, "pip", "pip", origin)]
    pip += [Requested(line, _origin(wanted)) for line in (file.pip if file else ())]
    conda = [*_configured(wanted, "conda", "conda", origin)]
    conda += [Requested(spec, _origin(wanted), "conda") for spec in (file.conda if file else ())]
    kernel = [line for line in our_requirements() if line.startswith(("ipykernel", "pip"))]
    if provider == "pypi":
        names = context.config["user_environment"].get("pypi_names") or {}
        return [*(Requested(line, "core") for line in kernel), *_as_pypi(context, conda, names), *pip]
    rows = [_public(row) for row in from_channels]
    return [
        *rows,
        python_spec(wanted, origin),
        *(Requested(line, "core", "either") for line in kernel),
        *conda,
        *pip,
    ]


def our_requirements() -> list[str]:
    """What every user environment holds unless something else is asked for."""
    return joined((package_files.files("tljh") / "requirements" / "user.txt").read_text())


def python_spec(wanted: Mapping[str, Any], origin: str = CONFIG) -> Requested:
    """The Python of a conda environment; without a wish the one that is there stays."""
    from tljh.settings.environment_values import python_version

    version = python_version(wanted.get("python") or "")
    return Requested(f"python {version}.*", origin, "conda") if version else Requested(PYTHON, "core", "conda")


def refuse_another_python(context: Context, wanted: Mapping[str, Any], key: str, whose: str) -> None:
    """Without conda there is one Python: the system's.

    Args:
        key: Where config.yaml names a Python.

    Raises:
        TljhError: another one is wanted.
    """
    from tljh.settings.environment_values import python_version

    version = python_version(wanted.get("python") or "")
    if not version:
        return
    there = context.facts.output(str(context.builder.python), "--version").rpartition(" ")[2].strip()
    if f"{there}.".startswith(f"{version}."):
        return
    raise TljhError(
        f"Python {version} can't be had, only the system's, which is {there}, because the user environment comes "
        f"from PyPI ({context.provider_why})",
        whose=whose,
        todo=f"leave out {key}, or take conda packages: tljh-config set user_environment.provider conda",
    )


def _public(row: Requested) -> Requested:
    """A channel without its credentials: environments' records are readable by all."""
    return Requested(public(row.requirement), row.origin, "channel")


def _configured(wanted: Mapping[str, Any], key: str, manager: Any, origin: str = CONFIG) -> list[Requested]:
    return [Requested(line, origin, manager) for line in (wanted.get("packages") or {}).get(key) or ()]


def _as_pypi(context: Context, conda: Sequence[Requested], names: Mapping[str, str]) -> list[Requested]:
    """conda packages as the requirements that config.yaml says they are at PyPI; never by guess."""
    known = {f"conda:{name.lower()}": requirement for name, requirement in names.items()}
    unknown = [row for row in conda if row.name not in known]
    if unknown:
        raise conda_request_error(context, unknown)
    return [Requested(known[row.name], row.origin) for row in conda]


def conda_request_error(context: Context, unknown: Sequence[Requested]) -> TljhError:
    """The error for conda packages that are wanted where the user environment comes from PyPI."""
    versions = {report.name: f"plugin {report.name} {report.version}" for report in context.reports}
    by_origin: dict[str, list[str]] = {}
    for row in unknown:
        by_origin.setdefault(versions.get(row.origin, row.origin), []).append(row.requirement)
    wishes = "; ".join(f"{origin} wants {', '.join(specs)}" for origin, specs in by_origin.items())
    name = unknown[0].name.removeprefix("conda:")
    return TljhError(
        f"conda packages can't be installed, because the user environment comes from PyPI "
        f"({context.provider_why}): {wishes}",
        todo="nothing was changed; one of three: take conda packages (tljh-config set user_environment.provider "
        "conda, with user_environment.channels that this machine reaches); say what they are at PyPI "
        f"(tljh-config set user_environment.pypi_names.{name} NAME); or leave out what asks for them",
    )


def environment_file(context: Context, wanted: Mapping[str, Any]) -> EnvironmentFile | None:
    """The conda ``environment.yml`` that an environment is made after, if there is one."""
    from tljh.settings.environment_file import parse

    place = wanted.get("file")
    return parse(read(context, str(place), CONFIG), _origin(wanted)) if place else None


def _origin(wanted: Mapping[str, Any]) -> str:
    """The file of an environment, as records that all can read may name it."""
    return without_credentials(str(wanted["file"]))


# ---- files, of this machine or of the web


def _requirements_files(context: Context) -> list[str]:
    wanted = context.options.requirements
    places = [wanted] if wanted else []
    context.requirements = list(dict.fromkeys([*context.store.wishes("requirements"), *places]))
    texts = [read(context, place, REQUIREMENTS) for place in context.requirements]
    return [line for text in texts for line in lines_of(text)]


def lines_of(text: str) -> list[str]:
    """The lines of a requirements file that say something."""
    joined = text.replace("\\\n", " ")  # a line that ends with a backslash goes on in the next
    stripped = (re.sub(r"\s+", " ", line.split(" #")[0].strip()) for line in joined.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def read(context: Context, place: str, whose: str) -> str:
    """A file of the web or of this machine; as it was recorded where this run does not name it.

    Args:
        whose: The flag or file that names it, for errors.
    """
    then = _recorded(context, place) if context.earlier else None
    if then is not None:
        return then
    if urllib.parse.urlsplit(place).scheme in ("http", "https"):
        return _fetched(context, place, whose)
    path = Path(place.removeprefix("file://"))
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        known = _recorded(context, place)
        if known is not None:
            context.reporter.warn(f"{path} cannot be read any more; what it said when it was given still holds")
            return known
        reason = getattr(error, "strerror", None) or "it is not text"
        raise TljhError(
            f"the file {path} cannot be read: {reason}",
            whose=whose,
            todo="name an https URL or a readable file",
        ) from error
    context.fetched[place] = text
    return text


def _fetched(context: Context, url: str, whose: str) -> str:
    """The file behind a URL; on later runs as it was recorded, so that a re-run needs no network."""
    known = context.fetched.get(url) or _recorded(context, url)
    if known is not None:
        return known
    text = fetch_text(url, whose=whose)
    context.fetched[url] = text
    return text


def _recorded(context: Context, place: str) -> str | None:
    """What a file said when an earlier run read it, unless this run names it again."""
    known = context.store.wishes(f"content of {place}")
    return known[-1] if known and place != context.options.requirements else None
