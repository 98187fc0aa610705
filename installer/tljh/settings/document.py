"""config.yaml as a document: what an admin typed stays, and only what changes is changed.

Reading and writing the file, its lock, and the verbs of ``tljh-config``. What the keys mean is in ``schema.py``;
how a text is changed line by line is in ``edit.py``.
"""

from __future__ import annotations

import contextlib
import copy
import grp
import io
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.settings import edit as inplace

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

LOCK_TIMEOUT = 10.0  # seconds

KeyPath = str | Sequence[str]


class Document:
    """The text of a config.yaml, and the mapping that it says.

    Args:
        text: YAML; nothing but comments means no settings.
        name: How messages call it.

    Raises:
        TljhError: the text is not YAML, or says something else than a mapping.
    """

    def __init__(self, text: str = "", name: str = "config.yaml") -> None:
        self.name = name
        self._text = ""
        self._values: dict[str, Any] = {}
        self._take(text)

    @classmethod
    def load(cls, path: Path) -> Document:
        """What is in the file at ``path``; an empty document where there is none.

        Raises:
            TljhError: it can't be read, is not YAML (with line and column), or is not a mapping.
        """
        try:
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise TljhError(f"{path} is no file", whose=path.name, todo="Put a file there.")
            return cls(path.read_text(encoding="utf-8"), path.name)
        except FileNotFoundError as error:
            if path.is_symlink():  # on a disk that isn't mounted, say: the hub's defaults would let others in
                what = f"{path} is a link to {os.readlink(path)}, which is not there"
                raise TljhError(what, whose=path.name, todo="Bring that file back, or remove the link.") from error
            return cls("", path.name)
        except PermissionError as error:
            raise TljhError(f"no permission to read {path}", todo="Run this as root, or with sudo.") from error
        except UnicodeDecodeError as error:
            raise TljhError(f"{path} is not text in UTF-8", whose=path.name, todo="Save it as UTF-8.") from error
        except OSError as error:
            what = f"{path} can't be read: {error.strerror}"
            raise TljhError(what, whose=path.name, todo="Put a file there that can be read.") from error

    def dumps(self) -> str:
        """The text to write."""
        return self._text

    def as_dict(self) -> dict[str, Any]:
        """The settings as a new plain nested dictionary."""
        return copy.deepcopy(self._values)

    def mapping(self) -> CommentedMap:
        """The settings as a round-trip mapping, for hooks that expect one; changing it changes nothing here."""
        from ruamel.yaml.comments import CommentedMap

        return _round_trip().load(self._text) or CommentedMap()

    def line(self, path: KeyPath) -> int | None:
        """The line, counted from 1, on which the key at ``path`` stands."""
        found = inplace.find(inplace.compose(self._text), parts(path))
        return None if found is None else int(found.key.start_mark.line) + 1

    # ---- the verbs

    def get(self, path: KeyPath, default: Any = None) -> Any:
        """The value at ``path``, or ``default``."""
        value: Any = self._values
        for part in parts(path):
            key = _key(value, part)
            if key is None:
                return default
            value = value[key]
        return copy.deepcopy(value)

    def set(self, path: KeyPath, value: Any) -> None:
        """Give the key at ``path`` this value; what is no mapping on the way becomes one."""
        names = parts(path)
        wanted = self.as_dict()
        _put(wanted, names, value)
        self._change(wanted, lambda text: inplace.put(text, names, value), lambda data: _put(data, names, value))

    def unset(self, path: KeyPath) -> None:
        """Remove the key at ``path``, and the mappings above it that it leaves empty.

        Raises:
            TljhError: there is no such key.
        """
        names = parts(path)
        if self.get(names, _NOTHING) is _NOTHING:
            raise TljhError(
                f"{'.'.join(names)} is not set", whose=self.name, todo="`tljh-config show` tells what is."
            )
        while len(names) > 1 and len(self.get(names[:-1])) == 1:
            names = names[:-1]
        wanted = self.as_dict()
        _drop(wanted, names)
        self._change(wanted, lambda text: inplace.delete(text, names), lambda data: _drop(data, names))

    def add_item(self, path: KeyPath, value: Any) -> None:
        """Add ``value`` to the list at ``path``, which is made where it is missing.

        Raises:
            TljhError: there is something else than a list.
        """
        names = parts(path)
        there = self.get(names)
        if there is None:
            return self.set(names, [value])
        if not isinstance(there, list):
            what = f"{'.'.join(names)} is not a list"
            raise TljhError(what, whose=self.name, todo=f"Use `tljh-config set {'.'.join(names)} …`.")
        wanted = self.as_dict()
        _put(wanted, names, [*there, value])
        self._change(
            wanted, lambda text: inplace.append(text, names, value), lambda data: _at(data, names).append(value)
        )

    def remove_item(self, path: KeyPath, value: Any) -> None:
        """Remove ``value`` from the list at ``path``.

        Raises:
            TljhError: there is no list, or it doesn't hold the value.
        """
        names = parts(path)
        there = self.get(names)
        if not isinstance(there, list):
            state = "is not set" if there is None else "is not a list"
            raise TljhError(f"{'.'.join(names)} {state}", whose=self.name)
        if value not in there:
            items = ", ".join(str(item) for item in there) or "nothing"
            raise TljhError(f"{'.'.join(names)} doesn't hold {value}; it holds {items}", whose=self.name)
        index = there.index(value)
        wanted = self.as_dict()
        _put(wanted, names, there[:index] + there[index + 1 :])
        self._change(
            wanted, lambda text: inplace.remove(text, names, index), lambda data: _at(data, names).pop(index)
        )

    # ---- the file

    def save(self, path: Path, machine: Machine | None = None) -> None:
        """Write the text in one step, with the mode and owner that the file has; a new one gets 0600.

        A symbolic link stays: the file that it points to is written.

        Raises:
            TljhError: the folder is missing or can't be written to.
        """
        machine = machine or Machine()
        target = path.resolve() if machine.root == Path("/") else path
        status = machine.status(target)
        try:
            machine.write_file(
                target,
                self._text.encode(),
                mode=int(status.mode, 8) if status else 0o600,
                owner=status.owner if status else own_account(),
            )
        except FileNotFoundError as error:
            raise TljhError(f"there is no folder {target.parent}", whose=self.name) from error
        except PermissionError as error:
            raise TljhError(f"no permission to write {target}", todo="Run this as root, or with sudo.") from error

    # ---- how

    def _take(self, text: str) -> None:
        self._values = _parse(text, self.name)
        self._text = text

    def _change(self, wanted: dict[str, Any], in_place: Any, whole: Any) -> None:
        """Make a change in place; where that doesn't give the wanted values, dump the whole mapping."""
        with contextlib.suppress(inplace.NotInPlace, TljhError, ValueError, IndexError):
            text = in_place(self._text)
            if _parse(text, self.name) == wanted:
                return self._take(text)
        data = self.mapping()
        whole(data)
        stream = io.StringIO()
        _round_trip().dump(data, stream)
        comments = _only_comments(self._text)
        self._take(comments + stream.getvalue() if wanted else comments)


@contextlib.contextmanager
def edit(path: Path, *, machine: Machine | None = None, timeout: float = LOCK_TIMEOUT) -> Iterator[Document]:
    """Change the config.yaml at ``path`` under its lock; written only if it was changed, and not on an error.

    Args:
        timeout: Seconds to wait for the lock.

    Raises:
        TljhError: the lock is held by another program, or the file can't be read or written.
    """
    with locked(path, timeout):
        document = Document.load(path)
        before = document.dumps()
        yield document
        if document.dumps() != before:
            document.save(path, machine)


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock that whoever writes ``path`` takes: ``config.yaml.lock`` beside it."""
    import filelock

    if not path.parent.is_dir():  # filelock would make it, readable by all
        raise TljhError(f"there is no folder {path.parent}", todo="`tljh install` makes that of an installation.")
    name = f"{path}.lock"
    lock = filelock.FileLock(name, timeout=timeout)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        from tljh.engine.lock import processes_with

        who = ", ".join(map(str, processes_with(Path(name)))) or "another program"
        raise TljhError(
            f"{path} is being changed by {who}, which has held {name} for {timeout:g} seconds",
            todo="Try again when it has ended.",
        ) from error
    except PermissionError as error:
        raise TljhError(f"no permission to change {path}", todo="Run this as root, or with sudo.") from error
    except OSError as error:
        raise TljhError(f"{name} can't be made: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def own_account() -> str:
    """The account that new files get: root where we are root, else the one that runs this."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    return f"{user}:{grp.getgrgid(os.getegid()).gr_name}"


def parts(path: KeyPath) -> tuple[str, ...]:
    """A key path as names: ``"a.b"`` is split at its dots, a sequence is taken as it is.

    Raises:
        TljhError: a name in it is empty.
    """
    names = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
    if not names or not all(names):
        raise TljhError(
            f'"{path}" is not a key', todo="Write it like limits.memory: names with dots between them."
        )
    return names


_NOTHING = object()


def _round_trip() -> YAML:
    from tljh.yaml import yaml

    return yaml


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        values = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name} line {mark.line + 1}, column {mark.column + 1}" if mark else name
        what = str(error.problem or error.context).split("\n")[0]
        raise TljhError(f"broken YAML: {what}", whose=where, todo="Correct that line.") from error
    except YAMLError as error:
        raise TljhError(f"broken YAML: {str(error).splitlines()[0]}", whose=name, todo="Correct it.") from error
    except RecursionError:
        raise TljhError("it is nested too deeply", whose=name, todo="Correct it.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "one value"
        raise TljhError(
            f"it is {kind}, where settings are expected",
            whose=name,
            todo='Write lines like "limits:", "  memory: 1G".',
        )
    return values


def _only_comments(text: str) -> str:
    """The text, when it holds nothing but comments: ruamel forgets them when there is no key."""
    lines = text.splitlines(keepends=True)
    return text if lines and all(not line.strip() or line.lstrip().startswith("#") for line in lines) else ""


def _key(mapping: Any, name: str) -> Any:
    """The key that an admin means by ``name``: itself, or a number that reads the same; ``None`` if missing."""
    if not isinstance(mapping, Mapping):
        return None
    return name if name in mapping else next((key for key in mapping if str(key) == name), None)


def _at(mapping: Any, names: Sequence[str]) -> Any:
    for name in names:
        mapping = mapping[_key(mapping, name)]
    return mapping


def _put(mapping: Any, names: Sequence[str], value: Any) -> None:
    for name in names[:-1]:
        key = _key(mapping, name)
        if key is None or not isinstance(mapping[key], Mapping):
            key = name if key is None else key
            mapping[key] = {}
        mapping = mapping[key]
    key = _key(mapping, names[-1])
    mapping[names[-1] if key is None else key] = copy.deepcopy(value)


def _drop(mapping: Any, names: Sequence[str]) -> None:
    parent = _at(mapping, names[:-1])
    del parent[_key(parent, names[-1])]
