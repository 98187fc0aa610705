"""The names of tljh.config that plugins and scripts import."""

from __future__ import annotations

from pathlib import Path

import pytest
from tljh import config
from tljh.errors import TljhError
from tljh.settings import reload


def test_places_are_text_below_one_prefix() -> None:
    assert config.STATE_DIR == config.INSTALL_PREFIX + "/state"
    assert config.HUB_ENV_PREFIX == config.INSTALL_PREFIX + "/hub"
    assert config.USER_ENV_PREFIX == config.INSTALL_PREFIX + "/user"
    assert config.CONFIG_FILE == config.CONFIG_DIR + "/config.yaml"
    assert isinstance(config.CONFIG_FILE, str)


def test_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "config.yaml")
    config.set_config_value(path, "limits.cpu", 2)
    config.add_config_value(path, "users.admin", "alice")
    config.add_config_value(path, "users.admin", "bob")
    config.remove_config_value(path, "users.admin", "alice")
    assert config.get_config_value(path, "users.admin") == ["bob"]
    config.unset_config_value(path, "limits.cpu")
    config.show_config(path)
    assert capsys.readouterr().out == "users:\n  admin:\n  - bob\n"


def test_validation_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(TljhError, match=r"there is no setting limits.disk"):
        config.set_config_value(path, "limits.disk", 1)
    config.set_config_value(path, "limits.disk", 1, validate=False)
    assert path.read_text() == "limits:\n  disk: 1\n"


def test_parse_value() -> None:
    assert config.parse_value("12") == 12


def test_reload_component(monkeypatch: pytest.MonkeyPatch) -> None:
    reloaded: list[str] = []
    monkeypatch.setattr(reload, "reload_component", lambda component, *where: reloaded.append(component))
    config.reload_component("proxy")
    assert reloaded == ["proxy"]
