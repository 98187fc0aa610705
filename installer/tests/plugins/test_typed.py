"""``tljh.Plugin``: settings from config.yaml, checked, shown and hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import tljh
from plugin_fakes import source
from pydantic import BaseModel, Field, SecretStr, field_validator
from tljh.errors import TljhError
from tljh.hooks import hookimpl
from tljh.plugins.loading import LoadedPlugin, load_plugins
from tljh.plugins.manager import PluginManager
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.typed import WrongSettings, name_of, schema_of, values_of

FILE = "/opt/tljh/config/config.yaml"


class Theme(BaseModel):
    colour: str = "blue"
    width: int = 3


class Gallery(tljh.Plugin):
    name = "gallery"

    title: str = Field(default="Images", description="What the page is called")
    size: int = Field(default=10, ge=1, le=100, description="How many images a page shows")
    courses: list[str] = Field(default=[])
    order: Literal["name", "date"] = "name"
    theme: Theme = Theme()
    folder: Path = Path("/srv")
    token: SecretStr = SecretStr("")
    api_password: str = ""

    @field_validator("courses")
    @classmethod
    def _no_spaces(cls, courses: list[str]) -> list[str]:
        if any(" " in course for course in courses):
            raise ValueError("a course has no spaces in its name")
        return courses

    @hookimpl
    def tljh_extra_apt_packages(self) -> list[str]:
        return [self.title]


class Needs(tljh.Plugin):
    key: str = Field(description="Where to ask")

    @hookimpl
    def tljh_post_install(self) -> None: ...


def load(text: str, cls: Any = Gallery, name: str = "gallery") -> LoadedPlugin:
    return load_plugins([source(name, cls)], OwnSettings.of_text(text, FILE))[0]


def test_self_has_the_settings() -> None:
    found = load("plugins:\n  gallery: {title: Ours, theme: {colour: red}}\n")
    assert found.problems == found.warnings == ()
    assert isinstance(found.plugin, Gallery)
    assert (found.plugin.title, found.plugin.theme.colour, found.plugin.theme.width) == ("Ours", "red", 3)


@pytest.mark.parametrize("text", ["", "plugins:\n", "plugins:\n  gallery:\n", "plugins: {gallery: {}}\n"])
def test_without_settings_there_are_defaults(text: str) -> None:
    plugin: Any = load(text).plugin
    assert plugin.size == 10


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            "size: many",
            'line 3: plugins.gallery.size is the text "many"; expected a whole number (How many',
        ),
        ("size: 1.5", "line 3: plugins.gallery.size is the number 1.5; expected a whole number"),
        ("size: 0", "plugins.gallery.size is the number 0; expected something that is greater than or equal to 1"),
        ("title: [a]", "plugins.gallery.title is a list; expected text (What the page is called)"),
        ("courses: maps", 'plugins.gallery.courses is the text "maps"; expected a list'),
        ("courses: [maps, 3]", "line 3: plugins.gallery.courses.1 is the number 3; expected text"),
        ("courses: [a b]", "plugins.gallery.courses is a list; a course has no spaces in its name"),
        ("order: size", "plugins.gallery.order is the text \"size\"; expected 'name' or 'date'"),
        ("theme: 3", "plugins.gallery.theme is the number 3; expected a mapping"),
        ("theme: {width: wide}", 'plugins.gallery.theme.width is the text "wide"; expected a whole number'),
        ("titel: x", "line 3: there is no setting plugins.gallery.titel; did you mean plugins.gallery.title?"),
        ("zzz: x", "there is no setting plugins.gallery.zzz; the plugin has title, size, courses"),
        ("token: [1]", "plugins.gallery.token is not what it can be; expected text"),
        ("api_password: [geheim]", "plugins.gallery.api_password is not what it can be; expected text"),
    ],
)
def test_wrong_settings_are_told_with_file_line_key_and_what_is_expected(lines: str, words: str) -> None:
    failure = load(f"plugins:\n  gallery:\n    {lines}\n").failure or ""
    assert failure.startswith(f"plugin gallery (tljh-gallery 1.0) can't be loaded: {FILE} line 3: ")
    assert words in failure
    assert "geheim" not in failure


def test_every_wrong_setting_is_told() -> None:
    failure = load("plugins:\n  gallery:\n    size: x\n    title: 3\n").failure or ""
    assert "line 3: plugins.gallery.size" in failure and f"; {FILE} line 4: plugins.gallery.title" in failure


def test_settings_that_are_no_mapping() -> None:
    failure = load("x: 1\nplugins:\n  gallery: yes please\n").failure or ""
    assert failure.endswith(f'{FILE} line 3: plugins.gallery is the text "yes please"; expected a mapping')


def test_a_setting_without_a_default_is_asked_for() -> None:
    failure = load("plugins:\n  other: {}\n", Needs, "needs").failure or ""
    assert failure.endswith("line 1: plugins.needs.key is missing, and has no default (Where to ask)")
    assert load("plugins: {needs: {key: x}}\n", Needs, "needs").problems == ()


def test_a_config_that_cannot_be_read_fails_only_those_who_need_it() -> None:
    settings = OwnSettings.of_text("a: [\n", FILE)
    plain = type("Plain", (), {"tljh_extra_apt_packages": hookimpl(lambda self: ["x"])})
    typed, other = load_plugins([source("gallery", Gallery), source("plain", plain)], settings)
    assert "can't be loaded" in (typed.failure or "")
    assert other.problems == ()


def test_the_name_is_that_of_the_entry_point() -> None:
    found = load("plugins: {images: {title: Ours}}\n", Gallery, "images")
    assert found.plugin.title == "Ours"  # type: ignore[union-attr, attr-defined]
    assert found.warnings == (
        "plugin images (tljh-images 1.0): it calls itself gallery; its name is images, "
        "and its settings stand under plugins.images",
    )


class NamedByField(tljh.Plugin):
    name: str = "field"  # type: ignore[misc]


class NamedByVariable(tljh.Plugin):
    name: ClassVar[str] = "variable"


def test_how_a_plugin_names_itself() -> None:
    assert [name_of(cls) for cls in (Gallery, NamedByField, NamedByVariable, Needs, str)] == [
        "gallery",
        "field",
        "variable",
        None,
        None,
    ]
    assert "name" not in schema_of(NamedByField())["properties"]


def test_settings_are_shown_without_secrets() -> None:
    plugin = Gallery(token=SecretStr("geheim"), api_password="geheim", folder=Path("/x"))
    values = values_of(plugin)
    assert (values["token"], values["api_password"], values["folder"]) == ("***", "***", "/x")
    assert values["theme"] == {"colour": "blue", "width": 3}
    assert "geheim" not in str(values) + str(schema_of(plugin))
    assert schema_of(plugin)["properties"]["size"]["description"] == "How many images a page shows"


class Odd:
    """No type of pydantic's."""


class WithOddType(tljh.Plugin):
    odd: Odd = Field(default=Odd(), description="Something")


def test_a_type_without_a_schema_is_described_all_the_same() -> None:
    assert schema_of(WithOddType())["properties"] == {"odd": {"description": "Something"}}
    assert "Odd object" in values_of(WithOddType())["odd"]


def test_registered_directly() -> None:
    manager = PluginManager([Gallery], settings={"gallery": {"title": "Ours"}})
    assert manager.hook.tljh_extra_apt_packages() == [["Ours"]]
    with pytest.raises(WrongSettings) as caught:
        PluginManager([Gallery], settings={"gallery": {"size": "x"}})
    assert str(caught.value) == (
        'plugins.gallery.size is the text "x"; expected a whole number (How many images a page shows)'
    )
    assert isinstance(caught.value, TljhError)


def test_two_objects_with_the_same_settings_are_two() -> None:
    one, two = Gallery(), Gallery()
    assert one != two and len({one, two}) == 2
    manager = PluginManager()
    manager.register(one, "one")
    manager.register(two, "two")
    assert len(manager.plugins) == 2


def test_hooks_need_a_manager() -> None:
    with pytest.raises(RuntimeError, match="Gallery is not registered with a plugin manager"):
        Gallery().hooks  # noqa: B018


def test_an_unmarked_method_is_reported_and_pydantics_own_are_not() -> None:
    class Forgetful(tljh.Plugin):
        def tljh_post_install(self) -> None: ...

    assert load("", Forgetful, "f").warnings == (
        "plugin f (tljh-f 1.0): tljh_post_install is named like a hook but has no @hookimpl; it is never called",
    )
