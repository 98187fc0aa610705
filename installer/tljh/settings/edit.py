"""Changing a YAML text in place: only the lines that a change is about are touched.

Positions come from the parsed nodes, so comments, blank lines, order and quotes of all other lines stay as the
admin typed them. What can't be done this way (flow style, aliases, merge keys) raises ``NotInPlace``; the
document then falls back to dumping the whole mapping. Nothing here knows config.yaml or files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString


class NotInPlace(Exception):
    """This change can't be made by touching lines only."""


@dataclass(frozen=True)
class Found:
    """A value in the text.

    Attributes:
        key: The node of its key.
        value: Its own node.
        parent: The mapping that holds it.
    """

    key: Node
    value: Node
    parent: MappingNode


def compose(text: str) -> Node | None:
    """The nodes of the text's one document, with their positions; ``None`` for a text without any."""
    return YAML(typ="safe", pure=True).compose(text)  # type: ignore[no-any-return]


def find(root: Node | None, path: Sequence[str]) -> Found | None:
    """The value at ``path``; ``None`` where there is none. The last of two equal keys is not looked for."""
    found = None
    node = root
    for part in path:
        if not isinstance(node, MappingNode):
            return None
        pair = next(((key, value) for key, value in node.value if key.value == part), None)
        if pair is None:
            return None
        found = Found(pair[0], pair[1], node)
        node = pair[1]
    return found


def is_empty(node: Node) -> bool:
    """Whether nothing stands where the value would be (``key:``)."""
    return isinstance(node, ScalarNode) and node.value == "" and node.style is None


def last_line(found: Found) -> int:
    """The last line that belongs to an entry, comments after it not counted."""
    return _end(found.value, found.key.end_mark.line)


def _end(node: Node, at_least: int) -> int:
    if node.start_mark.line < at_least:
        raise NotInPlace  # an alias: its node stands where the anchor is
    if is_empty(node):
        return at_least
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return _end(value, key.end_mark.line)
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return at_least if is_empty(last) else _end(last, last.start_mark.line)
    mark = node.end_mark
    return int(mark.line if mark.column or mark.line == node.start_mark.line else mark.line - 1)


def dump(value: Any, indent: int = 0) -> list[str]:
    """``value`` in block style, as lines that begin with ``indent`` spaces."""
    writer = YAML(typ="rt")
    writer.width = 4096
    stream = io.StringIO()
    writer.dump(value, stream)
    lines = stream.getvalue().splitlines(keepends=True)
    return [" " * indent + line for line in lines if line != "...\n"]


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with ``value`` at ``path``; mappings on the way are made where they are missing."""
    root = compose(text)
    lines = _lines(text)
    here = find(root, path)
    if here:
        return _replace(lines, here, value)
    depth = next(n for n in range(len(path) - 1, -1, -1) if n == 0 or find(root, path[:n]))
    missing: Any = value
    for part in reversed(path[depth + 1 :]):
        missing = {part: missing}
    above = find(root, path[:depth]) if depth else None
    if above and not (isinstance(above.value, MappingNode) and above.value.value):
        return _replace(lines, above, {path[depth]: missing})
    parent = above.value if above else root
    if not isinstance(parent, MappingNode) or parent.flow_style or not parent.value:
        raise NotInPlace
    key, last = parent.value[-1]
    # what is new at the top goes to the end of the file, after any comments that stand there
    at = last_line(Found(key, last, parent)) + 1 if above else len(lines)
    lines[at:at] = dump({path[depth]: missing}, parent.start_mark.column)
    return "".join(lines)


def delete(text: str, path: Sequence[str]) -> str:
    """The text without the entry at ``path``."""
    found = find(compose(text), path)
    if found is None or found.parent.flow_style:
        raise NotInPlace
    lines = _lines(text)
    del lines[found.key.start_mark.line : last_line(found) + 1]
    return "".join(lines)


def append(text: str, path: Sequence[str], value: Any) -> str:
    """The text with one more item in the list at ``path``."""
    found = find(compose(text), path)
    if found is None or not isinstance(found.value, SequenceNode):
        raise NotInPlace
    lines = _lines(text)
    if not found.value.value:
        return _replace(lines, found, [value])
    if found.value.flow_style:
        raise NotInPlace
    at = last_line(found) + 1
    lines[at:at] = dump([value], found.value.start_mark.column)
    return "".join(lines)


def remove(text: str, path: Sequence[str], index: int) -> str:
    """The text without one item of the list at ``path``."""
    found = find(compose(text), path)
    if found is None or not isinstance(found.value, SequenceNode) or found.value.flow_style:
        raise NotInPlace
    lines = _lines(text)
    item = found.value.value[index]
    first = item.start_mark.line
    last = _end(item, first)
    if len(found.value.value) > 1:
        del lines[first : last + 1]
        return "".join(lines)
    colon = lines[found.key.end_mark.line].index(":", found.key.end_mark.column)
    line = lines[found.key.end_mark.line]
    lines[found.key.end_mark.line] = f"{line[: colon + 1]} []{line[colon + 1 :]}"
    del lines[first : last + 1]
    return "".join(lines)


def _replace(lines: list[str], found: Found, value: Any) -> str:
    """Another value in the place of one that is there."""
    if found.parent.flow_style:
        raise NotInPlace
    node = found.value
    if _end(node, found.key.end_mark.line) != found.key.end_mark.line:
        first = found.key.start_mark.line
        indent = found.key.start_mark.column
        lines[first : last_line(found) + 1] = dump({_word(found.key): value}, indent)
        return "".join(lines)
    number = found.key.end_mark.line
    line = lines[number]
    if is_empty(node):
        start = end = line.index(":", found.key.end_mark.column) + 1
    else:
        start, end = node.start_mark.column, node.end_mark.column
    if isinstance(value, dict | list) and value:
        indent = found.key.start_mark.column + (2 if isinstance(value, dict) else 0)
        lines[number] = line[:start].rstrip() + _rest(line[end:])
        lines[number + 1 : number + 1] = dump(value, indent)
        return "".join(lines)
    lines[number] = f"{line[:start].rstrip()} {_scalar(value, node)}{line[end:]}"
    return "".join(lines)


def _rest(text: str) -> str:
    return text if text.strip() else "\n"


def _word(key: Node) -> Any:
    """The key itself: a text, or a number that was written as one."""
    return YAML(typ="safe", pure=True).load(key.value) if str(key.tag).endswith(":int") else key.value


def _scalar(value: Any, before: Node) -> str:
    """``value`` on one line, in the quotes of the value that stood there."""
    style = before.style if isinstance(before, ScalarNode) else None
    if isinstance(value, str) and "\n" not in value:
        quoted = {"'": SingleQuotedScalarString, '"': DoubleQuotedScalarString}.get(style or "")
        value = quoted(value) if quoted else value
    elif value is None:
        return "null"
    lines = dump({"x": value})
    if len(lines) != 1:
        raise NotInPlace
    return lines[0][len("x:") :].strip()


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines
