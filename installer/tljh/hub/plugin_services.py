"""The services that plugins state for the hub (``tljh.declare.HubService``), in the hub's own configuration.

The installer writes them down (``stages/contributed/plugin_resources.py``), so that the hub loads no plugin for
them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger("tljh.hub")

_FIELDS = (
    "name",
    "url",
    "command",
    "admin",
    "environment",
    "api_token",
    "cwd",
    "user",
    "oauth_redirect_uri",
    "oauth_no_confirm",
    "oauth_client_allowed_scopes",
    "info",
)


def add_services(c: Any, file: Path) -> None:
    """Add the services in ``file`` to ``c.JupyterHub.services``, and a role for each that may do something.

    A service of a name that is there already is left out: what config.yaml, a plugin's own code or the admin says
    counts more.
    """
    listed = _read(file)
    services, roles = _list(c, "services"), _list(c, "load_roles")
    names = {service.get("name") for service in services}
    for said in listed:
        if said["name"] in names:
            log.warning(
                "plugin %s: there is a service %s already, so its own is left out", said["plugin"], said["name"]
            )
            continue
        services.append({field: said[field] for field in _FIELDS if said.get(field)} | _not_shown(said))
        if said.get("scopes"):
            role = f"service-{said['name']}".lower()
            roles.append({"name": role, "scopes": list(said["scopes"]), "services": [said["name"]]})
    if listed:
        c.JupyterHub.services, c.JupyterHub.load_roles = services, roles


def _not_shown(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is on unless it is said."""
    return {} if said.get("display", True) else {"display": False}


def _list(c: Any, trait: str) -> list[dict[str, Any]]:
    return [dict(row) for row in c.JupyterHub.get(trait, ())]


def _read(file: Path) -> list[Mapping[str, Any]]:
    """What is in the file; nothing where an installer has not written it yet."""
    try:
        found = json.loads(file.read_text())["services"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error(
            "%s can't be read, so the services of plugins are missing; 'tljh install' mends it: %s", file, error
        )
        return []
    return list(found)
