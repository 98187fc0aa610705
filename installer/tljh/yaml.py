"""The one way to read and write YAML that keeps comments, order and quotes.

Plugins import ``yaml`` from here. What config.yaml means is in ``settings``.
"""

from __future__ import annotations

from ruamel.yaml import YAML

yaml = YAML(typ="rt")
yaml.preserve_quotes = True
# long texts stay on the line that they were written on
yaml.width = 4096

__all__ = ["yaml"]
