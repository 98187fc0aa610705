"""What JupyterHub reads as its configuration file; everything is in ``tljh.hub.configure``."""

import sys

from tljh.errors import TljhError
from tljh.hub.configure import configure

c = get_config()  # type: ignore[name-defined]  # noqa: F821
try:
    configure(c, load_subconfig)  # type: ignore[name-defined]  # noqa: F821
except TljhError as error:
    sys.exit(f"The hub does not start. {error}")  # without a traceback, which would hide the sentence
