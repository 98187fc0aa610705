from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plugin_fakes import loaded, module, source
from tljh.errors import TljhError
from tljh.hooks import hookimpl
from tljh.plugins import hub_record, runtime
from tljh.plugins.loading import LoadedPlugin, PluginSource, load_plugins
from tljh.plugins.runtime import run_hub_hooks
from traitlets.config import Config

HARMLESS = "def tljh_custom_jupyterhub_config(c):\n    c.JupyterHub.template_vars.update(x=1)\n"


class Writer:
    """Writes files and counts them."""

    def __init__(self) -> None:
        self.written = 0

    def write_file(self, path: Path, content: bytes, *, mode: int = 0o644) -> None:
        assert mode == 0o600
        path.write_bytes(content)
        self.written += 1


class Hub:
    """A hub that is started again and again."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.machine: Any = Writer()
        self.source = [HARMLESS]
        self.c = Config()

    def start(self, *plugins: LoadedPlugin) -> Config:
        self.c = Config()
        self.c.JupyterHub.authenticator_class = "first"
        self.c.JupyterHub.services = [{"name": "cull"}]
        run_hub_hooks(
            self.c,
            state_dir=self.state,
            plugins=plugins,
            machine=self.machine,
            sources=lambda source: self.source,
        )
        return self.c

    def record(self) -> dict[str, Any]:
        found = json.loads((self.state / hub_record.NAME).read_text())
        return {name: run["traits"] for name, run in found["plugins"].items()}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def plugin(name: str, hook: Any, version: str = "1.0") -> LoadedPlugin:
    return loaded(name, module(tljh_custom_jupyterhub_config=hook), version)


def fails(c: Any) -> None:
    raise RuntimeError("out of order")


def announces(c: Any) -> None:
    c.JupyterHub.template_vars.update({"announcement": "hello"})
    c.JupyterHub.services.append({"name": "more"})


def announces_and_fails(c: Any) -> None:
    announces(c)
    fails(c)


def authenticates(c: Any) -> None:
    c.JupyterHub.authenticator_class = "other"


def test_a_plugin_changes_c_and_what_it_set_is_recorded(hub: Hub) -> None:
    c = hub.start(plugin("a", announces))
    assert c.JupyterHub.services == [{"name": "cull"}, {"name": "more"}]
    assert hub.record() == {"a": ["JupyterHub.services", "JupyterHub.template_vars"]}


def test_plugins_run_in_order_and_see_each_other(hub: Hub) -> None:
    def second(c: Any) -> None:
        assert c.JupyterHub.authenticator_class == "other"
        c.JupyterHub.authenticator_class = "third"

    assert hub.start(plugin("b", second), plugin("a", authenticates)).JupyterHub.authenticator_class == "third"


def test_the_record_is_written_only_when_it_changes(hub: Hub) -> None:
    hub.start(plugin("a", announces))
    hub.start(plugin("a", announces))
    assert hub.machine.written == 1


def test_who_only_reads_the_configuration_records_nothing(tmp_path: Path) -> None:
    run_hub_hooks(Config(), state_dir=tmp_path, record=False, plugins=[plugin("a", announces)])
    assert not list(tmp_path.iterdir())


def test_a_plugin_without_the_hook_is_recorded_as_harmless(hub: Hub) -> None:
    hub.start(loaded("a", module(tljh_post_install=lambda: None)))
    assert hub.record() == {"a": []}


def test_a_failing_plugin_costs_its_own_settings_only(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    c = hub.start(plugin("a", announces_and_fails), plugin("b", announces))
    assert c.JupyterHub.services == [{"name": "cull"}, {"name": "more"}]
    assert caplog.records[0].levelno == logging.ERROR
    first, *trace = caplog.records[0].getMessage().splitlines()
    assert first == (
        "plugin a (tljh-a 1.0): tljh_custom_jupyterhub_config failed: RuntimeError: out of order; "
        "the hub starts without this plugin's settings"
    )
    assert "Traceback" in trace[0]
    assert list(hub.record()) == ["b"]


def test_why_a_plugin_failed_is_kept_until_it_works_again(hub: Hub) -> None:
    failed = "plugin a (tljh-a 1.0): tljh_custom_jupyterhub_config failed: RuntimeError: out of order"
    hub.start(plugin("a", announces), plugin("b", announces))
    assert hub_record.read(hub.state).failed == {}
    hub.start(plugin("a", announces_and_fails), plugin("b", announces))
    assert hub_record.read(hub.state).failed == {"a": failed}
    hub.start(plugin("a", announces), plugin("b", announces))
    assert hub_record.read(hub.state).failed == {}


def test_it_is_kept_where_the_hub_does_not_start(hub: Hub) -> None:
    hub.start(plugin("a", authenticates), plugin("b", announces))
    with pytest.raises(TljhError, match="The hub does not start"):
        hub.start(plugin("a", fails), plugin("b", announces))
    assert list(hub_record.read(hub.state).failed) == ["a"]
    assert list(hub.record()) == ["a", "b"], "what they set when they ran well is still known"


def test_c_stays_the_same_object(hub: Hub) -> None:
    c = hub.start(plugin("a", announces_and_fails))
    assert c is hub.c
    assert c.JupyterHub.services == [{"name": "cull"}]
    assert "template_vars" not in c.JupyterHub


def test_what_a_failing_plugin_set_last_time_stays_recorded(hub: Hub) -> None:
    hub.start(plugin("a", announces))
    hub.start(plugin("a", fails))
    assert hub.record() == {"a": ["JupyterHub.services", "JupyterHub.template_vars"]}


def sets(name: str, trait: str) -> Any:
    def hook(c: Any) -> None:
        setattr(c[name], trait, "x")

    return hook


@pytest.mark.parametrize(
    ("section", "trait"),
    [
        ("JupyterHub", "authenticator_class"),
        ("JupyterHub", "spawner_class"),
        ("LTI11Authenticator", "consumers"),
        ("Authenticator", "allow_all"),
        ("Spawner", "cmd"),
        ("SystemdSpawner", "mem_limit"),
    ],
)
def test_a_plugin_that_decides_about_logins_keeps_the_hub_from_starting(
    hub: Hub, section: str, trait: str
) -> None:
    hub.start(plugin("a", sets(section, trait)))
    with pytest.raises(TljhError) as error:
        hub.start(plugin("a", fails))
    assert error.value.what.startswith(
        "plugin a (tljh-a 1.0): tljh_custom_jupyterhub_config failed: RuntimeError: out of order\n"
        f"The hub does not start without this plugin's settings, because it sets {section}.{trait}: "
    )
    assert "install a version of tljh-a that works" in (error.value.todo or "")


@pytest.mark.parametrize(
    "broken", [ImportError("gone"), module(tljh_custom_jupyterhub_config=lambda config: None)]
)
def test_one_that_can_not_be_loaded_or_called_counts_the_same_way(hub: Hub, broken: object) -> None:
    hub.start(plugin("a", authenticates), plugin("b", announces))
    hub.start(plugin("a", authenticates), loaded("b", broken))
    with pytest.raises(TljhError, match=r"because it sets JupyterHub.authenticator_class"):
        hub.start(loaded("a", broken), plugin("b", announces))


def test_setting_what_another_plugin_set_already_counts_as_well(hub: Hub) -> None:
    hub.start(plugin("a", authenticates), plugin("b", authenticates))
    with pytest.raises(TljhError, match=r"plugin b .*\n.*it sets JupyterHub.authenticator_class"):
        hub.start(plugin("b", fails))


def test_what_was_set_before_the_failure_counts_in_the_first_run_too(hub: Hub) -> None:
    def hook(c: Any) -> None:
        c.OAuthenticator.client_id = "x"
        fails(c)

    with pytest.raises(TljhError, match=r"it sets OAuthenticator.client_id"):
        hub.start(plugin("a", hook))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (["c.JupyterHub.authenticator_class = x"], "its source mentions authenticator_class"),
        (["", "from x import GitHubOAuthenticator"], "its source mentions GitHubOAuthenticator"),
        (["c.Spawner.cmd = []"], "its source mentions Spawner"),
        ([], "what it would set is not known"),
    ],
)
def test_of_a_plugin_that_never_ran_well_the_source_decides(hub: Hub, source: list[str], why: str) -> None:
    hub.source = source
    with pytest.raises(TljhError, match=why):
        hub.start(loaded("a", ImportError("gone")))


def test_so_it_does_for_a_new_version(hub: Hub) -> None:
    hub.start(plugin("a", announces))
    hub.source = ["c.Spawner.cmd = []"]
    hub.start(plugin("a", fails))
    with pytest.raises(TljhError, match="never run well in this version"):
        hub.start(plugin("a", fails, "2.0"))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"plugins": {"a": 1}}'])
def test_a_record_that_can_not_be_read_is_no_record(hub: Hub, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (hub.state / hub_record.NAME).write_text(text)
    hub.start(plugin("a", announces))
    assert "can't be read; the hub writes it anew as it starts" in caplog.text
    assert list(hub.record()) == ["a"]


def test_the_second_of_two_plugins_of_one_name(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    one = plugin("a", authenticates)
    two = LoadedPlugin(one.source, failure="plugin a can't be loaded: there is another one of this name")
    hub.start(one, two)
    assert "another one of this name" in caplog.text
    assert hub.record() == {"a": ["JupyterHub.authenticator_class"]}


def test_sources_are_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_plugin_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError\n")
    (package / "hooks.py").write_text("two\n")
    (tmp_path / "a_plugin_module.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def texts(value: str) -> list[str]:
        return runtime._source_texts(PluginSource("a", value, "tljh-not-installed", "1", lambda: None))

    assert texts("a_plugin_package.hooks:plugin") == ["raise RuntimeError\n", "two\n"]
    assert texts("a_plugin_module") == ["raise SystemExit\n"]
    assert texts("a_plugin_that_is_gone") == []


def test_of_a_single_file_the_source_is_the_file(
    hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.py"
    source = PluginSource("a", str(file), "", "1", lambda: None, "file", str(file))
    broken = LoadedPlugin(source, failure="plugin a can't be loaded")
    file.write_text("c.JupyterHub.template_vars = {}\n")
    hub.source = runtime._source_texts(source)
    hub.start(broken)
    assert "plugin a can't be loaded; the hub starts without this plugin's settings" in caplog.text
    file.write_text("c.JupyterHub.authenticator_class = x\n")
    hub.source = runtime._source_texts(source)
    with pytest.raises(TljhError, match=f"→ mend {file}, or move it away and choose another authenticator"):
        hub.start(broken)


# ---- wrappers, and plugins that are switched off


def wrapper(function: Any) -> Any:
    made = module()
    made.tljh_custom_jupyterhub_config = hookimpl(wrapper=True)(function)
    return made


def started(hub: Hub, **plugins: Any) -> Config:
    return hub.start(*load_plugins([source(name, made) for name, made in plugins.items()]))


def test_what_a_wrapper_sets_is_its_own(hub: Hub) -> None:
    def around(c: Any) -> Any:
        c.JupyterHub.hub_ip = "0.0.0.0"
        yield
        c.JupyterHub.services = [row for row in c.JupyterHub.services if row["name"] != "cull"]

    c = started(hub, a=module(tljh_custom_jupyterhub_config=announces), w=wrapper(around))
    assert (c.JupyterHub.hub_ip, c.JupyterHub.services) == ("0.0.0.0", [{"name": "more"}])
    assert hub.record() == {
        "a": ["JupyterHub.services", "JupyterHub.template_vars"],
        "w": ["JupyterHub.hub_ip", "JupyterHub.services"],
    }


def test_the_half_of_a_wrapper_that_fails_is_taken_back(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    def around(c: Any) -> Any:
        yield
        announces_and_fails(c)

    c = started(hub, a=module(tljh_custom_jupyterhub_config=announces), w=wrapper(around))
    assert c.JupyterHub.services == [{"name": "cull"}, {"name": "more"}]
    assert "plugin w (tljh-w 1.0): tljh_custom_jupyterhub_config failed: RuntimeError: out of order" in caplog.text
    assert list(hub.record()) == ["a"]


def test_a_plugin_that_is_switched_off_does_nothing_in_the_hub(hub: Hub) -> None:
    off = replace(source("a", RuntimeError("imported")), off=True)
    hub.start(*load_plugins([off, source("b", module(tljh_custom_jupyterhub_config=announces))]))
    assert list(hub.record()) == ["b"]
