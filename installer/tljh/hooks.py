"""The public contract with plugins: every hook that a plugin may implement, and the mark that makes it one.

A plugin is a Python package with an entry point in the group ``tljh``; its value is a module, a class or an
object whose functions are marked with ``hookimpl``. Only the specifications are here; who calls them, when and
how a failing one is contained is told in ``tljh.plugins``. The names, arguments and the pluggy project name are
TLJH's. ``docs/plugins/hooks.md`` is the reference for authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import pluggy

PROJECT = "tljh"
"""The name of the pluggy project, and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def tljh_extra_user_conda_packages() -> Iterable[str] | None:
    """Conda packages for the user environment.

    Runs before anything is changed. An error where the user environment comes from PyPI.

    Example::

        @hookimpl
        def tljh_extra_user_conda_packages():
            return ["r-base >=4.3", "octave_kernel"]
    """


@hookspec
def tljh_extra_user_conda_channels() -> Iterable[str] | None:
    """Conda channels to take packages from; ``conda-forge`` when no plugin names one.

    Runs before anything is changed.

    Example::

        @hookimpl
        def tljh_extra_user_conda_channels():
            return ["conda-forge", "bioconda"]
    """


@hookspec
def tljh_extra_user_pip_packages() -> Iterable[str] | None:
    """Python packages for the user environment, as lines of a requirements file.

    Runs before anything is changed. pip's options are allowed, and order matters.

    Example::

        @hookimpl
        def tljh_extra_user_pip_packages():
            return ["pandas>=2", "--extra-index-url=https://packages.example.org/simple", "our-package"]
    """


@hookspec
def tljh_extra_hub_pip_packages() -> Iterable[str] | None:
    """Python packages for the hub's environment. They are there before the hub starts.

    Runs before anything is changed. They are solved together with the hub's own packages.

    Example::

        @hookimpl
        def tljh_extra_hub_pip_packages():
            return ["jupyterhub-ltiauthenticator>=1.6"]
    """


@hookspec
def tljh_extra_apt_packages() -> Iterable[str] | None:
    """Packages of the system, installed before the environments are built.

    Runs before anything is changed.

    Example::

        @hookimpl
        def tljh_extra_apt_packages():
            return ["graphviz", "texlive-latex-base"]
    """


@hookspec
def tljh_environments() -> Mapping[str, Mapping[str, Any]] | None:
    """More environments, each with a kernel for all users: names, each with the keys that it has in config.yaml.

    Runs before anything is changed. An environment of the same name in config.yaml wins.

    Example::

        @hookimpl
        def tljh_environments():
            return {"teaching": {"title": "Teaching", "packages": {"pip": ["pandas>=2", "nbgrader"]}}}
    """


@hookspec
def tljh_custom_jupyterhub_config(c: Any) -> None:
    """Change the hub's configuration: whatever a ``jupyterhub_config.py`` can do with ``c``.

    Runs inside the hub each time it starts: after config.yaml, before ``jupyterhub_config.d``.

    Example::

        @hookimpl
        def tljh_custom_jupyterhub_config(c):
            c.JupyterHub.template_vars.update({"announcement": "Maintenance on Friday"})
    """


@hookspec
def tljh_config_post_install(config: MutableMapping[str, Any]) -> None:
    """Set keys of config.yaml. What the admin set stays as it is.

    Runs in each install, despite its name before anything is set up, so that its keys hold when the hub starts.
    ``config`` is a copy; the keys that the hook changed are merged into the file.

    Example::

        @hookimpl
        def tljh_config_post_install(config):
            config.setdefault("limits", {})["memory"] = "2G"
    """


@hookspec
def tljh_post_install() -> None:
    """Do anything at all, as root, at the end of an install. Must be fit to run again.

    Runs when the hub serves already. A failure is reported and leaves the hub serving.

    Example::

        @hookimpl
        def tljh_post_install():
            pathlib.Path("/srv/data").mkdir(exist_ok=True)
    """


@hookspec
def tljh_new_user_create(username: str) -> None:
    """Do something for a new user, as root, inside the hub.

    Runs when the account and its home have just been made. ``username`` is the system's name (``jupyter-ana``).

    Example::

        @hookimpl
        def tljh_new_user_create(username):
            home = pathlib.Path(pwd.getpwnam(username).pw_dir)
            (home / "data").symlink_to("/srv/data")
    """
