"""Calls one hook of all plugins, each guarded by itself, with the wrappers that plugins put around it.

pluggy calls a hook as a whole, and the first failure ends it. Here each function is called apart, so that what it
returns, how long it takes and how it fails is its plugin's; what a wrapper adds is the wrapper's plugin's.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pluggy

from tljh.plugins.loading import LoadedPlugin, in_order, start
from tljh.plugins.values import WrongValue, shown

Guard = Callable[[LoadedPlugin, Callable[[], None]], bool]
"""Does a piece of work in a plugin's name; tells whether it was done. It is the guard's to say why it wasn't."""
Read = Callable[[LoadedPlugin, Any], list[Any]]
"""Makes the items of what a plugin's function returned; raises ``WrongValue``."""


@dataclass
class Share:
    """What one plugin had to say.

    Attributes:
        items: Of all that its functions returned.
    """

    plugin: LoadedPlugin
    items: list[Any] = field(default_factory=list)


@dataclass
class _Wrapper:
    """A wrapper that has been entered: a function that waits at its ``yield``."""

    plugin: LoadedPlugin
    implementation: pluggy.HookImpl
    waiting: Generator[None, Any, Any]


def call_all(
    plugins: Sequence[LoadedPlugin],
    hook: str,
    arguments: Mapping[str, Any],
    guard: Guard,
    *,
    read: Read | None = None,
    then: Callable[[Share], None] = lambda share: None,
) -> list[Share]:
    """Call a hook of all plugins: wrappers' first halves, the functions in order, wrappers' second halves.

    Args:
        guard: Does each call.
        read: Makes items of what was returned; without it nothing is made of it.
        then: Told of each share: at once, or where somebody wraps the hook, when the wrappers are done.

    Returns:
        What each plugin said, in calling order; of wrappers, what they added.
    """
    wrappers = wrapping(plugins, hook)
    entered: list[_Wrapper] = []
    for plugin, implementation in wrappers:
        guard(plugin, partial(_enter, plugin, implementation, arguments, entered))
    shares: list[Share] = []
    returned: list[Any] = []
    for plugin in in_order(plugins, hook):
        share = Share(plugin)
        if guard(plugin, partial(_ask, share, hook, arguments, read, returned)):
            shares.append(share)
            if not wrappers:
                then(share)
    answer = _Answer(shares, returned)
    for wrapper in reversed(entered):
        guard(wrapper.plugin, partial(_leave, wrapper, answer, read))
    if wrappers:
        for share in answer.shares:
            then(share)
    return answer.shares


def wrapping(plugins: Sequence[LoadedPlugin], hook: str) -> list[tuple[LoadedPlugin, pluggy.HookImpl]]:
    """The wrappers of a hook, the outermost first."""
    around = sorted(
        (plugin for plugin in plugins if hook in plugin.wrappers),
        key=lambda plugin: (plugin.wrappers[hook], plugin.source.name),
    )
    return [(plugin, implementation) for plugin in around for implementation in plugin.wrapping[hook]]


@dataclass
class _Answer:
    """What has been said so far, whole and by plugin."""

    shares: list[Share]
    returned: Any


def _ask(share: Share, hook: str, arguments: Mapping[str, Any], read: Read | None, returned: list[Any]) -> None:
    mine = []
    for implementation in share.plugin.functions[hook]:
        value = start(implementation, arguments)
        if value is None:
            continue
        value = _kept(value)
        if read:
            share.items += read(share.plugin, value)
        mine.append(value)
    returned += mine  # only of a plugin all of whose functions did well


def _enter(
    plugin: LoadedPlugin, implementation: pluggy.HookImpl, arguments: Mapping[str, Any], entered: list[_Wrapper]
) -> None:
    waiting = start(implementation, arguments)
    try:
        next(waiting)
    except StopIteration:
        raise RuntimeError("the wrapper ended before its yield") from None
    entered.append(_Wrapper(plugin, implementation, waiting))


def _leave(wrapper: _Wrapper, answer: _Answer, read: Read | None) -> None:
    returned = _second_half(wrapper, answer.returned)
    if read is None:
        answer.returned = returned
        return
    if not isinstance(returned, (list, tuple)):
        raise WrongValue(f"as a wrapper returned {shown(returned)} instead of the list of all results")
    kept = [_kept(value) for value in returned if value is not None]
    items = [item for value in kept for item in read(wrapper.plugin, value)]
    answer.shares = credited(answer.shares, wrapper.plugin, items)
    answer.returned = kept


def _second_half(wrapper: _Wrapper, returned: Any) -> Any:
    """Let a wrapper go on after its ``yield``; returns what it makes of the results."""
    old_style = bool(wrapper.implementation.hookwrapper)
    given = pluggy.Result(returned, None) if old_style else returned
    try:
        wrapper.waiting.send(given)
    except StopIteration as end:
        return given.get_result() if old_style else end.value
    wrapper.waiting.close()
    raise RuntimeError("the wrapper has a second yield")


def credited(shares: Sequence[Share], wrapper: LoadedPlugin, items: Iterable[Any]) -> list[Share]:
    """Shares after a wrapper: what was there before stays its plugin's, what is new is the wrapper's."""
    owners: dict[Any, deque[Share]] = defaultdict(deque)
    result = [Share(share.plugin) for share in shares]
    for share, new in zip(shares, result, strict=True):
        for item in share.items:
            owners[_key(item)].append(new)
    added = Share(wrapper)
    for item in items:
        waiting = owners.get(_key(item))
        (waiting.popleft() if waiting else added).items.append(item)
    mine = next((share for share in result if share.plugin is wrapper), None)
    if mine is not None:
        mine.items += added.items
        return result
    return [*result, added]


def _kept(value: Any) -> Any:
    """A value that can be looked at twice: what a generator yields is kept, up to more than anybody wants."""
    is_iterator = hasattr(value, "__next__")
    return list(itertools.islice(value, 10_001)) if is_iterator else value


def _key(item: Any) -> Any:
    try:
        hash(item)
    except TypeError:
        return json.dumps(item, sort_keys=True, default=repr)
    return item
