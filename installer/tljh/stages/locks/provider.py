"""Where the user environment's packages come from: conda's channels, or PyPI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tljh.resources.conda.settings import public
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages.context import Context

PATIENCE = 5.0  # seconds in which a channel has to answer


def choose(context: Context, channels: Sequence[Requested]) -> str:
    """``conda`` or ``pypi``. Fills ``provider_why``.

    ``auto`` takes conda when its channels answer within seconds. An environment that is there keeps its provider
    until config.yaml names another.
    """
    know(context, channels)
    wanted = context.config["user_environment"]["provider"]
    if wanted != "auto":
        context.provider_why = f"config.yaml has user_environment.provider: {wanted}"
        return str(wanted)
    fact = context.facts.environment(context.paths.user)
    lock = Lock.of_record(fact.record) if fact else None
    if lock:
        context.provider_why = f"as it was made; config.yaml has user_environment.provider: {wanted}"
        return lock.provider
    if fact and fact.conda:
        context.provider_why = "another installer made it so"
        return "conda"
    silent = _silent(context, channels)
    if not silent:
        context.provider_why = "its channels answer"
        return "conda"
    context.provider_why = silent
    context.reporter.note(f"user environment from PyPI: {silent}")
    return "pypi"


def know(context: Context, channels: Iterable[Requested]) -> None:
    """Tell ``context.conda`` how channels were named: with their credentials, which no record has."""
    context.conda.channels.update({public(row.requirement): row.requirement for row in channels})


def _silent(context: Context, channels: Sequence[Requested]) -> str:
    """Why conda can't be taken; empty when all channels answer."""
    from tljh.resources.conda.settings import answer_of

    settings = context.conda_settings
    for url in (url for row in channels for url in settings.full_urls(row.requirement)):
        cause = answer_of(url, settings, PATIENCE)
        if cause:
            return f"the conda channel {public(url)} does not answer: {cause}"
    return ""
