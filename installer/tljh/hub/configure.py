"""The hub's configuration: our defaults, config.yaml, the plugins, the admin's own files, in this order."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from tljh import systemd
from tljh.errors import TljhError
from tljh.hub import database, deletions, demotions
from tljh.hub.authenticators import mend_authenticator
from tljh.hub.limits import Limits, limits_statement
from tljh.hub.plugin_services import add_services
from tljh.paths import Paths

log = logging.getLogger("tljh.hub")

HUB_PORT = 15001

SERVICE_VARIABLE = "TLJH_SERVICE"
"""Set by the launcher: which service this process is."""


def configure(c: Any, load_subconfig: Callable[[str], None]) -> None:
    """Fill in the hub's configuration.

    Args:
        c: JupyterHub's configuration object.
        load_subconfig: Reads one more file into it; JupyterHub gives it to a configuration file.

    Raises:
        TljhError: the hub must not start: config.yaml is wrong, the proxy's secret is missing, or a plugin that
            concerns logins failed.
    """
    from tljh.configurer import apply_config, drop_orphaned_roles, load_config
    from tljh.plugins.runtime import run_hub_hooks
    from tljh.traefik import prepare_rules

    paths = Paths.from_environment()
    _log_to_stderr()
    set_defaults(c, paths)
    config = load_config()
    apply_config(config, c)
    connect_proxy(c, config, paths)
    serves = os.environ.get(SERVICE_VARIABLE) == "jupyterhub"  # not so: "jupyterhub token" beside it, a rehearsal
    if serves:
        prepare_rules(paths.state, config)
    run_hub_hooks(c, state_dir=paths.state, record=serves)
    add_services(c, paths.plugin_services)
    for file in sorted(paths.hub_config_d.glob("*.py")):
        load_subconfig(str(file))
    if serves:
        database.note(c, paths)
        demotions.at_start(c, paths)
    drop_orphaned_roles(c)
    deletions.watch()
    demotions.watch()
    mend_authenticator(c.JupyterHub.authenticator_class)
    for sentence in unenforced(c):
        log.warning(sentence)


def set_defaults(c: Any, paths: Paths) -> None:
    """What holds unless config.yaml, a plugin or the admin says otherwise."""
    from tljh.hub.spawner import UserCreatingSpawner

    c.JupyterHub.hub_ip = "127.0.0.1"
    c.JupyterHub.hub_port = HUB_PORT
    c.JupyterHub.cleanup_servers = False  # user servers go on while the hub is restarted
    c.JupyterHub.db_url = f"sqlite:///{paths.hub_database}"
    c.JupyterHub.cookie_secret_file = str(paths.state / "jupyterhub_cookie_secret")
    c.JupyterHub.concurrent_spawn_limit = 0  # the start queue decides; the hub would send people away
    c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
    c.FirstUseAuthenticator.dbm_path = str(paths.state / "passwords.dbm")

    c.JupyterHub.spawner_class = UserCreatingSpawner
    c.Spawner.start_timeout = 120  # until the port answers, without the time in the queue
    c.Spawner.http_timeout = 120
    # under this name on every kind of host: it is what plugins and admins' files extend
    c.SystemdSpawner.extra_paths = [str(paths.user_programs), str(paths.user / "bin")]
    c.SystemdSpawner.default_shell = "/bin/bash"
    if systemd.is_running():
        c.SystemdSpawner.unit_name_template = "jupyter-{USERNAME}"
        c.SystemdSpawner.dynamic_users = False
        # the kernel that takes too much is killed, the server lives on
        c.SystemdSpawner.unit_extra_properties = {"OOMPolicy": "continue"}


def connect_proxy(c: Any, config: Mapping[str, Any], paths: Paths) -> None:
    """Use the traefik that runs beside the hub; how its API is reached is in config.yaml, so in ``apply_config``.

    Args:
        config: What ``tljh.configurer.load_config`` returns.

    Raises:
        TljhError: the secret that both share is missing.
    """
    if not config["traefik_api"]["password"]:
        raise TljhError(
            f"the secret that the hub and the proxy share is missing: {paths.state / 'traefik-api.secret'}",
            todo="run `tljh install`, which makes it, and restarts both",
        )
    kind = "https" if config["https"]["enabled"] else "http"
    c.JupyterHub.proxy_class = "traefik_file"
    c.JupyterHub.port = config[kind]["port"]  # traefik listens on it; the hub only logs it
    c.TraefikProxy.should_start = False
    c.TraefikFileProviderProxy.dynamic_config_file = str(paths.rules / "rules.toml")


def unenforced(c: Any) -> list[str]:
    """Which of the configured limits this host does not enforce, one sentence each; with systemd, none."""
    if systemd.is_running():
        return []
    from tljh.hub.servers_local import hierarchy

    memory = _configured(c, "mem_limit")
    cpu = _configured(c, "cpu_limit")
    # only whether there is one matters here; "2G" is JupyterHub's to understand
    return limits_statement(hierarchy(), Limits(1 if memory else None, 1.0 if cpu else None))


def _configured(c: Any, trait: str) -> Any:
    sections = ("UserCreatingSpawner", "SystemdSpawner", "Spawner")
    return next((c[name][trait] for name in sections if name in c and trait in c[name]), None)


def _log_to_stderr() -> None:
    """JupyterHub sets up its own logger only."""
    logger = logging.getLogger("tljh")
    if logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(levelname)1.1s %(asctime)s %(name)s] %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
