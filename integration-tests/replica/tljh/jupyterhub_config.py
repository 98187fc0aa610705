"""The hub's configuration."""

from pathlib import Path

import pluggy
from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from ruamel.yaml import YAML

from tljh import hooks
from tljh.config import CONFIG_DIR, CONFIG_FILE, STATE_DIR, USER_ENV_PREFIX
from tljh.user_creating_spawner import UserCreatingSpawner

c = get_config()  # noqa: F821
c.JupyterHub.spawner_class = UserCreatingSpawner
c.JupyterHub.cleanup_servers = False
c.JupyterHub.hub_port = 15001
c.TraefikProxy.should_start = False
c.TraefikProxy.traefik_api_url = "http://127.0.0.1:8099"
c.TraefikProxy.traefik_api_username = "api_admin"
c.TraefikProxy.traefik_api_password = Path(STATE_DIR, "traefik-api.secret").read_text().strip()
c.TraefikProxy.traefik_entrypoint = "http"
c.TraefikFileProviderProxy.dynamic_config_file = f"{STATE_DIR}/rules/rules.toml"
c.JupyterHub.proxy_class = TraefikFileProviderProxy
c.SystemdSpawner.extra_paths = [f"{USER_ENV_PREFIX}/bin"]
c.SystemdSpawner.default_shell = "/bin/bash"
c.SystemdSpawner.unit_name_template = "jupyter-{USERNAME}"

config = YAML(typ="safe").load(Path(CONFIG_FILE)) or {}
auth = config.get("auth") or {}
c.JupyterHub.authenticator_class = auth.get("type", "firstuseauthenticator.FirstUseAuthenticator")
c.FirstUseAuthenticator.create_users = False
c.FirstUseAuthenticator.allow_all = True
for name, traits in auth.items():
    if name[0].isupper():
        for trait, value in traits.items():
            setattr(c[name], trait, value)
users = config.get("users") or {}
c.Authenticator.allowed_users = set(users.get("allowed") or ())
c.Authenticator.admin_users = set(users.get("admin") or ())
c.Spawner.default_url = "/lab"
c.Spawner.mem_limit = (config.get("limits") or {}).get("memory")

plugins = pluggy.PluginManager("tljh")
plugins.add_hookspecs(hooks)
plugins.load_setuptools_entrypoints("tljh")
plugins.hook.tljh_custom_jupyterhub_config(c=c)

for extra in sorted(Path(CONFIG_DIR, "jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(extra))  # noqa: F821
