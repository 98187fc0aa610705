"""What is changed beside installs, in the journal: config.yaml by ``tljh-config``, and what a reload restarts.

A change is never kept from being made because it can't be written down: that is a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tljh.engine.facts import Facts
from tljh.engine.lock import is_held
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.settings.hidden import in_words

if TYPE_CHECKING:
    from tljh.engine.store import Store

COMMAND = "tljh-config"
log = logging.getLogger("tljh")


@dataclass
class Noted(Resource):
    """What something else has changed or is about to change; only for the journal."""

    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        return {}

    def change(self, diff: Diff, machine: Machine) -> None:
        raise RuntimeError(f"{self.id} is changed elsewhere")


def key_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Diff:
    """The keys that differ, ``a.b.c``, with their values; of what is secret only that it differs."""
    old, new = dict(_keys(before)), dict(_keys(after))
    shown_old = {path: in_words(path, value) for path, value in old.items()}
    shown_new = {path: in_words(path, value) for path, value in new.items()}
    other = {path for path in old if path in new and old[path] != new[path]}
    put = {_name(path): text for path, text in shown_new.items() if path in other or path not in old}
    there = {_name(path): text for path, text in shown_old.items() if path in other or path not in new}
    return Diff(there, put, {name: text for name, text in there.items() if name not in put})


def _keys(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        path = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from _keys(value, path)
        else:
            yield path, value


def _name(path: Sequence[str]) -> str:
    return ".".join(path)


# ---- changes of config.yaml


@dataclass
class ConfigNote:
    """One change of a config.yaml on its way into the journal; of a file elsewhere nothing is noted.

    Attributes:
        command: As the admin typed it, without secrets.
        warnings: Why it could not be noted.
    """

    path: Path
    command: str
    warnings: list[str] = field(default_factory=list)
    _end: Callable[[Store, str], None] | None = None

    def begin(self, before: Mapping[str, Any], after: Mapping[str, Any], text: str) -> None:
        """Note what is about to be written.

        Args:
            text: What stands in the file, to be kept.
        """
        diff = key_changes(before, after)
        if diff and is_ours(self.path):
            self._with_store(lambda store: self._begin(store, diff, text))

    def _begin(self, store: Store, diff: Diff, text: str) -> None:
        resource = Noted("config.yaml", origins=dict.fromkeys({**diff.put, **diff.drop}, COMMAND), stage="config")
        run = store.begin_run(self.command)
        entries = store.begin_change(run, resource, diff, text.encode())

        def end(store: Store, result: str) -> None:
            store.end_change(entries, resource, diff, result)
            store.end_run(run, result)

        self._end = end

    def end(self, result: str = "done") -> None:
        """Note how it ended."""
        finish = self._end
        if finish:
            self._with_store(lambda store: finish(store, result))

    def _with_store(self, do: Callable[[Store], None]) -> None:
        problem = with_store(do)
        if problem:
            self.warnings.append(problem)


def is_ours(path: Path) -> bool:
    """Whether it is the config.yaml of this machine's installation, and there is a journal that we may write."""
    paths = Paths.from_environment()
    same = os.path.realpath(path) == os.path.realpath(paths.config_file)
    return same and os.geteuid() == 0 and paths.store.exists()


def with_store(do: Callable[[Store], object]) -> str:
    """Write to the store; why that was not possible, in a sentence, or nothing."""
    from tljh.engine.store import Store

    try:
        with Store(Paths.from_environment().store) as store:
            do(store)
    except (TljhError, sqlite3.Error, OSError) as error:
        what = error.what if isinstance(error, TljhError) else str(error)
        log.warning("the journal can't be written: %s", what)
        return f"this is not in the journal ('tljh journal'): {what}"
    return ""


# ---- reloads


@dataclass
class ReloadNote:
    """What one reload has done."""

    done: list[tuple[str, str, str | None, str]] = field(default_factory=list)

    def restarted(self, service: str) -> None:
        """A service was restarted."""
        self.done.append((f"service:{service}", "active", "yes", "restarted"))

    def files(self, before: Mapping[Path, str], written: Sequence[Path]) -> None:
        """Files were written.

        Args:
            before: Digests of what was there.
        """
        for path in written:
            self.done.append((f"file:{path}", "content", before.get(path) or None, Machine().digest(path)))


@contextlib.contextmanager
def noting_reload(component: str, paths: Paths) -> Iterator[ReloadNote]:
    """Note what a reload does and how it ends; one that took effect is a generation of its own."""
    note = ReloadNote()
    if os.geteuid() != 0 or not paths.store.exists():
        yield note
        return
    command = f"{COMMAND} reload" + (f" {component}" if component != "hub" else "")
    try:
        yield note
    except BaseException as error:
        failure = f"failed: {error}"
        with_store(lambda store: _note_reload(store, command, note, failure))
        raise
    with_store(lambda store: _note_good_reload(store, command, note, paths))


def _note_reload(store: Store, command: str, note: ReloadNote, outcome: str) -> int:
    run = store.begin_run(command)
    for name, key, before, after in note.done:
        resource = Noted(name, origins={key: COMMAND}, stage="services")
        diff = Diff({key: before} if before else {}, {key: after}, {})
        store.end_change(store.begin_change(run, resource, diff, None), resource, diff, "done")
    store.end_run(run, outcome)
    return run


def _note_good_reload(store: Store, command: str, note: ReloadNote, paths: Paths) -> None:
    run = _note_reload(store, command, note, "done")
    newest = store.newest()
    text = paths.config_file.read_text() if paths.config_file.exists() else ""
    if not newest.get("environments") or newest.get("config") == text or is_held(paths.lock):
        return  # nothing is new, or the install that is at work records it
    record = {key: value for key, value in newest.items() if key not in ("id", "of")}
    store.add_generation(run, command, {**record, "config": text, "memory": store.memory()})


def digests(paths: Sequence[Path]) -> dict[Path, str]:
    """The sha256 of each file that is there."""
    found = {path: path.read_bytes() for path in paths if path.is_file()}
    return {path: hashlib.sha256(content).hexdigest() for path, content in found.items()}
