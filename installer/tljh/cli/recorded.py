"""What the commands share that tell what is recorded (``history``, ``diff``, ``journal``): quick to import."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tljh.engine.store import Store
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths

SIGNS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red"), "run": ("!", "yellow")}
"""How a change is shown: its sign, and the sign's colour."""


@contextmanager
def reading() -> Iterator[Store]:
    """The store, to be read.

    Raises:
        TljhError: there is none, or it can't be read.
    """
    paths = Paths.from_environment()
    check_store(paths)
    with Store(paths.store, read_only=True) as store:
        yield store


def check_store(paths: Paths) -> None:
    """See that the store is there and can be read.

    Raises:
        TljhError: it isn't, or can't.
    """
    try:
        there = paths.store.stat().st_size > 0
        readable = os.access(paths.store, os.R_OK)
    except FileNotFoundError:
        there = readable = False
        if not paths.prefix.exists():
            readable = True
    except PermissionError:
        there = readable = False
        raise_needs_root(paths)
    if not there:
        raise TljhError(
            f"no hub is installed below {paths.prefix}", todo="run the bootstrap script, which installs one"
        )
    if not readable:
        raise_needs_root(paths)


def raise_needs_root(paths: Paths) -> None:
    """The error for one who may not read the store."""
    raise TljhError(f"{paths.store} can't be read: this needs root", todo="run it as root, or with sudo")


def generation(store: Store, number: int) -> dict[str, Any]:
    """The record of a generation.

    Raises:
        UsageError: there is none of this number; it says which there are.
    """
    found = store.generation(number)
    if found is None:
        numbers = store.numbers()
        there = "no install has ended well yet"
        if numbers:
            there = f"there are {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"there is {numbers[0]}"
        raise UsageError(
            f"there is no generation {number}; {there}",
            todo="'tljh history' lists them",
        )
    return found


def local_time(seconds: float) -> str:
    """A time as the admin's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def print_table(rows: Sequence[Sequence[str]], *, bold: int | None = None) -> None:
    """Columns as wide as they must be; the first row is their titles, the last column may be of any length.

    Args:
        bold: The number of the row that is shown so.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.secho("  ".join([*cells, row[-1]]).rstrip(), bold=number == bold)
