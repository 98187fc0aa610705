"""What config.yaml means to JupyterHub: its settings with their defaults, and each of them set on ``c``.

Runs inside the hub at every start; plugins import ``load_config`` and ``apply_config``. Settings are declared in
``tljh.settings.schema``; the order of config.yaml, plugins and ``jupyterhub_config.d`` is in ``tljh.hub``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.paths import Paths

_paths = Paths.from_environment()
CONFIG_FILE = str(_paths.config_file)
STATE_DIR = str(_paths.state)
log = logging.getLogger("tljh.configurer")

DEFAULT_AUTHENTICATOR = "firstuseauthenticator.FirstUseAuthenticator"
DEFAULT_URLS = {"jupyterlab": "/lab", "classic": "/tree", "nteract": "/nteract"}
CULLER = "cull-idle"


def load_config(config_file: str | Path = CONFIG_FILE) -> dict[str, Any]:
    """The settings: defaults, then secrets, then config.yaml, as one new nested dictionary.

    Keys that the schema doesn't know are in it too; those that look like mistakes are logged.

    Raises:
        TljhError: config.yaml is no YAML, no mapping, or holds a value of the wrong type.
    """
    from tljh.settings.document import Document
    from tljh.settings.validation import check

    document = Document.load(Path(config_file))
    for problem in check(document, str(config_file)):
        log.warning("%s", problem.at(str(config_file)))
    return with_defaults(document.as_dict(), load_secrets())


def with_defaults(settings: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``settings`` over ``secrets`` over the defaults; none of them is changed."""
    from tljh.settings.schema import defaults
    from tljh.settings.validation import without_nothing

    return merge(merge(defaults(), secrets or {}), without_nothing(settings))


def load_secrets(state_dir: str | Path | None = None) -> dict[str, Any]:
    """Settings that are not in config.yaml: the password of the proxy's API, which the installer generates."""
    try:
        password = (Path(state_dir or STATE_DIR) / "traefik-api.secret").read_text().strip()
    except FileNotFoundError:
        return {}
    return {"traefik_api": {"password": password}}


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """A new dictionary with both; where both have a value that is not a mapping, ``above`` wins."""
    merged = {
        key: merge(value, {}) if isinstance(value, Mapping) else _copy(value) for key, value in below.items()
    }
    for key, value in above.items():
        there = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = merge(there if isinstance(there, Mapping) else {}, value)
        else:
            merged[key] = _copy(value)
    return merged


def _copy(value: Any) -> Any:
    return [_copy(item) for item in value] if isinstance(value, list) else value


def apply_config(config: Mapping[str, Any], c: Any) -> None:
    """Set what config.yaml says on JupyterHub's configuration ``c``.

    Args:
        config: What ``load_config`` gave, or only some settings: the rest are at their defaults.

    Raises:
        TljhError: a value has the wrong type, or ``auth`` holds what is no class.
    """
    from tljh.settings.validation import check

    check(config)
    settings = with_defaults(config)
    c.JupyterHub.base_url = settings["base_url"]
    _apply_auth(settings["auth"], c)
    _apply_users(settings, c)
    _apply_limits(settings["limits"], c)
    _apply_user_environment(settings["user_environment"], c)
    _apply_traefik(settings, c)
    _apply_services(settings["services"], c)


def _apply_auth(auth: Mapping[str, Any], c: Any) -> None:
    # plugins compare it to a string, so it stays one
    c.JupyterHub.authenticator_class = auth["type"]
    for name, traits in auth.items():
        if name == "type" or traits is None:
            continue
        section = c[name]
        for trait, value in traits.items():
            if value is not None:
                setattr(section, trait, value)


def _apply_users(settings: Mapping[str, Any], c: Any) -> None:
    users = settings["users"]
    # JupyterHub 5 lets nobody in unless told; with TLJH's default authenticator everybody with an account may
    if (
        not users["allowed"]
        and settings["auth"]["type"] == DEFAULT_AUTHENTICATOR
        and "allow_all" not in c.FirstUseAuthenticator
    ):
        c.FirstUseAuthenticator.allow_all = True
    c.Authenticator.allowed_users = set(users["allowed"])
    c.Authenticator.blocked_users = set(users["banned"])
    c.Authenticator.admin_users = set(users["admin"])
    c.UserCreatingSpawner.user_groups = users["extra_user_groups"]


def _apply_limits(limits: Mapping[str, Any], c: Any) -> None:
    c.Spawner.mem_limit = limits["memory"]
    c.Spawner.cpu_limit = limits["cpu"]


def _apply_user_environment(user_environment: Mapping[str, Any], c: Any) -> None:
    c.Spawner.default_url = DEFAULT_URLS[user_environment["default_app"]]
    c.SystemdSpawner.username_template = "jupyter-{USERNAME}"


def _apply_traefik(settings: Mapping[str, Any], c: Any) -> None:
    api = settings["traefik_api"]
    c.TraefikProxy.traefik_api_url = f"http://{api['ip']}:{api['port']}"
    c.TraefikProxy.traefik_api_username = api["username"]
    c.TraefikProxy.traefik_api_password = api["password"]
    c.TraefikProxy.traefik_entrypoint = "https" if settings["https"]["enabled"] else "http"
    hashed = _cheap_hash(api["password"])
    if hashed:
        c.TraefikProxy.traefik_api_hashed_password = hashed


def _cheap_hash(password: str) -> str:
    """The bcrypt hash of the API's password at the lowest cost; empty without a password or bcrypt.

    traefik computes it anew at each request of the hub, several per spawn: at the usual cost each takes 0.2 s of
    processor time. The generated password has 256 random bits, which no cost makes safer.
    """
    try:
        import bcrypt
    except ImportError:
        return ""
    # bcrypt takes 72 bytes and refuses more
    if not password or len(password.encode()) > 72:
        return ""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()


def _apply_services(services: Mapping[str, Any], c: Any) -> None:
    cull = services["cull"]
    c.JupyterHub.services = []
    c.JupyterHub.load_roles = []
    if not cull["enabled"]:
        return
    command = [
        sys.executable,
        "-m",
        "jupyterhub_idle_culler",
        f"--timeout={cull['timeout']}",
        f"--cull-every={cull['every']}",
        f"--concurrency={cull['concurrency']}",
        f"--max-age={cull['max_age']}",
    ]
    command += ["--cull-users"] if cull["users"] else []
    command += ["--remove-named-servers"] if cull["remove_named_servers"] else []
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    c.JupyterHub.services.append({"name": CULLER, "command": command})
    c.JupyterHub.load_roles.append(
        {"name": CULLER, "scopes": [*scopes, *(["admin:users"] if cull["users"] else [])], "services": [CULLER]}
    )


def drop_orphaned_roles(c: Any) -> None:
    """Remove our culler's role where a plugin or an admin replaced ``c.JupyterHub.services`` without it.

    To be called last: JupyterHub doesn't start with a role whose service is missing.
    """
    services = c.JupyterHub.services if isinstance(c.JupyterHub.services, list) else []
    roles = c.JupyterHub.load_roles if isinstance(c.JupyterHub.load_roles, list) else []
    if all(service.get("name") != CULLER for service in services):
        c.JupyterHub.load_roles = [role for role in roles if role.get("services") != [CULLER]]
