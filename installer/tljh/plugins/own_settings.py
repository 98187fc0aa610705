"""What config.yaml says for plugins: ``plugins.NAME``, and everything for ``tljh_resources(config)``.

The file is read when the first plugin asks, because most plugins don't, and YAML takes a while to import.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tljh.settings.document import Document


def others(word: str, known: Sequence[str], above: str) -> str:
    """What an error says of a setting that there isn't: what was meant, or what there is.

    Args:
        known: The settings that there are.
        above: The key that they are below.
    """
    close = difflib.get_close_matches(word, known, 1, 0.7)
    if close:
        return f"; did you mean {above}.{close[0]}?"
    return f"; the plugin has {', '.join(known)}" if known else "; the plugin has none of that name"


class OwnSettings:
    """The settings of all plugins.

    Args:
        read: Gives the document.
        name: What messages call it.
    """

    def __init__(self, read: Callable[[], Document], name: str = "config.yaml") -> None:
        self._read = read
        self.name = name

    @classmethod
    def of_file(cls, path: Path | None = None) -> OwnSettings:
        """Those of a config.yaml; this machine's when not given."""

        def read() -> Document:
            from tljh.settings.document import Document

            return Document.load(where)

        if path is None:
            from tljh.paths import Paths

            path = Paths.from_environment().config_file
        where = path
        return cls(read, str(path))

    @classmethod
    def of_text(cls, text: str, name: str = "config.yaml") -> OwnSettings:
        """Those that stand in a text."""

        def read() -> Document:
            from tljh.settings.document import Document

            return Document(text, name)

        return cls(read, name)

    @cached_property
    def document(self) -> Document:
        """The whole file.

        Raises:
            TljhError: it is no YAML, or no mapping.
        """
        return self._read()

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The same as a plain mapping, without defaults."""
        return self.document.as_dict()

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Everything, with all defaults."""
        from tljh.configurer import with_defaults
        from tljh.plugins.values import lenient

        plain: Mapping[str, Any] = lenient(with_defaults(self.values))
        return plain

    def of(self, plugin: str) -> Any:
        """What stands under ``plugins.NAME``: a mapping where all is well; nothing is an empty one."""
        above = self.values.get("plugins") or {}
        found = above.get(plugin) if isinstance(above, Mapping) else None
        return {} if found is None else found

    def where(self, path: Sequence[str]) -> str:
        """File and line of a key, or of the nearest one above it that is there."""
        for length in range(len(path), 0, -1):
            line = self.document.line(path[:length])
            if line:
                return f"{self.name} line {line}"
        return self.name
