"""An installer for a JupyterHub on one server that speaks the public contract of The Littlest JupyterHub.

What authors of plugins import from here comes when it is asked for: ``tljh.Plugin``, ``tljh.Stage``,
``tljh.hookimpl``, ``tljh.hookspec``, ``tljh.PluginManager`` and the module ``tljh.declare``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tljh import declare as declare
    from tljh.hooks import hookimpl as hookimpl
    from tljh.hooks import hookspec as hookspec
    from tljh.plugins.manager import PluginManager as PluginManager
    from tljh.plugins.stage import Stage as Stage
    from tljh.plugins.typed import Plugin as Plugin

# name -> module, and the name in it; importing tljh itself must stay quick
_NAMES = {
    "Plugin": ("tljh.plugins.typed", "Plugin"),
    "PluginManager": ("tljh.plugins.manager", "PluginManager"),
    "Stage": ("tljh.plugins.stage", "Stage"),
    "declare": ("tljh.declare", ""),
    "hookimpl": ("tljh.hooks", "hookimpl"),
    "hookspec": ("tljh.hooks", "hookspec"),
}


def __getattr__(name: str) -> Any:
    """One of the names for authors, imported now."""
    if name not in _NAMES:
        raise AttributeError(f"module 'tljh' has no attribute {name!r}")
    module, attribute = _NAMES[name]
    found = importlib.import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
