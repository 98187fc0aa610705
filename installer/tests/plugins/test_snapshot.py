from __future__ import annotations

import pytest
from tljh.plugins.snapshot import Snapshot, recorded
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue


@pytest.fixture
def c() -> Config:
    c = Config()
    c.JupyterHub.services = [{"name": "cull", "command": ["x"]}]
    c.JupyterHub.bind_url = "http://127.0.0.1"
    c.JupyterHub.tornado_settings = {"headers": {"a": "b"}}
    c.Spawner.args = {"one"}
    c.JupyterHub.template_paths.append("first")
    return c


def test_everything_is_put_back_into_the_same_objects(c: Config) -> None:
    hub, services, lazy = c.JupyterHub, c.JupyterHub.services, c.JupyterHub.template_paths
    before = Snapshot(c)
    c.JupyterHub.services.append({"name": "new"})
    c.JupyterHub.services[0]["command"].append("y")
    c.JupyterHub.services = []
    c.JupyterHub.tornado_settings["headers"]["c"] = "d"
    c.JupyterHub.template_paths.insert(0, "zeroth")
    c.JupyterHub.template_paths.extend(["second"])
    c.JupyterHub.template_vars.update({"a": 1})
    c.Spawner.args.add("two")
    c.Authenticator.admin_users = {"ana"}
    del c.JupyterHub["bind_url"]
    before.restore()
    assert c.JupyterHub is hub
    assert c.JupyterHub.services is services
    assert services == [{"name": "cull", "command": ["x"]}]
    assert c.JupyterHub.tornado_settings == {"headers": {"a": "b"}}
    assert c.JupyterHub.template_paths is lazy
    assert lazy.to_dict() == {"extend": ["first"]}
    assert c.Spawner.args == {"one"}
    assert c.JupyterHub.bind_url == "http://127.0.0.1"
    assert "Authenticator" not in c
    assert "template_vars" not in c.JupyterHub
    assert Snapshot(c).changed() == before.changed() == set()


def test_a_lazy_dictionary_is_put_back(c: Config) -> None:
    c.JupyterHub.template_vars.update({"a": 1})
    before = Snapshot(c)
    c.JupyterHub.template_vars.update({"b": 2})
    before.restore()
    assert c.JupyterHub.template_vars.get_value({}) == {"a": 1}


def test_the_traits_that_changed(c: Config) -> None:
    before = Snapshot(c)
    c.JupyterHub.authenticator_class = "dummy"
    c.JupyterHub.services[0]["name"] = "other"
    c.JupyterHub.template_paths.insert(0, "x")
    c.JupyterHub.extra_handlers.extend(["x"])
    c.LTIAuthenticator.consumers = {}
    del c.JupyterHub["bind_url"]
    assert before.changed() == {
        "JupyterHub.authenticator_class",
        "JupyterHub.services",
        "JupyterHub.template_paths",
        "JupyterHub.extra_handlers",
        "JupyterHub.bind_url",
        "LTIAuthenticator.consumers",
    }


def test_looking_is_no_change(c: Config) -> None:
    before = Snapshot(c)
    assert isinstance(c.JupyterHub.extra_handlers, LazyConfigValue)
    assert c.JupyterHub.bind_url
    assert c.SomeSpawner == {}
    assert before.changed() == set()


def test_values_that_can_not_be_compared(c: Config) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise TypeError

        __hash__ = None  # type: ignore[assignment]

    c.JupyterHub.odd = Odd()
    before = Snapshot(c)
    assert before.changed() == set()
    c.JupyterHub.odd = Odd()
    assert before.changed() == {"JupyterHub.odd"}


def test_an_assignment_of_what_was_there_is_noted(c: Config) -> None:
    with recorded(c) as noted:
        c.JupyterHub.bind_url = "http://127.0.0.1"
        c.Spawner.args = {"one"}
        assert c.JupyterHub.new_list is not None
    assert noted == {"JupyterHub.bind_url", "Spawner.args"}
    assert {type(c), type(c.JupyterHub), type(c.Spawner)} == {Config}
    c.JupyterHub.bind_url = "later"
    assert "later" not in noted


def test_the_types_come_back_after_an_error(c: Config) -> None:
    with pytest.raises(ValueError, match="no"), recorded(c):
        raise ValueError("no")
    assert type(c.JupyterHub) is Config
