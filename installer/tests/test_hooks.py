"""The contract with plugins, and that every hook of it is documented as it is."""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path

import pytest
from plugin_fakes import loaded, source
from tljh import hooks
from tljh.plugins.loading import SPECS, load_plugins
from tljh.plugins.own_settings import OwnSettings

REFERENCE = Path(__file__).parents[2] / "docs" / "plugins" / "hooks.md"
FIRST_PLUGIN = REFERENCE.with_name("first-plugin.md")
TYPED_PLUGINS = REFERENCE.with_name("typed-plugins.md")

CONTRACT = {
    "tljh_extra_user_conda_packages": (),
    "tljh_extra_user_conda_channels": (),
    "tljh_extra_user_pip_packages": (),
    "tljh_extra_hub_pip_packages": (),
    "tljh_extra_apt_packages": (),
    "tljh_environments": (),
    "tljh_custom_jupyterhub_config": ("c",),
    "tljh_config_post_install": ("config",),
    "tljh_post_install": (),
    "tljh_new_user_create": ("username",),
    "tljh_user_deleted": ("username",),
    "tljh_pre_spawn": ("spawner",),
    "tljh_stages": (),
    "tljh_subcommands": ("cli",),
    "tljh_hookspecs": (),
    "tljh_resources": ("config",),
    "tljh_health_checks": (),
    "tljh_post_remove": (),
}


def section(hook: str) -> str:
    """What the reference says about one hook."""
    found = re.search(rf"^## `{hook}\(.*?(?=^## |\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{hook} is not documented in {REFERENCE.name}"
    return found[0]


def examples(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_hooks_are_those_of_tljh_and_our_own() -> None:
    assert dict(SPECS) == CONTRACT
    assert hooks.hookimpl.project_name == "tljh"


@pytest.mark.parametrize("hook", CONTRACT)
def test_a_hook_says_when_it_runs_and_has_an_example(hook: str) -> None:
    text = inspect.getdoc(getattr(hooks, hook)) or ""
    assert re.search(r"^Runs ", text, re.MULTILINE)
    assert f"@hookimpl\n    def {hook}({', '.join(CONTRACT[hook])}):" in text


@pytest.mark.parametrize("hook", CONTRACT)
def test_a_hook_is_documented_with_its_signature(hook: str) -> None:
    text = section(hook)
    assert text.startswith(f"## `{hook}({', '.join(CONTRACT[hook])})`")
    assert "**When:**" in text
    assert examples(text)


@pytest.mark.parametrize("hook", CONTRACT)
def test_the_example_of_a_hook_is_one(hook: str) -> None:
    for number, example in enumerate(examples(section(hook))):
        plugin = types.ModuleType(f"example_{hook}_{number}")
        exec(example, plugin.__dict__)
        found = loaded("example", plugin)
        assert found.problems == ()
        assert found.warnings == ()
        assert hook in found.hooks


def test_the_reference_knows_no_other_hook() -> None:
    documented = set(re.findall(r"^## `(tljh_\w+)\(", REFERENCE.read_text(), re.MULTILINE))
    assert documented == set(CONTRACT)


def test_the_first_plugin_is_one() -> None:
    blocks = [text for text in examples(FIRST_PLUGIN.read_text()) if "@hookimpl" in text]
    assert blocks
    for example in blocks:
        plugin = types.ModuleType("first")
        exec(example, plugin.__dict__)
        found = loaded("first", plugin)
        assert found.problems == found.warnings == ()
        assert found.hooks


def test_the_examples_of_typed_plugins_run_and_say_what_is_so() -> None:
    blocks = examples(TYPED_PLUGINS.read_text())
    assert len(blocks) == 3
    for number, example in enumerate(blocks):
        plugin = types.ModuleType(f"typed_{number}")
        exec(example, plugin.__dict__)


def test_the_error_that_is_shown_is_the_one_that_comes() -> None:
    text = TYPED_PLUGINS.read_text()
    plugin = types.ModuleType("gallery")
    exec(examples(text)[0], plugin.__dict__)
    settings = OwnSettings.of_text(
        "plugins:\n  gallery:\n    title: x\n    size: many\n", "/opt/tljh/config/config.yaml"
    )
    found = load_plugins([source("gallery", plugin.Gallery)], settings)[0]
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown and " ".join(shown[1].split()) == found.failure
