"""What all plugins are asked for before anything is changed, in ``child.py``'s process: hook by hook, by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tljh.plugins import health
from tljh.plugins.calling import Share, call_all
from tljh.plugins.loading import LIST_HOOKS, LoadedPlugin
from tljh.plugins.manager import is_typed, typed_module
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.values import WrongValue, environments, shown, texts

if TYPE_CHECKING:
    from tljh.plugins.child import Answer, Loaded, Sources

ENVIRONMENTS = "tljh_environments"
RESOURCES = "tljh_resources"
STAGES = "tljh_stages"
COMMANDS = "tljh_subcommands"

_MOST = 10_000


def collect(answer: Answer, sources: Sources, text: str) -> None:
    """Ask every plugin what it wants.

    Args:
        text: What stands in config.yaml.
    """
    from tljh.paths import Paths

    settings = OwnSettings.of_text(text, str(Paths.from_environment().config_file))
    plugins = answer.load(sources, settings)
    for plugin in plugins:
        _tell_settings(answer, plugin)
    for hook in LIST_HOOKS:
        _ask(answer, plugins, hook, {}, lambda plugin, value: list(texts(value)))
    _ask(answer, plugins, ENVIRONMENTS, {}, lambda plugin, value: environments(value))
    if _anybody(plugins, RESOURCES):
        _ask(answer, plugins, RESOURCES, {"config": settings.config}, lambda plugin, value: declared(value))
    if _anybody(plugins, STAGES):
        _ask(answer, plugins, STAGES, {}, lambda plugin, value: _stages(plugin, value, settings))
    if _anybody(plugins, COMMANDS):
        _commands(answer, plugins)
    checks = health.health_checks
    _ask(answer, plugins, health.HOOK, {}, lambda plugin, value: [health.as_dict(row) for row in checks(value)])


def declared(returned: object) -> list[dict[str, Any]]:
    """What ``tljh_resources`` returned, as plain data.

    Raises:
        WrongValue: it is something else than an iterable of what ``tljh.declare`` has.
    """
    from tljh.declare import Declared

    if isinstance(returned, (str, bytes, Mapping, Declared)) or not isinstance(returned, Iterable):
        raise WrongValue(f"returned {shown(returned)} instead of a list of what tljh.declare has (File, Unit …)")
    found = []
    for item in itertools.islice(returned, _MOST):
        if not isinstance(item, Declared):
            raise WrongValue(
                f"returned a list with {shown(item)} in it, which is nothing that tljh.declare has (File, Unit …)"
            )
        found.append(item.as_dict())
    return found


def _anybody(plugins: Loaded, hook: str) -> bool:
    return any(hook in plugin.hooks or hook in plugin.wrappers for plugin in plugins)


def _ask(
    answer: Answer,
    plugins: Loaded,
    hook: str,
    arguments: Mapping[str, Any],
    read: Callable[[LoadedPlugin, Any], list[Any]],
) -> None:
    def then(share: Share) -> None:
        answer.result(share.plugin, hook, values=share.items)

    call_all(plugins, hook, arguments, answer.guard(hook), read=read, then=then)


def _stages(plugin: LoadedPlugin, value: object, settings: OwnSettings) -> list[dict[str, Any]]:
    from tljh.plugins.stage import StageContext, StageFailed, describe_stages

    context = StageContext(settings.config, settings=settings_of(plugin, settings))
    try:
        return describe_stages([value], context)
    except StageFailed as error:
        raise WrongValue(f"failed: {error}") from error


def settings_of(plugin: LoadedPlugin, settings: OwnSettings) -> Mapping[str, Any]:
    """What a plugin's stages get as their settings: with its defaults where it is typed."""
    if is_typed(plugin.plugin):
        return {name: getattr(plugin.plugin, name) for name in type(plugin.plugin).model_fields}  # type: ignore[attr-defined]
    found = settings.of(plugin.source.name)
    return found if isinstance(found, Mapping) else {}


def _tell_settings(answer: Answer, plugin: LoadedPlugin) -> None:
    if is_typed(plugin.plugin):
        typed = typed_module()
        schema, values = typed.schema_of(plugin.plugin), typed.values_of(plugin.plugin)
        answer.send("settings", plugin.source, settings=schema, values=values)


def _commands(answer: Answer, plugins: Loaded) -> None:
    """Note the commands that each plugin adds; none of them runs."""
    import click

    cli = click.Group("tljh")
    added: dict[str, list[dict[str, str]]] = {}
    guard = answer.guard(COMMANDS)

    def noting(plugin: LoadedPlugin, work: Callable[[], None]) -> bool:
        before = dict(cli.commands)
        done = guard(plugin, work)
        new = [name for name, command in cli.commands.items() if before.get(name) is not command]
        if not done:
            cli.commands.clear()
            cli.commands.update(before)
            return False
        rows = [{"name": name, "help": cli.commands[name].get_short_help_str(80)} for name in new]
        added.setdefault(plugin.source.name, []).extend(rows)
        return True

    call_all(plugins, COMMANDS, {"cli": cli}, noting)
    for plugin in plugins:
        if plugin.source.name in added:
            answer.result(plugin, COMMANDS, values=added[plugin.source.name])
