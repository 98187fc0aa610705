"""What a command in a test machine left, and what is raised when a machine fails. No processes here."""

from __future__ import annotations

from dataclasses import dataclass


class MachineError(Exception):
    """A machine did not do what was asked; the message holds the end of its console."""


@dataclass(frozen=True)
class Result:
    """What a command left. ``seconds`` is the wall clock from start to end."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def check(self) -> Result:
        """Itself, or AssertionError with what it printed when its status was not 0."""
        assert self.returncode == 0, f"{self}"
        return self

    def __str__(self) -> str:
        ending = f"status {self.returncode} after {self.seconds:.1f} s"
        return f"$ {' '.join(self.command)}\n{ending}\n{self.output[-6000:]}"
