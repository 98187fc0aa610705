"""Which programs a user's server finds: the user environment that is current when it starts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tljh.paths import Paths

# of a login shell of root on Debian; most spawners hand on no PATH, and os.defpath lacks /usr/local and sbin
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def real_paths(configured: Sequence[str]) -> list[str]:
    """Folders with every link followed.

    A server keeps the environment that it was started from: through the link it would, after a switch, import
    from one environment what it doesn't find loaded from another.
    """
    return [os.path.realpath(folder) for folder in configured]


def without_hub(search_path: str, paths: Paths) -> str:
    """A ``PATH`` without the programs of the hub's own environment, which are not for users."""
    envs = dict.fromkeys([str(paths.envs), os.path.realpath(paths.envs)])  # the prefix may be a link
    own = (f"{paths.hub}/", *(f"{folder}/hub-" for folder in envs))
    kept = [folder for folder in search_path.split(os.pathsep) if not folder.startswith(own)]
    return os.pathsep.join(kept)
