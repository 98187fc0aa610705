"""``tljh doctor``: the core's health checks and the plugins', one after the other, and their fixers.

The core's own are in ``health.py``. Plugins' run in a child process with a time limit; one that fails or hangs is
told and stops no other.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tljh.declare import HealthCheck
from tljh.engine.resource import CORE
from tljh.errors import TljhError
from tljh.plugins.calls import CheckResult, run_checks, run_fix
from tljh.stages.context import Context

log = logging.getLogger("tljh.doctor")

WELL, MENDED, ILL = "well", "mended", "ill"


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        plugin: Whose it is: ``core`` or a plugin's name.
        sentence: What is so when all is well.
        state: ``well``, ``ill``, or ``mended``: it was ill, and a fixer has mended it.
        problem: What is wrong, one line; empty when all is well.
        more: Further lines of it.
        fixable: Whether there is a fixer.
    """

    name: str
    sentence: str
    plugin: str = CORE
    state: str = WELL
    problem: str = ""
    more: tuple[str, ...] = ()
    fixable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        said = {key: value for key, value in vars(self).items() if key != "more"}
        return {**said, "problem": "\n".join([self.problem, *self.more]).strip()}

    def found(self, problem: str) -> Result:
        """The same check with what it found now."""
        first, *more = problem.strip().splitlines() or [""]
        return replace(self, state=ILL if first else WELL, problem=first, more=tuple(more))


def examine(context: Context, *, fix: bool = False) -> list[Result]:
    """Do all checks; with ``fix``, mend what can be mended and look again.

    A check that fails itself counts as something wrong.
    """
    from tljh.stages.health.checks import core_checks

    results = [_core(check, fix=fix) for check in core_checks(context)]
    return [*results, *_of_plugins(context, fix=fix)]


def _core(check: HealthCheck, *, fix: bool) -> Result:
    result = Result(check.name, check.sentence, fixable=check.fix is not None).found(_looked(check))
    if not fix or result.state == WELL or check.fix is None:
        return result
    try:
        check.fix()
    except TljhError as error:
        why = f"{error.whose}: {error.what}" if error.whose else error.what
        return replace(result, more=(*result.more, f"it could not be mended: {why}"))
    except Exception as error:
        log.exception("%s could not be mended", check.name)
        return replace(result, more=(*result.more, f"it could not be mended: {error}"))
    after = result.found(_looked(check))
    return replace(after, state=MENDED) if after.state == WELL else after


def _looked(check: HealthCheck) -> str:
    try:
        return check.problem()
    except TljhError as error:
        return str(error)
    except Exception as error:
        log.exception("the check %s failed", check.name)
        return f"the check itself failed: {type(error).__name__}: {error}"


def _of_plugins(context: Context, *, fix: bool) -> list[Result]:
    python = Path(sys.executable)
    try:
        found = run_checks(context.machine, python)
    except TljhError as error:
        whole = Result("plugins", "plugins' checks can be asked")
        return [whole.found(str(error))]
    results = []
    for check in found:
        result = _result(check)
        if fix and result.state == ILL and check.fixable:
            result = _mended(context, python, check, result)
        results.append(result)
    return results


def _result(check: CheckResult) -> Result:
    return Result(check.name, check.sentence, check.plugin, fixable=check.fixable).found(check.why)


def _mended(context: Context, python: Path, check: CheckResult, result: Result) -> Result:
    after = run_fix(context.machine, python, check.plugin, check.name)
    again = result.found(after.why)
    return replace(again, state=MENDED) if again.state == WELL else again
