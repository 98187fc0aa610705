"""The one way to print to the admin: a line for each stage, with its time; everything else goes to the log.

Colours and a line that moves only on a terminal; plain lines elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tljh.engine.machine import redact

if TYPE_CHECKING:
    from typing import TextIO

    from rich.progress import Progress, TaskID
    from rich.status import Status

    _Stream = logging.StreamHandler[TextIO]
else:
    _Stream = logging.StreamHandler  # Python 3.10 has no form of it with a type

log = logging.getLogger("tljh")

LOG_SIZE = 10_000_000  # bytes
PROGRESS_VARIABLE = "TLJH_PROGRESS_FILE"
"""Names the file that bootstrap's progress page reads; see ``tell_page``."""


class Reporter:
    """Prints what happens.

    Args:
        verbose: Print details too, not only the stages.
        quiet: Print nothing but warnings, which go to standard error (for ``tljh plan``).
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self.verbose = verbose
        self.quiet = quiet
        self._status: Status | None = None
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._noted: list[str] = []
        self._warned: set[str] = set()

    @contextmanager
    def stage(self, name: str, *, again: int = 0, idle: bool = False) -> Iterator[None]:
        """Print a line when what is inside has ended: its name, its time and what was noted.

        Args:
            again: Other than 0 when the same run has printed this line before; it is not printed twice.
            idle: It has nothing to do: where nothing is noted either, the line is printed with ``-v`` only.
        """
        log.info("stage: %s", name)
        tell_page(name, "started")
        started = time.monotonic()
        self._noted = []
        try:
            with self._moving(name):
                yield
        except BaseException:
            tell_page(name, "failed")
            self._line(name, time.monotonic() - started, "✗", "red")
            raise
        tell_page(name, "done")
        if not again and (self._noted or self.verbose or not idle):
            self._line(name, time.monotonic() - started, "✓", "green")

    @contextmanager
    def _moving(self, name: str) -> Iterator[None]:
        """A line that shows the newest detail, on a terminal."""
        if self.quiet or self.verbose or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(name) as self._status:
            try:
                yield
            finally:
                self._end_bars()
        self._status = None

    def progress(self, name: str, done: int, total: int, *, size: bool = False) -> None:
        """How far something is: a bar on a terminal, nothing elsewhere.

        Args:
            name: What is done, such as ``downloading``.
            size: The numbers are bytes.
        """
        if not self._status or not total:
            return
        if not self._bars:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("  {task.description:<12}"), BarColumn(), TextColumn("{task.fields[said]}"))
            self._status.stop()
            self._bars = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._bars.start()
        said = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if size else f"{done} of {total}"
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, said=said)
        self._bars.update(self._tasks[name], completed=done, total=total, said=said)

    def _end_bars(self) -> None:
        if self._bars:
            self._bars.stop()
            self._bars, self._tasks = None, {}
            if self._status:
                self._status.start()

    @contextmanager
    def drawing(self) -> Iterator[bool]:
        """While a program draws its own progress; yields whether there is a terminal to draw on."""
        if not self._status:
            yield False
            return
        self._status.stop()
        try:
            yield True
        finally:
            self._status.start()

    def _line(self, name: str, seconds: float, sign: str, colour: str) -> None:
        if not self.quiet:
            notes = f"  {', '.join(self._noted)}" if self._noted else ""
            click.echo(f"{click.style(sign, fg=colour)} {name:<20} {seconds:6.1f} s{notes}")

    def note(self, text: str) -> None:
        """Add to the line of the stage that runs."""
        log.info("%s", text)
        self._noted.append(text)

    def detail(self, text: str) -> None:
        """Something small that happens: shown while it is the newest, or with ``-v``."""
        if not text.strip():
            return
        log.debug("  %s", redact(text))
        if self._status:
            self._end_bars()
            self._status.update(redact(text.strip())[:100])
        elif self.verbose and not self.quiet:
            click.echo(f"    {redact(text)}")

    def say(self, text: str) -> None:
        """A line of its own."""
        log.info("%s", text)
        if not self.quiet:
            click.echo(text)

    def warn(self, text: str) -> None:
        """Something that the admin should know, and that stops nothing; said once."""
        if text in self._warned:
            return
        self._warned.add(text)
        if log.hasHandlers():  # without a log, logging would print it too
            log.warning("%s", text)
        click.secho(f"! {text}", fg="yellow", err=True)


def tell_page(stage: str, state: str) -> None:
    """Tell bootstrap's progress page, if there is one: a line of JSON with ``stage``, ``state`` and ``time``."""
    name = os.environ.get(PROGRESS_VARIABLE)
    if name:
        with Path(name).open("a") as file:
            file.write(json.dumps({"stage": stage, "state": state, "time": time.time()}) + "\n")


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Unfailing(_Stream):
    """Lets a run go on whose log can't be written: the disk is full, which is told elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing."""

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def log_to(path: Path) -> None:
    """Send everything to the installer's log, mode 0600, secrets redacted; a large one becomes ``….1`` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_SIZE:
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    handler = _Unfailing(os.fdopen(descriptor, "a"))
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
