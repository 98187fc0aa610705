"""The question before something is changed: whether anybody can answer it, and what no answer means."""

from __future__ import annotations

import sys

import click

from tljh.errors import UsageError


def is_terminal() -> bool:
    """Whether somebody sits there who can answer."""
    return sys.stdin.isatty()


def refuse_to_ask_nobody(called: str, *, as_json: bool, what: str = "would change") -> None:
    """Before anything is looked at: there must be an answer in the end.

    Args:
        called: The command, as people call it.
        as_json: Whether a program reads what is printed, which can't be asked.
        what: What ``--dry-run`` would show.

    Raises:
        UsageError: nobody can be asked.
    """
    if as_json or not is_terminal():
        raise UsageError(
            f"'{called}' asks before it changes anything, and there is nobody to ask",
            todo=f"add --yes, or --dry-run to see what {what}",
        )


def agreed(question: str, *, err: bool = False) -> bool:
    """Ask; no answer (Ctrl-C, Ctrl-D) is a no.

    Args:
        err: Ask on standard error, where standard output is for what a program reads.
    """
    try:
        return click.confirm(question, default=False, err=err)
    except click.Abort:
        click.echo(err=err)
        return False
