"""The names of ``tljh.config`` that plugins and scripts import: places, and changing config.yaml.

Each is one call into its real home below ``tljh.settings``; the command is in ``tljh.cli.config``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tljh.paths import Paths

_paths = Paths.from_environment()
# text, as plugins expect
INSTALL_PREFIX = str(_paths.prefix)
HUB_ENV_PREFIX = f"{INSTALL_PREFIX}/hub"
USER_ENV_PREFIX = f"{INSTALL_PREFIX}/user"
STATE_DIR = f"{INSTALL_PREFIX}/state"
CONFIG_DIR = f"{INSTALL_PREFIX}/config"
CONFIG_FILE = f"{CONFIG_DIR}/config.yaml"


def get_config_value(config_path: str | Path, key_path: str, default: Any = None) -> Any:
    """The value at ``key_path`` (``limits.memory``) in the file, or ``default``."""
    from tljh.settings.document import Document

    return Document.load(Path(config_path)).get(key_path, default)


def set_config_value(config_path: str | Path, key_path: str, value: Any, validate: bool = True) -> None:
    """Set the key at ``key_path``, under the file's lock.

    Raises:
        TljhError: with ``validate``, the value has the wrong type or the key doesn't exist.
    """
    from tljh.settings.change import change

    change(Path(config_path), lambda document: document.set(key_path, value), validate=validate)


def unset_config_value(config_path: str | Path, key_path: str, validate: bool = True) -> None:
    """Remove the key at ``key_path``, under the file's lock.

    Raises:
        TljhError: it is not set.
    """
    from tljh.settings.change import change

    change(Path(config_path), lambda document: document.unset(key_path), validate=validate)


def add_config_value(config_path: str | Path, key_path: str, value: Any, validate: bool = True) -> None:
    """Add ``value`` to the list at ``key_path``, under the file's lock.

    Raises:
        TljhError: there is something else than a list.
    """
    from tljh.settings.change import change

    change(Path(config_path), lambda document: document.add_item(key_path, value), validate=validate)


def remove_config_value(config_path: str | Path, key_path: str, value: Any, validate: bool = True) -> None:
    """Remove ``value`` from the list at ``key_path``, under the file's lock.

    Raises:
        TljhError: there is no list, or it doesn't hold the value.
    """
    from tljh.settings.change import change

    change(Path(config_path), lambda document: document.remove_item(key_path, value), validate=validate)


def show_config(config_path: str | Path) -> None:
    """Print the file's settings."""
    from tljh.settings.document import Document

    print(Document.load(Path(config_path)).dumps() or "{}\n", end="")


def parse_value(value_str: str | None) -> Any:
    """What a word of the command line means: nothing, a whole number, a number, true or false, or text."""
    from tljh.settings.change import parse_value as parse

    return parse(value_str)


def reload_component(component: str) -> None:
    """Apply config.yaml to the running ``hub`` or ``proxy``, and wait until it answers.

    Raises:
        TljhError: the configuration can't be used (nothing was restarted), or it doesn't answer in time.
    """
    from tljh.engine.machine import Machine
    from tljh.resources.managers import manager_for
    from tljh.settings.reload import reload_component as reload

    reload(component, _paths, manager_for(_paths, Machine()))
