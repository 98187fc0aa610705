"""Each key of config.yaml has its effect on JupyterHub's configuration."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tljh import configurer
from tljh.configurer import apply_config, drop_orphaned_roles, load_config
from tljh.errors import TljhError
from tljh.settings.schema import defaults
from traitlets.config import Config


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(configurer, "STATE_DIR", str(tmp_path))
    return tmp_path


def applied(settings: dict[str, Any]) -> Config:
    c = Config()
    apply_config(settings, c)
    return c


def loaded(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path)


def test_missing_and_empty_files_mean_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "config.yaml") == defaults()
    assert loaded(tmp_path, "") == defaults()
    assert loaded(tmp_path, "users:\nlimits:\n  memory:\n") == defaults()


def test_the_file_is_merged_over_secrets_over_the_defaults(tmp_path: Path, state: Path) -> None:
    (state / "traefik-api.secret").write_text("secret\n")
    config = loaded(tmp_path, "limits:\n  memory: 1G\nquota:\n  default: 5G\n")
    assert config["limits"] == {"memory": "1G", "cpu": None}
    assert config["quota"] == {"default": "5G"}
    assert config["traefik_api"]["password"] == "secret"
    config = loaded(tmp_path, "traefik_api:\n  password: mine\n")
    assert config["traefik_api"]["password"] == "mine"


def test_it_is_plain(tmp_path: Path) -> None:
    config = loaded(tmp_path, "users:\n  admin: ['alice']\nquota: {a: 'b'}\n")
    assert type(config["users"]["admin"]) is list
    assert type(config["users"]["admin"][0]) is str
    assert type(config["quota"]) is dict


def test_neither_the_defaults_nor_the_settings_are_changed() -> None:
    settings: dict[str, Any] = {"users": {"admin": ["alice"]}, "auth": {"FirstUseAuthenticator": {"x": 1}}}
    merged = configurer.with_defaults(settings)
    merged["users"]["admin"].append("eve")
    merged["auth"]["FirstUseAuthenticator"]["create_users"] = True
    applied(settings).FirstUseAuthenticator.create_users = True
    assert settings == {"users": {"admin": ["alice"]}, "auth": {"FirstUseAuthenticator": {"x": 1}}}
    assert configurer.with_defaults({}) == defaults()


def test_a_wrong_type_is_an_error_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        TljhError, match=r'config.yaml line 2: users.admin is the text "alice"; expected a list of text'
    ):
        loaded(tmp_path, "users:\n  admin: alice\n")
    with pytest.raises(TljhError, match=r"users.admin"):
        applied({"users": {"admin": "alice"}})


def test_what_looks_like_a_mistake_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tljh"):
        config = loaded(tmp_path, "limits:\n  memroy: 1G\nquota: 1\n")
    assert config["limits"]["memroy"] == "1G"
    (record,) = caplog.records
    assert "line 2: there is no setting limits.memroy; did you mean limits.memory?" in record.getMessage()


def test_base_url() -> None:
    assert applied({"base_url": "/hubs/1"}).JupyterHub.base_url == "/hubs/1"


def test_the_default_authenticator_lets_in_whom_the_admin_added() -> None:
    c = applied({})
    assert c.JupyterHub.authenticator_class == "firstuseauthenticator.FirstUseAuthenticator"
    assert isinstance(c.JupyterHub.authenticator_class, str)
    assert c.FirstUseAuthenticator.create_users is False
    assert c.FirstUseAuthenticator.allow_all is True


def test_allowed_users_are_not_opened_to_all() -> None:
    assert "allow_all" not in applied({"users": {"allowed": ["alice"]}}).FirstUseAuthenticator
    chosen = {"auth": {"FirstUseAuthenticator": {"allow_all": False}}}
    assert applied(chosen).FirstUseAuthenticator.allow_all is False
    assert "allow_all" not in applied({"auth": {"type": "dummy"}}).FirstUseAuthenticator


def test_traits_of_any_class() -> None:
    auth = {
        "type": "oauthenticator.github.GitHubOAuthenticator",
        "GitHubOAuthenticator": {"client_id": "a", "client_secret": None},
        "LocalAuthenticator": {"create_system_users": True},
        "Empty": None,
    }
    c = applied({"auth": auth})
    assert c.JupyterHub.authenticator_class == "oauthenticator.github.GitHubOAuthenticator"
    assert c.GitHubOAuthenticator == {"client_id": "a"}
    assert c.LocalAuthenticator.create_system_users is True


def test_auth_that_is_no_class_stops_the_hub() -> None:
    with pytest.raises(TljhError, match=r"there is no setting auth.typ; did you mean auth.type"):
        applied({"auth": {"typ": "x"}})


def test_users() -> None:
    users = {"allowed": ["a"], "banned": ["b"], "admin": ["c"], "extra_user_groups": {"lab": ["a"]}}
    c = applied({"users": users})
    assert c.Authenticator.allowed_users == {"a"}
    assert c.Authenticator.blocked_users == {"b"}
    assert c.Authenticator.admin_users == {"c"}
    assert c.UserCreatingSpawner.user_groups == {"lab": ["a"]}


def test_limits() -> None:
    c = applied({"limits": {"memory": "1G", "cpu": 2}})
    assert (c.Spawner.mem_limit, c.Spawner.cpu_limit) == ("1G", 2)
    c = applied({})
    assert (c.Spawner.mem_limit, c.Spawner.cpu_limit) == (None, None)


@pytest.mark.parametrize(("app", "url"), [("jupyterlab", "/lab"), ("classic", "/tree"), ("nteract", "/nteract")])
def test_default_app(app: str, url: str) -> None:
    assert applied({"user_environment": {"default_app": app}}).Spawner.default_url == url


def test_the_proxy_and_its_cheap_hash() -> None:
    api = {"ip": "127.0.0.2", "port": 8100, "username": "me", "password": "secret"}
    c = applied({"traefik_api": api})
    assert c.TraefikProxy.traefik_api_url == "http://127.0.0.2:8100"
    assert c.TraefikProxy.traefik_api_username == "me"
    assert c.TraefikProxy.traefik_api_password == "secret"
    hashed = c.TraefikProxy.traefik_api_hashed_password
    assert hashed.startswith("$2b$04$")
    assert bcrypt.checkpw(b"secret", hashed.encode())
    assert c.TraefikProxy.traefik_entrypoint == "http"
    assert applied({"https": {"enabled": True}}).TraefikProxy.traefik_entrypoint == "https"


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_no_hash_where_bcrypt_would_refuse(password: str) -> None:
    c = applied({"traefik_api": {"password": password}})
    assert "traefik_api_hashed_password" not in c.TraefikProxy


def test_the_culler_has_only_the_rights_that_it_needs() -> None:
    c = applied({})
    (service,), (role,) = c.JupyterHub.services, c.JupyterHub.load_roles
    assert service["name"] == "cull-idle"
    assert "admin" not in service
    assert service["command"][1:] == [
        "-m",
        "jupyterhub_idle_culler",
        "--timeout=600",
        "--cull-every=60",
        "--concurrency=5",
        "--max-age=0",
    ]
    assert role["services"] == ["cull-idle"]
    assert role["scopes"] == ["list:users", "read:users:activity", "read:servers", "delete:servers"]


def test_the_culler_as_set() -> None:
    cull = {"timeout": 1, "every": 2, "concurrency": 3, "max_age": 4, "users": True, "remove_named_servers": True}
    c = applied({"services": {"cull": cull}})
    assert c.JupyterHub.services[0]["command"][3:] == [
        "--timeout=1",
        "--cull-every=2",
        "--concurrency=3",
        "--max-age=4",
        "--cull-users",
        "--remove-named-servers",
    ]
    assert "admin:users" in c.JupyterHub.load_roles[0]["scopes"]


def test_no_culler() -> None:
    c = applied({"services": {"cull": {"enabled": False}}})
    assert c.JupyterHub.services == []
    assert c.JupyterHub.load_roles == []


def test_a_plugin_may_replace_the_services() -> None:
    c = applied({})
    c.JupyterHub.load_roles.append({"name": "mine", "services": ["mine"]})
    drop_orphaned_roles(c)
    assert len(c.JupyterHub.load_roles) == 2
    c.JupyterHub.services = [{"name": "mine"}]
    drop_orphaned_roles(c)
    assert c.JupyterHub.load_roles == [{"name": "mine", "services": ["mine"]}]
