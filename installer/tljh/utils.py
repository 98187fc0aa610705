"""The names of TLJH's ``tljh.utils`` that plugins and scripts import."""

from __future__ import annotations

import functools
import logging
import subprocess
from typing import Any

from tljh.engine.machine import redact
from tljh.plugins.loading import loading_of
from tljh.plugins.manager import PluginManager

log = logging.getLogger("tljh")


def run_subprocess(cmd: Any, *args: Any, **kwargs: Any) -> str:
    """Run a program to its end; what it prints is logged, as an error when it fails.

    It goes straight to ``subprocess.run``, because plugins pass that function's own arguments.

    Args:
        cmd: The program and its arguments.
        *args: Passed on to ``subprocess.run``.
        **kwargs: Passed on to ``subprocess.run``.

    Returns:
        What it printed, both streams together.

    Raises:
        subprocess.CalledProcessError: its exit status is not 0.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **kwargs, "check": False}
    done = subprocess.run(cmd, *args, **options)
    raw = done.stdout or b""
    output = raw if isinstance(raw, str) else raw.decode(errors="replace")
    shown = redact(cmd if isinstance(cmd, str) else " ".join(str(word) for word in cmd))
    level = logging.ERROR if done.returncode else logging.DEBUG
    log.log(level, "%s ended with status %s\n%s", shown, done.returncode, redact(output).rstrip())
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, cmd, output)
    return output


@functools.cache
def get_plugin_manager() -> PluginManager:
    """pluggy's manager with all plugins that can be loaded; failures are logged. Made once per process."""
    loading = loading_of()
    for loaded in loading.finish():
        for problem in (*loaded.problems, *loaded.warnings):
            log.warning("%s", problem)
    return loading.manager


def parse_version(version_string: str) -> tuple[int, ...]:
    """The numbers of a simple version: ``"1.2.3"`` is ``(1, 2, 3)``.

    Raises:
        ValueError: one of its parts is not a number.
    """
    return tuple(int(part) for part in version_string.split("."))
