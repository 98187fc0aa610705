from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tljh.configurer
import tljh.plugins.runtime
from tljh.errors import TljhError
from tljh.hub import configure as module
from tljh.hub import servers_local
from tljh.hub.limits import Hierarchy
from traitlets.config import Config

SETTINGS: dict[str, Any] = {
    "traefik_api": {"password": "s3cret"},
    "https": {"enabled": False, "port": 443},
    "http": {"port": 8000},
}


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The steps as they come."""
    steps: list[str] = []
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    monkeypatch.setattr(module.systemd, "is_running", lambda: True)
    monkeypatch.setattr(tljh.configurer, "load_config", lambda: SETTINGS)
    monkeypatch.setattr(tljh.configurer, "apply_config", lambda config, c: steps.append("config.yaml"))
    monkeypatch.setattr(tljh.plugins.runtime, "run_hub_hooks", lambda c, **how: steps.append("plugins"))
    monkeypatch.setattr(module, "mend_authenticator", lambda configured: steps.append(f"mends {configured}"))
    folder = tmp_path / "config/jupyterhub_config.d"
    folder.mkdir(parents=True)
    for name in ("b.py", "a.py", "notes.txt"):
        (folder / name).write_text("")
    return steps


def test_config_yaml_then_plugins_then_the_admins_files_then_mends(order: list[str]) -> None:
    c = Config()
    module.configure(c, lambda file: order.append(Path(file).name))
    mends = "mends firstuseauthenticator.FirstUseAuthenticator"
    assert order == ["config.yaml", "plugins", "a.py", "b.py", mends]


def test_the_defaults(order: list[str], tmp_path: Path) -> None:
    c = Config()
    module.configure(c, lambda file: None)
    assert c.JupyterHub.hub_port == 15001
    assert c.JupyterHub.cleanup_servers is False
    assert c.JupyterHub.db_url == f"sqlite:///{tmp_path}/state/jupyterhub.sqlite"
    assert c.FirstUseAuthenticator.dbm_path == f"{tmp_path}/state/passwords.dbm"
    assert c.SystemdSpawner.extra_paths == [f"{tmp_path}/bin/user", f"{tmp_path}/user/bin"]
    assert c.SystemdSpawner.unit_extra_properties == {"OOMPolicy": "continue"}
    assert c.TraefikFileProviderProxy.dynamic_config_file == f"{tmp_path}/state/rules/rules.toml"
    assert c.TraefikProxy.should_start is False
    assert c.JupyterHub.port == 8000


def test_without_the_proxys_secret_the_hub_says_what_to_do(order: list[str]) -> None:
    config = {**SETTINGS, "traefik_api": {"password": ""}}
    with pytest.raises(TljhError, match="the secret that the hub and the proxy share is missing") as caught:
        module.connect_proxy(Config(), config, module.Paths(Path("/opt/tljh")))
    assert "tljh install" in str(caught.value)


def test_limits_that_do_not_hold_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.systemd, "is_running", lambda: False)
    monkeypatch.setattr(servers_local, "hierarchy", Hierarchy)
    said = module.unenforced(Config({"Spawner": {"mem_limit": "1G", "cpu_limit": None}}))
    assert any("limits.memory" in sentence for sentence in said)
    assert not any("limits.cpu" in sentence for sentence in said)
