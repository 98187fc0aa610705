"""A process that is told things and answers, a line each, for as long as somebody needs it.

``Machine.converse`` starts one. What the lines mean is not known here.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO, Protocol

from tljh.engine.processes import ending

LAST_LINES = 15  # of its standard error, for messages


class Process(Protocol):
    """What is needed of a ``subprocess.Popen``."""

    stdin: IO[str] | None
    stdout: IO[str] | None
    stderr: IO[str] | None

    def wait(self, timeout: float | None = None) -> int: ...


class Silence(Exception):
    """There was no answer; the process has ended by now.

    Attributes:
        how: ``ended the process (status 3)``, or ``did not end within 60 s``.
        said: The last lines of its standard error.
    """

    def __init__(self, how: str, said: str) -> None:
        super().__init__(how)
        self.how = how
        self.said = said


class Conversation:
    """One such process.

    Args:
        kill: Ends it and all that it started.
        interrupt: Tells it to stop what it does, as Ctrl-C would.
        on_line: Called with each line of its standard error.
    """

    def __init__(
        self,
        process: Process,
        *,
        kill: Callable[[], None],
        interrupt: Callable[[], None] = lambda: None,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.interrupt = interrupt
        self._process = process
        self._kill = kill
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=LAST_LINES)
        self._on_line = on_line
        errors = threading.Thread(target=self._listen, args=(process.stderr or (),), daemon=True)
        answers = threading.Thread(target=self._hear, args=(process.stdout or (),), daemon=True)
        self._readers = (errors, answers)
        for reader in self._readers:
            reader.start()

    def tell(self, line: str) -> None:
        """Tell it one line."""
        if self._process.stdin is None:
            raise RuntimeError("the process was started without a standard input")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def hear(self, timeout: float) -> str:
        """Wait for one line of it.

        Args:
            timeout: Seconds; after that it is killed.

        Raises:
            Silence: it ended instead, or had to be ended.
        """
        try:
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            self._kill()
            raise Silence(f"did not end within {timeout:g} s", self._last_words()) from None
        if answer is None:
            try:
                status = self._process.wait(5.0)
            except Exception:  # it closed its streams and goes on
                self._kill()
                status = self._process.wait()
            raise Silence(ending(status), self._last_words())
        return answer.rstrip("\n")

    def close(self, timeout: float = 10.0) -> None:
        """Let it end, as there is nothing more to ask; kill it when it doesn't within ``timeout`` seconds."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except Exception:  # subprocess.TimeoutExpired, which the engine's machine alone deals with
            self._kill()
        for reader in self._readers:
            reader.join(1.0)

    def _hear(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._answers.put(line)
        self._answers.put(None)

    def _listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._said.append(line.rstrip("\n"))
            self._on_line(line.rstrip("\n"))

    def _last_words(self) -> str:
        self._readers[0].join(1.0)
        return "\n".join(self._said)
