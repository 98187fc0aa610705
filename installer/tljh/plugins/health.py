"""Plugins' health checks in ``child.py``'s process: looked at one by one, and mended. Results go to the parent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tljh.plugins.calling import call_all
from tljh.plugins.loading import LoadedPlugin
from tljh.plugins.values import WrongValue, shown

if TYPE_CHECKING:
    from tljh.declare import HealthCheck
    from tljh.plugins.child import Answer, Sources

HOOK = "tljh_health_checks"
_MOST = 1000


def health_checks(returned: object) -> list[HealthCheck]:
    """What ``tljh_health_checks`` returned.

    Raises:
        WrongValue: it is something else, or two of them have one name.
    """
    from collections.abc import Iterable

    from tljh.declare import HealthCheck

    if isinstance(returned, (str, bytes, HealthCheck)) or not isinstance(returned, Iterable):
        raise WrongValue(f"returned {shown(returned)} instead of a list of tljh.declare.HealthCheck")
    found: list[HealthCheck] = []
    for item in itertools.islice(returned, _MOST):
        if not isinstance(item, HealthCheck):
            raise WrongValue(f"returned a list with {shown(item)} in it, which is no tljh.declare.HealthCheck")
        if any(item.name == other.name for other in found):
            raise WrongValue(f"returned two health checks named {item.name}")
        found.append(item)
    return found


def as_dict(check: HealthCheck) -> dict[str, Any]:
    """A check as it is recorded; what it does stays in the process."""
    return {"name": check.name, "sentence": check.sentence, "fixable": check.fix is not None}


def check(answer: Answer, sources: Sources, names: Sequence[str]) -> None:
    """Do all checks of all plugins, or of some."""
    for plugin, found in _asked(answer, sources, names):
        _look(answer, plugin, found)


def fix(answer: Answer, sources: Sources, name: str, wanted: str) -> None:
    """Mend what one check looks at, and look again."""
    for plugin, found in _asked(answer, sources, [name]):
        if found.name == wanted and found.fix is not None:
            mend = found.fix
            if answer.guard(f"{HOOK}, to mend {found.name!r},")(plugin, lambda mend=mend: mend()):  # type: ignore[misc]
                _look(answer, plugin, found)


def _asked(answer: Answer, sources: Sources, names: Sequence[str]) -> list[tuple[LoadedPlugin, HealthCheck]]:
    plugins = answer.load(sources, only=names)
    mine = [plugin for plugin in plugins if not names or plugin.source.name in names]
    shares = call_all(mine, HOOK, {}, answer.guard(HOOK), read=lambda plugin, value: health_checks(value))
    return [(share.plugin, found) for share in shares for found in share.items]


def _look(answer: Answer, plugin: LoadedPlugin, found: HealthCheck) -> None:
    hook = f"{HOOK}, {found.name!r},"
    said: list[str] = []
    if answer.guard(hook)(plugin, lambda: said.append(found.problem())):
        answer.result(plugin, hook, check=as_dict(found), why=said[0])
