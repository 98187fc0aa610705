"""Settings that must not be shown: what a diff, a journal or a history says in their place.

Of a secret is only told whether it is the same as another one, within one process.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from tljh.engine.machine import redact
from tljh.settings.edit import compose

SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key", re.IGNORECASE)
"""What the name of a key has in it whose value is a secret."""
# conda's credentials in the path of a channel: https://conda.example.org/t/TOKEN/name
_CONDA_TOKEN = re.compile(r"(://[^\s/]+/t/)[^\s/]+")
_PROCESS = secrets.token_bytes(16)


def is_secret(path: Sequence[object]) -> bool:
    """Whether the key at ``path``, or one that it is below, is named as secrets are."""
    return any(SECRET.search(str(name)) for name in path)


def stand_in(value: object) -> str:
    """What is shown of a secret: another text for another value, and in another process."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return f"a secret ({hashlib.blake2b(text.encode(), key=_PROCESS, digest_size=4).hexdigest()})"


def in_words(path: Sequence[object], value: Any) -> str:
    """A setting's value as JSON, without what is secret in it."""
    if is_secret(path):
        return stand_in(value)
    return without_credentials(json.dumps(_without_secrets(value), default=str, ensure_ascii=False))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: stand_in(v) if is_secret([k]) else _without_secrets(v) for k, v in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def without_credentials(text: str) -> str:
    """``text`` without credentials in addresses, and without what stands behind ``password=`` and the like."""
    lines = (redact(line) for line in text.splitlines(keepends=True))  # what stands on the next line is no value
    return _CONDA_TOKEN.sub(r"\1***", "".join(lines))


def without_secrets(text: str) -> str:
    """The text of a config.yaml with every secret replaced; all else, comments too, stays as it is written."""
    try:
        spans = sorted(_spans(compose(text), (), set()))
    except YAMLError:
        return without_credentials(text)
    parts, at = [], 0
    for start, end in spans:
        if start < at:
            continue  # within the one before: two aliases of one anchor
        secret = text[start:end]
        kept = secret[len(secret.rstrip()) :]  # a block ends behind its last line
        parts += [without_credentials(text[at:start]), stand_in(secret.strip()), kept]
        at = end
    return "".join([*parts, without_credentials(text[at:])])


def _spans(node: Node | None, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[int, int]]:
    """Where in the text the secrets begin and end."""
    if node is None:
        return
    if path and SECRET.search(path[-1]):
        if node.end_mark.index > node.start_mark.index:
            yield node.start_mark.index, node.end_mark.index
    elif id(node) not in seen:
        seen.add(id(node))  # an alias may lead back to where it is
        if isinstance(node, MappingNode):
            for key, value in node.value:
                yield from _spans(value, (*path, str(key.value)), seen)
        elif isinstance(node, SequenceNode):
            for item in node.value:
                yield from _spans(item, (*path, ""), seen)
