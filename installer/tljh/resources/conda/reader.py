"""Reads what is set for conda on a machine: ``.condarc`` files, ``CONDA_*`` and proxy variables, netrc, CAs.

``read`` looks at the machine; all else is made of what it found. What can be set and what for is in
``settings``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tljh.errors import TljhError
from tljh.resources.conda.condarc import Merged, merged, read_sources
from tljh.resources.conda.settings import ALIAS, DEFAULTS, LOOPBACK, CondaSettings, public

SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # Debian's and Ubuntu's
_YES = ("true", "yes", "on", "y", "1")
_NO = ("false", "no", "off", "n", "0")


def read(environment: Mapping[str, str], home: str, prefix: str) -> CondaSettings:
    """What is set on this machine.

    Args:
        environment: Variables.
        home: The home folder, with ``.condarc`` and ``.netrc``.
        prefix: The environment that is meant: its own ``.condarc`` is read too.

    Raises:
        TljhError: a file is broken or can't be read, a value can't be right, or certificates are missing.
    """
    found = settings_of(merged(read_sources(environment, home, prefix)), environment)
    if found.certificates and not Path(found.certificates).exists():
        raise TljhError(
            f"there are no certificates in {found.certificates}",
            todo="correct ssl_verify in .condarc, CONDA_SSL_VERIFY, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or "
            "SSL_CERT_FILE, whichever names it",
        )
    if not found.certificates and Path(SYSTEM_CERTIFICATES).exists():
        found = replace(found, certificates=SYSTEM_CERTIFICATES)
    logins, notes = read_netrc(environment, home)
    return replace(found, logins=logins, stored=_read_store(environment, home), notes=(*found.notes, *notes))


def read_netrc(environment: Mapping[str, str], home: str) -> tuple[dict[str, tuple[str, str]], tuple[str, ...]]:
    """Of ``$NETRC``, ``~/.netrc`` or ``~/_netrc``: hosts with user and password; and what is wrong with it."""
    import netrc

    names = [environment["NETRC"]] if environment.get("NETRC") else [f"{home}/.netrc", f"{home}/_netrc"]
    path = next((name for name in names if Path(name).is_file()), "")
    if not path:
        return {}, ()
    try:
        hosts = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        return {}, (f"{path} line {error.lineno}: {error.msg}; nothing of it is used",)
    except (OSError, UnicodeDecodeError) as error:
        return {}, (f"{path} can't be read, so nothing of it is used: {error}",)
    rows = {"*" if host == "default" else host: row for host, row in hosts.items()}
    return {host: (row[0] or row[1] or "", row[2] or "") for host, row in rows.items()}, ()


def _read_store(environment: Mapping[str, str], home: str) -> dict[str, Any]:
    """rattler's own store of credentials, where its tools have written one; broken ones it ignores too."""
    path = Path(environment.get("RATTLER_AUTH_FILE") or f"{home}/.rattler/credentials.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def settings_of(values: Merged, environment: Mapping[str, str]) -> CondaSettings:
    """The settings that conda's configuration and the variables of the environment say.

    Raises:
        TljhError: a value can't be right.
    """
    verify = _word(values.get("ssl_verify", True))
    proxies, notes = _proxies(values, environment)
    base = CondaSettings(
        channels=tuple(values.get("channels", ())),
        proxies=proxies,
        direct=(*_direct(environment), *LOOPBACK),
        verify=verify is not False,
        certificates=_certificates(verify, environment),
        connect_timeout=values.get("remote_connect_timeout_secs", CondaSettings.connect_timeout),
        read_timeout=values.get("remote_read_timeout_secs", CondaSettings.read_timeout),
        retries=int(values.get("remote_max_retries", CondaSettings.retries)),
        offline=values.places["offline"] if _word(values.get("offline", False)) is True else "",
        virtual_packages=_virtual_packages(values, environment),
        notes=(*notes, *_ignored(values)),
    )
    return _with_channels(base, values)


def _with_channels(base: CondaSettings, values: Merged) -> CondaSettings:
    """``base`` with all that says where a channel is."""
    alias = _url(values, "channel_alias", values.get("channel_alias", ALIAS))
    lists = {**values.get("custom_multichannels", {}), "defaults": values.get("default_channels") or DEFAULTS}
    custom = {
        name: _url(values, "custom_channels", url) for name, url in values.get("custom_channels", {}).items()
    }
    members = dict(
        _place(url) for urls in lists.values() for url in urls if "://" in url and not url.startswith(alias)
    )
    named = replace(
        base,
        channel_alias=alias,
        custom_channels={**members, "pkgs/pro": "https://repo.anaconda.com", **custom},
        multichannels={name: tuple(urls) for name, urls in lists.items()},
    )
    mirrors, lost = _mirrors(named, values)
    return replace(
        named,
        migrated=_migrated(named, values),
        mirrors=mirrors,
        allowed=_urls(named, values.get("allowlist_channels", ())),
        denied=_urls(named, values.get("denylist_channels", ())),
        notes=(*base.notes, *lost),
    )


def _place(url: str) -> tuple[str, str]:
    """The name of a channel that is named by its URL, and what it is behind: conda knows it by both."""
    parts = urlsplit(url)
    return parts.path.strip("/"), f"{parts.scheme}://{parts.netloc}"


def _url(values: Merged, key: str, value: str) -> str:
    if not re.match(r"(https?|file)://", value):
        raise TljhError(
            f'{key} has "{value}", where a URL is expected', whose=values.places[key], todo="Correct it."
        )
    return value.rstrip("/")


def _urls(settings: CondaSettings, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(public(url) for name in names for url in settings.full_urls(name))


def _migrated(settings: CondaSettings, values: Merged) -> dict[str, str]:
    """Former places of channels, each with the one that is used instead."""
    channels = {
        f"{url.rstrip('/')}/{name}": name for name, url in values.get("migrated_custom_channels", {}).items()
    }
    aliases = {url.rstrip("/"): settings.channel_alias for url in values.get("migrated_channel_aliases", ())}
    return {**{old: settings.full_urls(name)[0] for old, name in channels.items()}, **aliases}


def _mirrors(settings: CondaSettings, values: Merged) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Channels with their mirrors, and what is wrong with those that are left out."""
    found, notes = {}, []
    for name, urls in values.get("mirrored_channels", {}).items():
        usable = [url.rstrip("/") for url in urls if url.startswith(("http://", "https://"))]
        notes += [
            f"mirrored_channels of {name}: {url} is left out, a mirror has an http or https URL; custom_channels "
            "takes any"
            for url in urls
            if not url.startswith(("http://", "https://"))
        ]
        channel = public(settings.full_urls(name)[0])
        if usable and usable != [channel]:
            found[channel] = tuple(usable)
    return found, notes


def _proxies(values: Merged, environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The proxies, those of ``.condarc`` before those of the environment; and those that can't be used."""
    of_conda = values.get("proxy_servers", {})
    found, notes = {}, []
    for scheme in ("http", "https"):
        words = (
            of_conda.get(scheme),
            of_conda.get("all"),
            *_variables(environment, f"{scheme}_proxy", "all_proxy"),
        )
        word = next((word for word in words if word), "")
        url = word if "://" in word or not word else f"http://{word}"
        if url.startswith("socks"):
            notes.append(f"{public(url)}: channels can't be reached through a SOCKS proxy, so it is not used")
        elif url:
            found[scheme] = url.rstrip("/")
    for key in of_conda:
        if key not in ("http", "https", "all"):
            notes.append(
                f"proxy_servers: a proxy for {key} alone can't be used, only those for http and https are"
            )
    return found, list(dict.fromkeys(notes))


def _direct(environment: Mapping[str, str]) -> list[str]:
    """What ``no_proxy`` names, without ports: rattler knows none."""
    word = next((word for word in _variables(environment, "no_proxy") if word), "")
    items = [re.sub(r"^([^:]+):\d+$", r"\1", item.strip()) for item in word.split(",")]
    return [item for item in items if item and item not in LOOPBACK]


def _variables(environment: Mapping[str, str], *names: str) -> Iterator[str]:
    """As curl and requests read them: small letters first."""
    for name in names:
        yield environment.get(name, "")
        yield environment.get(name.upper(), "")


def _certificates(verify: Any, environment: Mapping[str, str]) -> str:
    """The CAs that are named: conda's own setting, then what requests and OpenSSL look at; empty if none are."""
    if isinstance(verify, str) and verify != "truststore":
        return verify
    names = (
        ["SSL_CERT_FILE"] if verify == "truststore" else ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
    )
    folder = environment.get("SSL_CERT_DIR", "").split(":")[0]
    return next((environment[name] for name in names if environment.get(name)), folder)


def _virtual_packages(values: Merged, environment: Mapping[str, str]) -> dict[str, str]:
    """Those of ``.condarc``; what the environment has of them (``CONDA_OVERRIDE_*``) rattler reads itself."""
    given = {name.upper(): str(version) for name, version in values.get("override_virtual_packages", {}).items()}
    return {name: version for name, version in given.items() if f"CONDA_OVERRIDE_{name}" not in environment}


def _ignored(values: Merged) -> Iterator[str]:
    """What is set and can't be followed, or is dangerous."""
    if _word(values.get("ssl_verify", True)) is False:
        yield f"certificates are not verified: ssl_verify is false in {values.places['ssl_verify']}"
    if values.get("client_ssl_cert"):
        yield f"client_ssl_cert in {values.places['client_ssl_cert']} is not used: there is no way to"
    if values.get("channel_settings"):
        yield f"channel_settings in {values.places['channel_settings']} is not used: it is for conda's own plugins"


def _word(value: Any) -> Any:
    """A value with words for true and false as such."""
    word = str(value).strip().lower()
    return True if word in _YES else False if word in _NO else value
