"""Writes the files of a new plugin: a package that installs, passes its own tests and does something at once.

What the files say is in ``scaffold_texts.py``.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from tljh.engine.resource import CORE
from tljh.errors import UsageError
from tljh.plugins import scaffold_texts

STYLES = ("functions", "typed", "stages")
PREFIX = "tljh-"


@dataclass(frozen=True)
class Names:
    """What a new plugin is called in each place.

    Attributes:
        plugin: The entry point; what ``tljh plugin`` calls it.
        distribution: The package that pip installs.
        module: What Python imports.
        title: For people.
        type: A class of its module.
    """

    plugin: str
    distribution: str
    module: str
    title: str
    type: str

    @classmethod
    def of(cls, name: str) -> Names:
        """The names that follow from one; ``tljh-`` in front of it may be there or not.

        Raises:
            UsageError: it can't be a package's name.
        """
        plugin = re.sub(r"[-_. ]+", "-", name.strip()).lower().removeprefix(PREFIX)
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", plugin) or plugin in ("tljh", CORE):
            raise UsageError(
                f"{name!r} can't be the name of a plugin",
                todo="take letters, digits and '-', a letter first: tljh plugin new shared-data",
            )
        words = plugin.split("-")
        type_ = "".join(word.capitalize() for word in words)
        if keyword.iskeyword(type_):
            type_ += "Plugin"
        module = f"tljh_{plugin.replace('-', '_')}"
        return cls(plugin, PREFIX + plugin, module, " ".join(words).capitalize(), type_)


def texts_of(names: Names, style: str) -> dict[str, str]:
    """Path below the project's folder → what stands in the file.

    Args:
        style: One of ``STYLES``.
    """
    source, test, about = scaffold_texts.BY_STYLE[style]
    files = {
        "pyproject.toml": scaffold_texts.PYPROJECT,
        "README.md": scaffold_texts.README,
        f"src/{names.module}/__init__.py": source,
        f"tests/test_{names.plugin.replace('-', '_')}.py": test,
        ".gitignore": scaffold_texts.GITIGNORE,
    }
    value = f"{names.module}:{names.type}" if style == "typed" else names.module
    words = {**vars(names), "about": about, "value": value}
    return {path: _filled(text, words) for path, text in files.items()}


def _filled(text: str, words: dict[str, str]) -> str:
    """``text`` with ``<<word>>`` replaced; braces and dollars are the file's own."""
    return re.sub(r"<<(\w+)>>", lambda found: words[found[1]], text)


def write(name: str, style: str, below: Path) -> tuple[Path, list[Path]]:
    """Write a new plugin into a folder of its own.

    Args:
        below: Where that folder is made.

    Returns:
        The folder, and the files in it.

    Raises:
        UsageError: the name is none, there is something of that name already, or nothing can be written there.
    """
    names = Names.of(name)
    folder = below / names.distribution
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", todo="choose another name, or another place with --output")
    files = []
    try:
        for path, text in texts_of(names, style).items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            files.append(file)
    except OSError as error:
        raise UsageError(
            f"{error.filename} can't be written: {error.strerror}", todo="choose another place with --output"
        ) from error
    return folder, files
