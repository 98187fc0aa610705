"""A lock for a bundle: it speaks of the files that are in the bundle, wherever they first came from.

What was built from its source, or came from an address of its own, is in a bundle as a wheel. Only the lock's
copy in the bundle says so.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from tljh.engine.parsers import canonical_name


def with_files(text: str, digests: Mapping[str, str]) -> str:
    """The text of a ``conda-lock.yml`` in which pip's packages are these wheels, to be looked up by their names.

    Args:
        digests: Canonical name → sha256 of the wheel, hexadecimal.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1 << 16  # no line is broken
    document = yaml.load(text)
    changed = [_changed(entry, digests) for entry in document["package"] if entry["manager"] == "pip"]
    if not any(changed):
        return text
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _changed(entry: dict[str, Any], digests: Mapping[str, str]) -> bool:
    """Make an entry speak of the wheel; whether it spoke of something else."""
    digest = digests.get(canonical_name(entry["name"]), "")
    if not digest or (entry["hash"]["sha256"] == digest and not entry.get("source")):
        return False
    entry["hash"]["sha256"] = digest
    entry.pop("source", None)
    return True
