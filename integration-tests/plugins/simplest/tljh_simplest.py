"""The simplest plugin that implements every hook, each with an effect that can be seen (README.md lists them)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from tljh.hooks import hookimpl

ANNOUNCEMENT = "simplest plugin is here"


@hookimpl
def tljh_extra_apt_packages():
    return ["hello"]


@hookimpl
def tljh_extra_user_pip_packages():
    return ["cowsay"]


@hookimpl
def tljh_extra_hub_pip_packages():
    return ["iniconfig"]


@hookimpl
def tljh_extra_user_conda_packages():
    # a user environment from PyPI refuses conda packages, so there are none unless a test asks for them
    return os.environ.get("TLJH_SIMPLEST_CONDA", "").split()


@hookimpl
def tljh_extra_user_conda_channels():
    return ["conda-forge"] if os.environ.get("TLJH_SIMPLEST_CONDA") else []


@hookimpl
def tljh_config_post_install(config):
    config.setdefault("simplest_plugin", {})["present"] = True
    config.setdefault("limits", {})["memory"] = "1G"


@hookimpl
def tljh_custom_jupyterhub_config(c):
    c.JupyterHub.template_vars.update({"announcement": ANNOUNCEMENT})
    c.JupyterHub.tornado_settings.update({"headers": {"X-Tljh-Simplest": "1.0"}})
    c.JupyterHub.services.append({"name": "simplest", "display": False})


@hookimpl
def tljh_post_install():
    from tljh.config import STATE_DIR

    Path(STATE_DIR, "simplest-post-install").write_text("tljh_post_install has run\n")


@hookimpl
def tljh_new_user_create(username):
    account = pwd.getpwnam(username)
    note = Path(account.pw_dir, "simplest.txt")
    note.write_text(f"made for {username}\n")
    os.chown(note, account.pw_uid, account.pw_gid)
