"""The services that plugins state, in the hub's configuration."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.services.service import Service
from tljh.declare import HubService
from tljh.hub.plugin_services import add_services
from traitlets.config import Config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plugin-services.json"


def write(file: Path, *services: HubService) -> None:
    listed = [{"plugin": "a", **{k: v for k, v in row.as_dict().items() if k != "kind"}} for row in services]
    file.write_text(json.dumps({"services": listed}))


def configured(file: Path, **before: Any) -> Config:
    c = Config({"JupyterHub": before})
    add_services(c, file)
    return c


def test_a_service_and_what_it_may_do(file: Path) -> None:
    write(file, HubService(name="Announce", command=["/bin/x"], scopes=["read:users"], environment={"A": "1"}))
    c = configured(file, services=[{"name": "cull-idle"}], load_roles=[{"name": "r"}])
    assert c.JupyterHub.services == [
        {"name": "cull-idle"},
        {"name": "Announce", "command": ["/bin/x"], "environment": {"A": "1"}},
    ]
    assert c.JupyterHub.load_roles == [
        {"name": "r"},
        {"name": "service-announce", "scopes": ["read:users"], "services": ["Announce"]},
    ]


def test_every_field_is_one_that_jupyterhub_has(file: Path) -> None:
    full = HubService(
        name="full",
        url="http://127.0.0.1:9",
        command=["/bin/x"],
        admin=True,
        environment={"A": "1"},
        api_token="t",
        cwd="/srv",
        user="ana",
        oauth_redirect_uri="/x",
        oauth_no_confirm=True,
        oauth_client_allowed_scopes=["inherit"],
        display=False,
        info={"a": 1},
    )
    write(file, full)
    (service,) = configured(file).JupyterHub.services
    assert set(service) == set(full.as_dict()) - {"kind", "scopes"}
    assert set(service) <= set(Service.class_traits(input=True))


def test_a_service_that_is_there_counts_more(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(file, HubService(name="x", command=["/bin/mine"], scopes=["read:users"]))
    with caplog.at_level(logging.WARNING, "tljh.hub"):
        c = configured(file, services=[{"name": "x", "command": ["/bin/theirs"]}])
    assert c.JupyterHub.services == [{"name": "x", "command": ["/bin/theirs"]}]
    assert c.JupyterHub.load_roles == []
    assert "plugin a: there is a service x already, so its own is left out" in caplog.text


def test_without_any_nothing_is_set(file: Path) -> None:
    assert "services" not in configured(file).JupyterHub
    write(file)
    assert "services" not in configured(file).JupyterHub


def test_a_file_that_cannot_be_read(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("{")
    with caplog.at_level(logging.ERROR, "tljh.hub"):
        assert "services" not in configured(file).JupyterHub
    assert "the services of plugins are missing; 'tljh install' mends it" in caplog.text
