"""traefik's configuration, made from config.yaml: the static file, the dynamic one, and the live routes.

Most of it is pure; ``ensure_traefik_config`` writes. Certificates are looked at in ``tljh.settings.certificates``.
traefik reads ``state/traefik.toml`` when it starts, and watches the folder ``state/rules``: ``dynamic.toml`` there
is ours, ``rules.toml`` is the hub's. What an admin puts into ``config/traefik_config.d/*.toml`` is merged in last.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.paths import Paths

STAGING_SERVER = "https://acme-staging-v02.api.letsencrypt.org/directory"
# of an admin's file, these tables belong to traefik's dynamic configuration, all others to the static one
DYNAMIC_TABLES = ("http", "tcp", "udp", "tls")
HEADER = (
    "# Made from config.yaml at each install and reload. Additions belong into config/traefik_config.d/*.toml.\n"
)
ENTRY_POINTS = ("http", "https")
# what JupyterLab escapes in the names of files; a null character is in none
ENCODED = ("Slash", "BackSlash", "Semicolon", "Percent", "QuestionMark", "Hash")
REDACTED = ("Authorization", "Cookie", "Set-Cookie", "X-Xsrftoken")
CIPHERS = tuple(
    f"TLS_ECDHE_{key}_WITH_{cipher}"
    for cipher in ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256")
    for key in ("ECDSA", "RSA")
)


@dataclass(frozen=True)
class Extra:
    """What an admin adds, by the file of ours that it goes into."""

    static: Mapping[str, Any] = field(default_factory=dict)
    dynamic: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """traefik's files below ``state``."""

    state: Path

    @property
    def static(self) -> Path:
        return self.state / "traefik.toml"

    @property
    def dynamic(self) -> Path:
        return self.state / "rules" / "dynamic.toml"

    @property
    def rules(self) -> Path:
        """The live routes, written by the hub."""
        return self.state / "rules" / "rules.toml"

    @property
    def certificates(self) -> Path:
        """What Let's Encrypt gave, with the private keys."""
        return self.state / "acme.json"


def entry_point(config: Mapping[str, Any]) -> str:
    """The entry point that serves the hub: ``http`` or ``https``."""
    return "https" if config["https"]["enabled"] else "http"


def static_config(config: Mapping[str, Any], paths: Paths, extra: Extra | None = None) -> str:
    """The text of ``traefik.toml``.

    Args:
        config: What ``tljh.configurer.load_config`` gave.
        paths: Where the installation is.
        extra: What the admin adds; ``None``: read from ``config/traefik_config.d``.

    Raises:
        TljhError: HTTPS is enabled without a certificate to serve, or a file of the admin's is broken.
    """
    https = config["https"]
    api = config["traefik_api"]
    points: dict[str, Any] = {"http": _serving(config["http"])}
    if https["enabled"]:
        points["http"]["http"]["redirections"] = {"entryPoint": {"to": "https", "scheme": "https"}}
        points["https"] = _serving(https)
        points["https"]["http"]["tls"] = {"options": "default"}
    points["auth_api"] = {"address": _address(api["ip"], api["port"]), "http": {"aliasHeadersStrategy": "delete"}}
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "api": {},
        "log": {"level": "INFO"},
        "accessLog": {
            "format": "json",
            "filters": {"statusCodes": ["500-999"]},
            "fields": {"headers": {"names": dict.fromkeys(REDACTED, "redact")}},
        },
        "entryPoints": points,
        "providers": {
            "providersThrottleDuration": "0s",
            "file": {"directory": str(paths.rules), "watch": True},
        },
    }
    if _asks_letsencrypt(https):
        static["certificatesResolvers"] = {"letsencrypt": {"acme": _acme(https, Places(paths.state))}}
    return HEADER + _toml(_merge(static, (extra or read_extra(paths)).static))


def dynamic_config(config: Mapping[str, Any], paths: Paths, extra: Extra | None = None) -> str:
    """The text of ``rules/dynamic.toml``: TLS, and what the admin adds. Arguments as for ``static_config``."""
    https = config["https"]
    dynamic: dict[str, Any] = {}
    if https["enabled"]:
        store: dict[str, Any] = {}
        if _asks_letsencrypt(https):
            main, *others = https["letsencrypt"]["domains"]
            domain = {"main": main, **({"sans": others} if others else {})}
            store["defaultGeneratedCert"] = {"resolver": "letsencrypt", "domain": domain}
        else:
            store["defaultCertificate"] = {"certFile": https["tls"]["cert"], "keyFile": https["tls"]["key"]}
        options = {"minVersion": "VersionTLS12", "cipherSuites": list(CIPHERS)}
        dynamic["tls"] = {"options": {"default": options}, "stores": {"default": store}}
    return HEADER + _toml(_merge(dynamic, (extra or read_extra(paths)).dynamic))


def retarget_rules(text: str, entrypoint: str) -> str:
    """The live routes with ``entrypoint`` as the one that they are served by.

    The hub's proxy keeps what it once wrote: without this, every running server answers 404 after a change from
    HTTP to HTTPS. Routes of other entry points (the API's) stay. The text itself comes back if nothing changes.

    Raises:
        TljhError: the text is not TOML.
    """
    rules = parse_toml(text, "rules.toml")
    routers = rules.get("http", {}).get("routers", {})
    stale = [
        router
        for router in routers.values()
        if set(router.get("entryPoints", ())) & set(ENTRY_POINTS) and router["entryPoints"] != [entrypoint]
    ]
    for router in stale:
        router["entryPoints"] = [entrypoint]
    return _toml(rules) if stale else text


def read_extra(paths: Paths) -> Extra:
    """What the admin put into ``config/traefik_config.d/*.toml``, merged in the order of the files' names.

    Raises:
        TljhError: one of the files is not TOML, or can't be read; it is named.
    """
    merged: dict[str, Any] = {}
    for path in sorted(paths.traefik_config_d.glob("*.toml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TljhError(f"it can't be read: {error}", whose=str(path)) from error
        merged = _merge(merged, parse_toml(text, str(path)))
    dynamic = {name: table for name, table in merged.items() if name in DYNAMIC_TABLES}
    return Extra({name: table for name, table in merged.items() if name not in dynamic}, dynamic)


def desired_files(config: Mapping[str, Any], paths: Paths) -> dict[Path, str]:
    """Every file of ours that traefik reads, with its text.

    Raises:
        TljhError: HTTPS is enabled without a usable certificate, or a file of the admin's is broken.
    """
    from tljh.settings.certificates import check_https

    check_https(config["https"])
    extra = read_extra(paths)
    places = Places(paths.state)
    return {
        places.static: static_config(config, paths, extra),
        places.dynamic: dynamic_config(config, paths, extra),
    }


def ensure_traefik_config(
    state_dir: str | Path, config: Mapping[str, Any] | None = None, machine: Machine | None = None
) -> list[Path]:
    """Write what traefik reads, where it differs, and point the live routes at the entry point that serves.

    Args:
        state_dir: The folder ``state`` of an installation; ``config`` is beside it.
        config: The settings; ``None``: those of the installation's config.yaml.

    Returns:
        The files that were written.

    Raises:
        TljhError: as for ``desired_files``; nothing has been written then.
    """
    from tljh.configurer import load_config

    machine = machine or Machine()
    paths = Paths(Path(state_dir).absolute().parent)
    places = Places(paths.state)
    settings = config if config is not None else load_config(paths.config_file)
    wanted = desired_files(settings, paths)
    rules = machine.read(places.rules)
    if rules is not None:
        wanted[places.rules] = retarget_rules(rules.decode(), entry_point(settings))
    if not machine.at(paths.rules).is_dir():
        machine.make_directory(paths.rules, mode=0o700, owner=_owner())
    written = [path for path, text in wanted.items() if machine.read(path) != text.encode()]
    for path in written:
        machine.write_file(path, wanted[path].encode(), mode=0o600, owner=_owner())
    status = machine.status(places.certificates)
    if status is None or status.mode != "0600":
        # traefik refuses to use the file when others can read it
        machine.write_file(
            places.certificates, machine.read(places.certificates) or b"", mode=0o600, owner=_owner()
        )
        written.append(places.certificates)
    return written


def prepare_rules(state_dir: str | Path, config: Mapping[str, Any], machine: Machine | None = None) -> None:
    """Make ``rules.toml`` ready for a hub that starts: its routes stay, what was derived from settings goes.

    To be called before the hub makes its proxy, when nobody else writes the file. The proxy merges the file *over*
    its settings, so an old entry point or an old password of its API would stay for ever.
    """
    machine = machine or Machine()
    path = Places(Path(state_dir)).rules
    before = machine.read(path)
    if before is None:
        return
    rules = parse_toml(retarget_rules(before.decode(), entry_point(config)), str(path))
    http = rules.get("http", {})
    for table, name in (("routers", "route_api"), ("middlewares", "auth_api")):
        http.get(table, {}).pop(name, None)
    # traefik refuses a table that is there and empty
    rules["http"] = {name: table for name, table in http.items() if table}
    if not rules["http"]:
        del rules["http"]
    text = _toml(rules).encode()
    if text != before:
        machine.write_file(path, text, mode=0o600, owner=_owner())


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        TljhError: it is not TOML; ``name`` says which file it is.
    """
    try:
        if sys.version_info >= (3, 11):
            import tomllib

            return tomllib.loads(text)
        import toml

        return dict(toml.loads(text))
    except ValueError as error:
        raise TljhError(f"broken TOML: {error}", whose=name, todo="Correct or remove that file.") from error


def _serving(where: Mapping[str, Any]) -> dict[str, Any]:
    """An entry point that users reach."""
    return {
        "address": _address(where["address"], where["port"]),
        "http": {
            "aliasHeadersStrategy": "delete",
            "encodedCharacters": {f"allowEncoded{name}": name in ENCODED for name in (*ENCODED, "NullCharacter")},
        },
        "transport": {"respondingTimeouts": {"idleTimeout": "10m"}},
    }


def _address(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address and not address.startswith("[") else f"{address}:{port}"


def _asks_letsencrypt(https: Mapping[str, Any]) -> bool:
    return bool(https["enabled"] and not https["tls"]["cert"] and https["letsencrypt"]["domains"])


def _acme(https: Mapping[str, Any], places: Places) -> dict[str, Any]:
    server = {"caServer": STAGING_SERVER} if https["letsencrypt"]["staging"] else {}
    email = https["letsencrypt"]["email"]
    return {"email": email, "storage": str(places.certificates), **server, "tlsChallenge": {}}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    from tljh.configurer import merge

    return merge(below, above)


def _toml(values: Mapping[str, Any]) -> str:
    """``values`` as TOML, by the package that the hub's proxy writes its rules with."""
    import toml

    return str(toml.dumps(values))


def _owner() -> str:
    from tljh.settings.document import own_account

    return own_account()
