"""The one family of errors that an admin or a plugin author sees.

Every message answers three questions: what happened, whose it is, and what to do next. Programming
mistakes are not wrapped: they keep their own exception and traceback.
"""

from __future__ import annotations


class TljhError(Exception):
    """Something went wrong that the reader can act on.

    Args:
        what: What happened, one sentence without a full stop at the end if it is a fragment.
        whose: Where it comes from: ``config.yaml``, a plugin's name and version, an apt mirror …
            ``None`` where the sentence itself says so.
        todo: What to do next, in the imperative.
    """

    exit_code = 1

    def __init__(self, what: str, *, whose: str | None = None, todo: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.whose = whose
        self.todo = todo

    def __str__(self) -> str:
        lines = [f"{self.whose}: {self.what}" if self.whose else self.what]
        if self.todo:
            lines.append(f"  → {self.todo}")
        return "\n".join(lines)


class UsageError(TljhError):
    """The command line itself is wrong; nothing was looked at, nothing was changed."""

    exit_code = 2


class CommandFailed(TljhError):
    """A program that we started ended badly.

    Attributes:
        command: The program and its arguments, secrets redacted.
        returncode: Its exit status; ``None`` when it was ended because its time was over.
        output: The end of what it printed, both streams.
    """

    def __init__(
        self,
        command: list[str],
        returncode: int | None,
        output: str,
        *,
        what: str | None = None,
        whose: str | None = None,
        todo: str | None = None,
    ) -> None:
        self.command = command
        self.returncode = returncode
        self.output = output
        ending = "did not end in time" if returncode is None else f"ended with status {returncode}"
        said = "\n".join(f"    {line}" for line in output.strip().splitlines()[-15:])
        head = what or f"{' '.join(command)} {ending}"
        super().__init__(f"{head}\n{said}" if said else head, whose=whose, todo=todo)
