"""A run that failed where the hub no longer serves as it did: back to the last generation, by itself.

The hub environment of then does it, in a process of its own that takes over the install lock: what has failed may
be this program itself.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.errors import CommandFailed
from tljh.stages.context import Context
from tljh.stages.plugins import AGAIN_VARIABLE
from tljh.stages.services import Services

TIMEOUT = 600.0  # seconds; an environment may have to be built again
log = logging.getLogger("tljh.rollback")


def after_failure(context: Context) -> None:
    """Go back if the failure was in or after the services' stage; says what was done, never raises of itself."""
    if context.at < Services.priority or context.options.no_rollback:
        return
    newest = context.store.newest()
    if not newest.get("environments"):  # of an uninstall there is nothing to go back to
        context.reporter.warn("this is the first install, so there is no earlier generation to go back to")
        return
    number = int(newest["id"])
    if context.options.rollback == number:
        return  # it is what has just failed
    context.reporter.say(f"the hub is not as it should be: going back to generation {number}")
    began = time.monotonic()
    try:
        answer = _in_a_process_of_its_own(context, newest)
    except CommandFailed as error:
        log.error("%s", error)
        last = error.output.strip().splitlines()[-3:]
        context.reporter.warn(
            f"going back to generation {number} failed as well: {' '.join(last) or error.what}; "
            f"'tljh rollback {number}' tries again"
        )
        return
    kept = f"; the config.yaml that failed is kept as {answer['config_kept']}" if answer.get("config_kept") else ""
    seconds = time.monotonic() - began
    context.reporter.warn(f"generation {number} is in effect again, after {seconds:.0f} s{kept}")


def _in_a_process_of_its_own(context: Context, newest: Mapping[str, Any]) -> Mapping[str, Any]:
    there = context.paths.envs / newest["environments"]["hub"] / "bin" / "python"
    python = there if there.exists() else Path(os.path.realpath(sys.prefix)) / "bin" / "python"
    number = str(newest["id"])
    command = [python, "-I", "-m", "tljh.installer", "rollback", number, "--yes", "--json", "--no-rollback"]
    done = context.machine.run(command, env={AGAIN_VARIABLE: "0"}, timeout=TIMEOUT)
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer
