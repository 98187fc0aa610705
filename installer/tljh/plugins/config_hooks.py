"""``tljh_config_post_install`` of all plugins, on one copy of config.yaml; each change is its plugin's.

Runs in ``child.py``'s process. How the changes are merged into the file is in ``merge.py``.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tljh.plugins.calling import call_all
from tljh.plugins.loading import LoadedPlugin
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.values import ABSENT, KeyPath, WrongValue, leaves, lenient, plain, same

if TYPE_CHECKING:
    from tljh.plugins.child import Answer, Sources

HOOK = "tljh_config_post_install"


def run(answer: Answer, sources: Sources, text: str) -> None:
    """Let every plugin change a copy of config.yaml; each sees what the earlier ones did."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    document = YAML().load(io.StringIO(text)) or CommentedMap()
    plugins = answer.load(sources, OwnSettings.of_text(text))
    changed: dict[str, list[dict[str, Any]]] = {}
    guard = answer.guard(HOOK)

    def watched(plugin: LoadedPlugin, work: Callable[[], None]) -> bool:
        before, values = copy.deepcopy(document), _values(document)

        def compared() -> None:
            work()
            changed.setdefault(plugin.source.name, []).extend(_changes(values, document))

        done = guard(plugin, compared)
        if not done:  # nothing half-done of a hook that fails stays
            document.clear()
            document.update(before)
        return done

    def tell(plugin: LoadedPlugin) -> None:
        if plugin.source.name in changed:
            answer.result(plugin, HOOK, changes=changed.pop(plugin.source.name))

    call_all(plugins, HOOK, {"config": document}, watched, then=lambda share: tell(share.plugin))
    for plugin in plugins:  # the wrappers
        tell(plugin)


def _values(document: Any) -> dict[KeyPath, Any]:
    return {path: lenient(value) for path, value in leaves(document).items()}


def _changes(before: dict[KeyPath, Any], config: Any) -> list[dict[str, Any]]:
    """The keys that differ. A value before or after is left out where there was none."""
    after = _values(config)
    changes = []
    for path in [*after, *(path for path in before if path not in after)]:
        old, new = before.get(path, ABSENT), after.get(path, ABSENT)
        if same(old, new):
            continue
        change: dict[str, Any] = {"path": list(path)}
        if old is not ABSENT:
            change["before"] = old
        if new is not ABSENT:
            try:
                change["after"] = plain(new)
            except WrongValue as error:
                raise WrongValue(f"set {'.'.join(map(str, path))} to {error}") from None
        changes.append(json.loads(json.dumps(change, default=repr)))
    return changes
