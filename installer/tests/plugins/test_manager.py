"""``tljh.PluginManager``: plugins registered directly, and hooks that plugins bring."""

from __future__ import annotations

import types
from typing import Any

import pytest
import tljh
from plugin_fakes import module
from tljh.errors import TljhError
from tljh.hooks import hookimpl, hookspec
from tljh.plugins.manager import CORE, PluginManager


class Gallery:
    """Brings two hooks."""

    class Specs:
        @hookspec
        def gallery_images(self, course: str) -> list[str]:
            """Paths."""

        @hookspec(firstresult=True)
        def gallery_title(course: str) -> str:
            """A text."""

    @hookimpl
    def tljh_hookspecs(self) -> Any:
        return self.Specs


class Images:
    def __init__(self, title: str | None = None) -> None:
        self.title = title

    @hookimpl
    def gallery_images(self, course: str) -> list[str]:
        return [f"{course}.png"]

    @hookimpl
    def gallery_title(self) -> str | None:
        return self.title


def test_names_come_when_they_are_asked_for() -> None:
    assert tljh.PluginManager is PluginManager
    assert tljh.hookimpl is hookimpl and tljh.hookspec is hookspec
    assert {"Plugin", "Stage", "declare"} <= set(dir(tljh))
    with pytest.raises(AttributeError, match="module 'tljh' has no attribute 'Plugins'"):
        tljh.Plugins  # noqa: B018


def test_plugins_are_called_in_the_order_in_which_they_are_given() -> None:
    first, second = module(tljh_extra_apt_packages=lambda: ["a"]), module(tljh_extra_apt_packages=lambda: ["b"])
    first.__name__, second.__name__ = "z", "a"
    manager = PluginManager([first, second])
    assert manager.hook.tljh_extra_apt_packages() == [["a"], ["b"]]
    assert list(manager.plugins) == ["z", "a"]


def test_two_of_one_name() -> None:
    one, two = module(tljh_extra_apt_packages=lambda: ["1"]), module(tljh_extra_apt_packages=lambda: ["2"])
    manager = PluginManager()
    assert manager.register(one, "x") == "x"
    with pytest.raises(TljhError, match=r"there is a plugin named x already.*\n.*overwrite=True") as caught:
        manager.register(two, "x")
    assert "module 'plugin'" in str(caught.value)
    assert manager.register(two, "x", overwrite=True) == "x"
    assert manager.hook.tljh_extra_apt_packages() == [["2"]]
    manager.unregister(name="x")
    assert manager.plugins == {}
    manager.register(one, "x")
    assert manager.hook.tljh_extra_apt_packages() == [["1"]]


def test_one_that_is_wrong_does_not_take_the_place_of_one_that_works() -> None:
    manager = PluginManager()
    manager.register(module(tljh_extra_apt_packages=lambda: ["1"]), "x")
    with pytest.raises(TljhError, match="plugin x: tljh_new_user_create wants name, but the hook gives username"):
        manager.register(module(tljh_new_user_create=lambda name: None), "x", overwrite=True)
    assert manager.hook.tljh_extra_apt_packages() == [["1"]]


async def awaits(username: str) -> None:
    """Looks like a hook."""


def by_keyword(*, username: str) -> None:
    """Looks like a hook."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (awaits, "tljh_new_user_create is async, and hooks are plain functions: nobody would await it"),
        (
            by_keyword,
            "tljh_new_user_create wants username by keyword (after *), and hooks are given plain arguments",
        ),
    ],
)
def test_functions_that_could_not_be_called(function: Any, words: str) -> None:
    """pluggy takes them, and says nothing when they are never run, or only when somebody's home is made."""
    with pytest.raises(TljhError) as caught:
        PluginManager().register(module(tljh_new_user_create=function), "x")
    assert words in str(caught.value)


def test_a_hook_of_a_plugin_may_be_async() -> None:
    """Whoever brings it awaits it."""
    manager = PluginManager([bringing(specs(show=lambda course: None))])

    async def show(course: str) -> str:
        return course

    manager.register(module(show=show), "x")
    (answer,) = manager.hook.show(course="maps")
    answer.close()


@pytest.mark.parametrize("plugins", [[Gallery(), Images()], [Images(), Gallery()], [Gallery, Images()]])
def test_hooks_of_plugins_work_in_any_order(plugins: list[object]) -> None:
    manager = PluginManager(plugins)
    assert manager.hook.gallery_images(course="maps") == [["maps.png"]]
    assert manager.unknown() == []


def test_the_first_result_is_the_answer() -> None:
    manager = PluginManager([Gallery()])
    assert manager.hook.gallery_title(course="maps") is None
    for name, title in (("a", "last"), ("b", "Maps"), ("c", None)):
        manager.register(Images(title), name)
    assert manager.hook.gallery_title(course="maps") == "Maps", "pluggy asks the newest first"


def test_functions_for_hooks_that_nobody_has() -> None:
    plugin = Images()
    other = module(tljh_extra_apt_package=lambda: [])
    other.maybe = hookimpl(optionalhook=True)(lambda: None)  # type: ignore[attr-defined]
    manager = PluginManager([other])
    manager.register(plugin, "images")
    assert manager.unknown() == [
        "plugin images: gallery_images is not a hook",
        "plugin images: gallery_title is not a hook",
        "plugin plugin: tljh_extra_apt_package is not a hook (did you mean tljh_extra_apt_packages?)",
    ]


def bringing(*namespaces: object) -> types.ModuleType:
    return module(tljh_hookspecs=lambda: namespaces)


def specs(**functions: Any) -> type:
    return type("Specs", (), {name: hookspec(function) for name, function in functions.items()})


def test_two_that_bring_a_hook_alike_are_one_and_differently_an_error() -> None:
    manager = PluginManager()
    manager.register(bringing(specs(show=lambda course: None)), "a")
    manager.register(bringing(specs(show=lambda course: None)), "b")
    with pytest.raises(TljhError) as caught:
        manager.register(bringing(specs(show=lambda course, size: None, other=lambda: None)), "c")
    assert str(caught.value) == (
        "plugin c and plugin a bring the hook show differently: show(course, size) and show(course)"
    )
    assert "other" not in manager.specs


@pytest.mark.parametrize(
    ("brought", "words"),
    [
        (
            specs(tljh_post_install=lambda: None),
            "plugin a: tljh_hookspecs brings tljh_post_install, which is a",
        ),
        (
            specs(tljh_hookspecs=lambda: None),
            "plugin a: tljh_hookspecs brings tljh_hookspecs, which is a",
        ),
        (Images, "plugin a: tljh_hookspecs returned Images, which has no function with @hookspec"),
        ("gallery", "plugin a: tljh_hookspecs returned 'gallery', which has no function with @hookspec"),
    ],
)
def test_hooks_that_cannot_be_brought(brought: object, words: str) -> None:
    manager = PluginManager()
    with pytest.raises(TljhError, match=words):
        manager.register(module(tljh_hookspecs=lambda: brought), "a")
    assert set(manager.specs) == set(CORE)


def test_a_module_can_be_what_is_brought() -> None:
    brought = types.ModuleType("our_specs")
    brought.show = hookspec(lambda course: None)  # type: ignore[attr-defined]
    manager = PluginManager([module(tljh_hookspecs=lambda: brought)])
    assert manager.specs["show"].arguments == ("course",)


def test_hooks_that_call_each_other_in_a_circle_end() -> None:
    class One(tljh.Plugin):
        @hookimpl
        def tljh_hookspecs(self) -> Any:
            return specs(one=lambda: None, two=lambda: None)

        @hookimpl
        def one(self) -> Any:
            return self.hooks.two()

        @hookimpl
        def two(self) -> Any:
            return self.hooks.one()

    manager = PluginManager([One()])
    with pytest.raises(RecursionError):
        manager.hook.one()


def test_plugins_that_bring_hooks_for_each_other() -> None:
    one, two = bringing(specs(first=lambda: None)), bringing(specs(second=lambda: None))
    one.second = hookimpl(lambda: "one")  # type: ignore[attr-defined]
    two.first = hookimpl(lambda: "two")  # type: ignore[attr-defined]
    one.__name__, two.__name__ = "one", "two"
    manager = PluginManager([one, two])
    assert (manager.hook.first(), manager.hook.second()) == (["two"], ["one"])
