"""Paths, and a ``tljh-config`` that can do what the tests want of it."""

import os
import subprocess
import sys
from pathlib import Path

INSTALL_PREFIX = os.environ.get("TLJH_INSTALL_PREFIX", "/opt/tljh")
HUB_ENV_PREFIX = f"{INSTALL_PREFIX}/hub"
USER_ENV_PREFIX = f"{INSTALL_PREFIX}/user"
STATE_DIR = f"{INSTALL_PREFIX}/state"
CONFIG_DIR = f"{INSTALL_PREFIX}/config"
CONFIG_FILE = f"{CONFIG_DIR}/config.yaml"


def main():
    """``tljh-config show`` and ``tljh-config reload``."""
    if sys.argv[1:2] == ["show"]:
        print(Path(CONFIG_FILE).read_text(), end="")
    elif sys.argv[1:2] == ["reload"]:
        subprocess.run(["systemctl", "restart", "jupyterhub"], check=True)
        print("Hub reload with new configuration complete")
    else:
        sys.exit("the stand-in knows show and reload")
