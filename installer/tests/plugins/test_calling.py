"""One hook of all plugins: order, wrappers, and whose each thing is."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_fakes import module, source
from tljh.hooks import hookimpl
from tljh.plugins.calling import Share, call_all
from tljh.plugins.loading import LoadedPlugin, describe, load_plugins, loading_of
from tljh.plugins.values import texts

APT = "tljh_extra_apt_packages"
CONFIG = "tljh_custom_jupyterhub_config"


def plugin(hook: str = APT, function: Any = None, **options: Any) -> types.ModuleType:
    made = types.ModuleType("plugin")
    setattr(made, hook, hookimpl(**options)(function))
    return made


class Log:
    """A guard that notes failures."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.done: list[str] = []

    def __call__(self, loaded: LoadedPlugin, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:
            self.failed.append(f"{loaded.source.name}: {describe(error)}")
            return False
        self.done.append(loaded.source.name)
        return True


def ask(**plugins: Any) -> tuple[dict[str, list[str]], Log]:
    """What each plugin wants from apt."""
    log = Log()
    loaded = load_plugins([source(name, made) for name, made in plugins.items()])
    assert [problem for one in loaded for problem in one.problems] == []
    shares = call_all(loaded, APT, {}, log, read=lambda one, value: list(texts(value)))
    return {share.plugin.source.name: share.items for share in shares}, log


def adding(*words: str) -> Callable[[], Iterator[None]]:
    def wrapper() -> Any:
        results = yield
        return [*results, list(words)]

    return wrapper


def test_what_a_wrapper_adds_is_its_own() -> None:
    said, log = ask(
        a=plugin(function=lambda: ["x", "y"]),
        b=plugin(function=adding("z", "x"), wrapper=True),
        c=plugin(function=lambda: ["y"]),
    )
    assert said == {"a": ["x", "y"], "c": ["y"], "b": ["z", "x"]}
    assert log.done == ["b", "a", "c", "b"]


def test_an_old_wrapper_is_honoured_too() -> None:
    def wrapper() -> Any:
        outcome = yield
        outcome.force_result([[word.upper() for word in row] + ["more"] for row in outcome.get_result()])

    said, _ = ask(a=plugin(function=lambda: ["x"]), b=plugin(function=wrapper, hookwrapper=True))
    assert said == {"a": [], "b": ["X", "more"]}


def test_what_a_wrapper_takes_out_is_taken_out() -> None:
    def wrapper() -> Any:
        results = yield
        return [[word for word in row if word != "x"] for row in results]

    said, _ = ask(a=plugin(function=lambda: iter(["x", "y", "x"])), w=plugin(function=wrapper, wrapper=True))
    assert said == {"a": ["y"], "w": []}


def test_wrappers_go_around_each_other_by_name_and_rank() -> None:
    order: list[str] = []

    def noting(name: str) -> Callable[[], Any]:
        def wrapper() -> Any:
            order.append(f"{name} in")
            results = yield
            order.append(f"{name} out")
            return results

        return wrapper

    ask(
        a=plugin(function=noting("a"), wrapper=True),
        b=plugin(function=noting("b"), wrapper=True, tryfirst=True),
        c=plugin(function=lambda: order.append("c")),
    )
    assert order == ["b in", "a in", "c", "a out", "b out"]


def fails() -> list[str]:
    raise ValueError("no")


def no_yield() -> Any:
    if "never" in dir():
        yield


def fails_late() -> Any:
    yield
    raise RuntimeError("late")


def two_yields() -> Any:
    yield
    yield


def nothing() -> Any:
    yield


@pytest.mark.parametrize(
    ("wrapper", "words"),
    [
        (no_yield, "RuntimeError: the wrapper ended before its yield"),
        (fails_late, "RuntimeError: late"),
        (two_yields, "RuntimeError: the wrapper has a second yield"),
        (nothing, "WrongValue: as a wrapper returned None instead of the list of all results"),
    ],
)
def test_a_failing_wrapper_costs_nobody_anything(wrapper: Any, words: str) -> None:
    said, log = ask(
        a=plugin(function=lambda: ["x"]),
        b=plugin(function=wrapper, wrapper=True),
        c=plugin(function=adding("z"), wrapper=True),
    )
    assert said == {"a": ["x"], "c": ["z"]}
    assert log.failed == [f"b: {words}"]


def test_wrappers_do_not_see_what_a_failing_plugin_said() -> None:
    seen: list[Any] = []

    def wrapper() -> Any:
        results = yield
        seen.extend(results)
        return results

    both = types.ModuleType("both")
    both.one = hookimpl(specname=APT)(lambda: ["half"])  # type: ignore[attr-defined]
    both.two = hookimpl(specname=APT)(fails)  # type: ignore[attr-defined]
    said, log = ask(a=both, b=plugin(function=lambda: ["x"]), w=plugin(function=wrapper, wrapper=True))
    assert seen == [["x"]]
    assert said == {"b": ["x"], "w": []}
    assert log.failed == ["a: ValueError: no"]


def test_one_plugin_may_answer_and_wrap() -> None:
    both = plugin(function=lambda: ["mine"])
    both.around = hookimpl(specname=APT, wrapper=True)(adding("more"))  # type: ignore[attr-defined]
    said, _ = ask(a=both, b=plugin(function=lambda: ["x"]))
    assert said == {"a": ["mine", "more"], "b": ["x"]}


def test_shares_are_told_at_once_unless_somebody_wraps_the_hook() -> None:
    told: list[str] = []

    def calls(*plugins: Any) -> list[str]:
        told.clear()
        loaded = load_plugins([source(name, made) for name, made in zip("abc", plugins, strict=False)])

        def then(share: Share) -> None:
            told.append(f"told {share.plugin.source.name}")

        call_all(loaded, APT, {}, Log(), then=then)
        return list(told)

    one = plugin(function=lambda: told.append("a"))
    two = plugin(function=lambda: told.append("b"))
    assert calls(one, two) == ["a", "told a", "b", "told b"]
    assert calls(one, two, plugin(function=nothing, wrapper=True)) == ["a", "b", "told a", "told b"]


def test_a_wrapper_of_the_hubs_configuration_sees_both_ends() -> None:
    c: list[str] = []

    def wrapper(c: list[str]) -> Any:
        c.append("before")
        yield
        c.append("after")

    loaded = load_plugins(
        [
            source("a", plugin(CONFIG, lambda c: c.append("a"))),
            source("w", plugin(CONFIG, wrapper, wrapper=True)),
        ]
    )
    call_all(loaded, CONFIG, {"c": c}, Log())
    assert c == ["before", "a", "after"]


RANKS = st.sampled_from([{}, {"tryfirst": True}, {"wrapper": True}, {"wrapper": True, "tryfirst": True}])


@given(st.lists(RANKS, max_size=6))
def test_the_order_and_the_results_are_pluggys(kinds: list[dict[str, bool]]) -> None:
    order: list[int] = []

    def function(number: int, wrapper: bool) -> Any:
        def wraps() -> Any:
            order.append(number)
            results = yield
            order.append(-number)
            return [*results, [str(number)]]

        def says() -> list[str]:
            order.append(number)
            return [str(number)]

        return wraps if wrapper else says

    plugins = [
        source(f"p{number}", plugin(function=function(number, kind.get("wrapper", False)), **kind))
        for number, kind in enumerate(kinds, 1)
    ]
    loading = loading_of(plugins)
    loaded = loading.finish()
    theirs = [word for row in loading.manager.hook.tljh_extra_apt_packages() for word in row]
    by_pluggy = list(order)
    order.clear()
    shares = call_all(loaded, APT, {}, Log(), read=lambda one, value: list(texts(value)))
    assert order == by_pluggy
    assert sorted(word for share in shares for word in share.items) == sorted(theirs)
    assert all(set(share.items) <= {share.plugin.source.name[1:]} for share in shares)


def test_arguments_with_defaults_are_given_too() -> None:
    seen: list[Any] = []
    loaded = load_plugins([source("a", module(tljh_new_user_create=lambda username="?": seen.append(username)))])
    call_all(loaded, "tljh_new_user_create", {"username": "jupyter-a"}, Log())
    assert seen == ["jupyter-a"]
