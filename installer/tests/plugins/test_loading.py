from __future__ import annotations

import types
from dataclasses import replace
from importlib import metadata

import pytest
import tljh
from plugin_fakes import loaded, module, source
from tljh.declare import Unit
from tljh.hooks import hookimpl, hookspec
from tljh.plugins import loading
from tljh.plugins.loading import LIST_HOOKS, call, describe, find_sources, in_order, load_plugin, load_plugins

APT = "tljh_extra_apt_packages"


def test_a_module_is_a_plugin() -> None:
    found = loaded(
        "a", module(tljh_extra_apt_packages=lambda: ["x"], tljh_custom_jupyterhub_config=lambda c: None)
    )
    assert dict(found.hooks) == {APT: 0, "tljh_custom_jupyterhub_config": 0}
    assert found.problems == found.warnings == ()
    assert call(found, APT) == [["x"]]


class Class:
    @hookimpl
    def tljh_extra_apt_packages(self) -> list[str]:
        return ["from a class"]


@pytest.mark.parametrize("plugin", [Class, Class()])
def test_a_class_or_an_object_is_a_plugin(plugin: object) -> None:
    assert call(loaded("a", plugin), APT) == [["from a class"]]


def test_a_hook_may_take_fewer_arguments() -> None:
    found = loaded("a", module(tljh_custom_jupyterhub_config=lambda: None))
    assert call(found, "tljh_custom_jupyterhub_config", c=1) == []


def test_specname_is_honoured() -> None:
    plugin = types.ModuleType("plugin")
    plugin.other = hookimpl(specname=APT)(lambda: ["x"])  # type: ignore[attr-defined]
    assert call(loaded("a", plugin), APT) == [["x"]]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("No module named 'gone'"), "ImportError: No module named 'gone'"),
        (SyntaxError("invalid syntax"), "SyntaxError: invalid syntax"),
        (SystemExit(3), "it called sys.exit(3)"),
        (SystemExit(), "it called sys.exit()"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
        (GeneratorExit(), "GeneratorExit"),
    ],
)
def test_what_keeps_a_plugin_from_loading_is_told(error: BaseException, words: str) -> None:
    found = loaded("a", error, "2.1")
    assert found.failure == f"plugin a (tljh-a 2.1) can't be loaded: {words}"
    assert "Traceback" in found.traceback
    assert found.problems == (found.failure,)
    assert not found.hooks


def test_ctrl_c_is_not_a_plugins_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        loaded("a", KeyboardInterrupt())


def test_a_class_that_wants_arguments_fails() -> None:
    class Wants:
        def __init__(self, more: int) -> None: ...

    assert "can't be loaded: TypeError" in (loaded("a", Wants).failure or "")


def test_secrets_in_an_error_are_hidden() -> None:
    found = loaded("a", RuntimeError("https://me:geheim@example.org failed"))
    assert "geheim" not in (found.failure or "") + found.traceback


def test_a_misspelt_hook_is_reported_and_the_rest_works() -> None:
    found = loaded("a", module(tljh_extra_apt_package=lambda: [], tljh_extra_hub_pip_packages=lambda: ["x"]))
    assert found.warnings == (
        "plugin a (tljh-a 1.0): tljh_extra_apt_package is not a hook (did you mean tljh_extra_apt_packages?); "
        "it is never called",
    )
    assert call(found, "tljh_extra_hub_pip_packages") == [["x"]]
    assert found.problems == ()


def test_an_optional_hook_that_we_do_not_have_is_not_reported() -> None:
    plugin = module(tljh_extra_apt_packages=lambda: [])
    plugin.tljh_something = hookimpl(optionalhook=True)(lambda: None)  # type: ignore[attr-defined]
    assert loaded("a", plugin).warnings == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tljh_post_install", "is named like a hook but has no @hookimpl; it is never called"),
        ("tljh_post_instal", "has no @hookimpl (did you mean tljh_post_install?); it is never called"),
    ],
)
def test_a_function_without_the_mark_is_reported(name: str, words: str) -> None:
    plugin = types.ModuleType("plugin")
    setattr(plugin, name, lambda: None)
    assert loaded("a", plugin).warnings == (f"plugin a (tljh-a 1.0): {name} {words}",)


def test_other_functions_are_not_reported() -> None:
    plugin = module(tljh_extra_apt_packages=lambda: [])
    plugin.tljh_helper = lambda: None  # type: ignore[attr-defined]
    plugin.install = lambda: None  # type: ignore[attr-defined]
    from tljh import hooks

    plugin.tljh_post_install = hooks.tljh_post_install  # type: ignore[attr-defined]
    assert loaded("a", plugin).warnings == ()


def test_a_wrong_signature_breaks_only_that_hook() -> None:
    found = loaded("a", module(tljh_new_user_create=lambda user: None, tljh_extra_apt_packages=lambda: ["x"]))
    words = "plugin a (tljh-a 1.0): tljh_new_user_create wants user, but the hook gives username"
    assert found.broken == {"tljh_new_user_create": words}
    assert "tljh_new_user_create" not in found.hooks
    assert call(found, APT) == [["x"]]


def test_a_wrapper_is_no_function_to_call_by_itself() -> None:
    plugin = types.ModuleType("plugin")

    @hookimpl(wrapper=True, tryfirst=True)
    def tljh_extra_apt_packages():  # type: ignore[no-untyped-def]
        return (yield)

    plugin.tljh_extra_apt_packages = tljh_extra_apt_packages  # type: ignore[attr-defined]
    found = loaded("a", plugin)
    assert (dict(found.hooks), dict(found.wrappers), found.warnings) == ({}, {APT: -1}, ())
    assert call(found, APT) == []


@pytest.mark.parametrize(
    ("options", "function", "words"),
    [
        ({"wrapper": True}, lambda: [], f"{APT} is marked as a wrapper but has no yield"),
        ({"hookwrapper": True}, lambda: [], f"{APT} is marked as a wrapper but has no yield"),
    ],
)
def test_a_wrapper_that_is_none(options: dict[str, bool], function: object, words: str) -> None:
    plugin = types.ModuleType("plugin")
    plugin.tljh_extra_apt_packages = hookimpl(**options)(function)  # type: ignore[attr-defined, call-overload]
    assert loaded("a", plugin).problems == (f"plugin a (tljh-a 1.0): {words}",)


def test_a_plugin_without_hooks_is_reported() -> None:
    assert loaded("a", types.ModuleType("plugin")).warnings == ("plugin a (tljh-a 1.0): implements no hook",)


def test_two_plugins_of_one_name() -> None:
    first, second = load_plugins(
        [source("a", module(), distribution="one"), source("a", module(), "3", distribution="two")]
    )
    assert first.failure is None
    assert second.failure == ("plugin a (two 3) can't be loaded: there is another one of this name, from one 1.0")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("core", "core is who asks for what no plugin asks for"),
        ("a:b", "has no colon, comma or line break"),
        ("a, b", "has no colon, comma or line break"),
        ("--yes", "does not begin with '-'"),
        ("a\nb", "has no colon, comma or line break"),
    ],
)
def test_a_name_that_lists_and_flags_could_not_hold(name: str, words: str) -> None:
    found = load_plugins([source(name, module(), distribution="tljh-x")])[0]
    assert "(tljh-x 1.0) can't be loaded: it can't have this name: " in (found.failure or "")
    assert words in (found.failure or "")


def test_a_name_in_several_words_is_one() -> None:
    assert loaded("my plugin", module(tljh_extra_apt_packages=lambda: [])).failure is None


def test_one_module_registered_twice() -> None:
    plugin = module(tljh_extra_apt_packages=lambda: [])
    one = source("a", plugin)
    two = loading.PluginSource("b", one.value, one.distribution, one.version, one.load)
    assert "tljh-a registers tljh_a twice, as a already" in (load_plugins([one, two])[1].failure or "")


def test_the_order_is_that_of_the_names_with_tryfirst_and_trylast() -> None:
    def plugin(**options: bool) -> types.ModuleType:
        made = types.ModuleType("plugin")
        made.tljh_extra_apt_packages = hookimpl(**options)(lambda: [])  # type: ignore[attr-defined, call-overload]
        return made

    plugins = [
        loaded("e", plugin(tryfirst=True)),
        loaded("c", plugin()),
        loaded("a", plugin(trylast=True)),
        loaded("b", plugin()),
        loaded("d", plugin(tryfirst=True)),
        loaded("f", module(tljh_post_install=lambda: None)),
    ]
    assert [found.source.name for found in in_order(plugins, APT)] == ["d", "e", "b", "c", "a"]


def test_installed_plugins_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distribution:
        name = "tljh-things"
        version = "2.0"

    entries = [metadata.EntryPoint(name, f"mod_{name}", "tljh") for name in ("z", "a")]
    for entry in entries:
        vars(entry).update(dist=Distribution())
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == "tljh" else [])
    found = find_sources()
    assert [(s.name, s.value, s.distribution, s.version) for s in found] == [
        ("a", "mod_a", "tljh-things", "2.0"),
        ("z", "mod_z", "tljh-things", "2.0"),
    ]
    assert found[0].label == "plugin a (tljh-things 2.0)"


def test_the_label_names_the_package_only_where_it_has_another_name() -> None:
    assert source("tljh_db", None, "0.5", "tljh-db").label == "plugin tljh_db (0.5)"


def test_there_are_five_list_hooks() -> None:
    assert len(LIST_HOOKS) == 5
    assert load_plugin(source("a", module())).hooks == {}


# ---- phases


def bringing(function: object) -> types.ModuleType:
    class Specs:
        show = hookspec(function)

    return module(tljh_hookspecs=lambda: Specs)


def showing(function: object) -> types.ModuleType:
    return module(show=function)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_hooks_of_a_plugin_are_there_for_all_in_any_order(names: str) -> None:
    first, second = names
    plugins = load_plugins(
        [source(first, bringing(lambda course: None)), source(second, showing(lambda course: [course]))]
    )
    assert [problem for found in plugins for problem in (*found.problems, *found.warnings)] == []
    shows = next(found for found in plugins if found.source.name == second)
    assert call(shows, "show", course="maps") == [["maps"]]


def test_arguments_of_a_plugins_hook_are_checked() -> None:
    _, found = load_plugins([source("a", bringing(lambda course: None)), source("b", showing(lambda user: None))])
    assert found.broken == {"show": "plugin b (tljh-b 1.0): show wants user, but the hook gives course"}


def test_a_hook_of_a_plugin_that_is_not_there_is_only_a_warning() -> None:
    assert loaded("a", showing(lambda: None)).warnings == (
        "plugin a (tljh-a 1.0): show is not a hook; it is never called",
    )


def test_two_plugins_that_bring_one_hook_differently_are_both_named() -> None:
    one, two = bringing(lambda course: None), bringing(lambda user: None)
    first, second, third = load_plugins(
        [source("a", one), source("b", two, "2.0"), source("c", bringing(lambda course: 1))]
    )
    assert first.problems == third.problems == ()
    assert second.failure == (
        "plugin b (tljh-b 2.0) and plugin a (tljh-a 1.0) bring the hook show differently: "
        "show(user) and show(course)"
    )


def out_of_order() -> None:
    raise RuntimeError("out of order")


def test_a_plugin_whose_hooks_cannot_be_had_fails_alone() -> None:
    found, other = load_plugins([source("a", module(tljh_hookspecs=out_of_order)), source("b", module())])
    assert found.failure == "plugin a (tljh-a 1.0): tljh_hookspecs failed: RuntimeError: out of order"
    assert "Traceback" in found.traceback
    assert other.failure is None


def test_a_plugin_whose_functions_cannot_be_looked_at_fails_alone() -> None:
    class Strange:
        @property
        def tljh_strange(self) -> object:
            raise OSError("no")

    found, other = load_plugins([source("a", Strange()), source("b", module(tljh_post_install=lambda: None))])
    assert found.failure == "plugin a (tljh-a 1.0) can't be loaded: OSError: no"
    assert other.hooks == {"tljh_post_install": 0}


def test_what_is_switched_off_is_known_and_not_imported() -> None:
    found = load_plugins([replace(source("a", RuntimeError("imported")), off=True)])[0]
    assert (found.plugin, found.problems, dict(found.hooks)) == (None, (), {})


def test_one_object_under_two_names() -> None:
    plugin = module(tljh_post_install=lambda: None)
    _, second = load_plugins([source("a", plugin), source("b", plugin)])
    assert second.failure == "plugin b (tljh-b 1.0) can't be loaded: it is plugin a (tljh-a 1.0), once more"


def module_with(*classes: type, **functions: object) -> types.ModuleType:
    made = module("of_classes", **functions)
    for cls in classes:
        cls.__module__ = "of_classes"
        setattr(made, cls.__name__, cls)
    return made


def a_class(name: str) -> type:
    return type(name, (tljh.Plugin,), {"tljh_extra_apt_packages": hookimpl(lambda self: [name])})


def test_a_module_with_one_typed_plugin_is_that_plugin() -> None:
    assert call(loaded("a", module_with(a_class("One"))), APT) == [["One"]]


def test_a_module_with_several_typed_plugins() -> None:
    assert loaded("a", module_with(a_class("One"), a_class("Two"))).failure == (
        "plugin a (tljh-a 1.0) can't be loaded: TypeError: it has several plugins (One, Two); "
        "each needs an entry point or a file of its own"
    )


def test_a_module_with_hooks_of_its_own_is_the_plugin() -> None:
    found = loaded("a", module_with(a_class("One"), tljh_extra_apt_packages=lambda: ["module"]))
    assert call(found, APT) == [["module"]]
    assert found.warnings == ("plugin a (tljh-a 1.0): it has hooks of its own, so One is not used",)


def test_plugins_call_each_others_hooks() -> None:
    class Asks(tljh.Plugin):
        @hookimpl
        def tljh_extra_apt_packages(self) -> list[str]:
            return [word for words in self.hooks.show(course="maps") for word in words]

    plugins = load_plugins(
        [
            source("a", Asks),
            source("b", bringing(lambda course: None)),
            source("c", showing(lambda course: [course])),
        ]
    )
    assert call(plugins[0], APT) == [["maps"]]


def test_what_pydantic_refuses_is_told_without_its_addresses() -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        Unit(name="pool.service", text="[Service]\nExecStart=/bin/true\n")
    assert describe(caught.value) == (
        "ValidationError: Unit: pool.service can't be enabled without an [Install] section: "
        "add one (WantedBy=multi-user.target), or say enabled=False"
    )
    with pytest.raises(ValueError, match="validation error") as caught:
        Unit(name=3, text="")  # type: ignore[arg-type]
    assert describe(caught.value).startswith("ValidationError: Unit.name: Input should be a valid string")
