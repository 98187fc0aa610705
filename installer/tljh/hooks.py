"""The public contract with plugins: every hook that a plugin may implement, and the mark that makes it one.

A plugin is a Python package with an entry point in the group ``tljh``; its value is a module, a class or an
object whose functions are marked with ``hookimpl``. Only the specifications are here; who calls them, when and
how a failing one is contained is told in ``tljh.plugins``. The names, arguments and the pluggy project name are
TLJH's. ``docs/plugins/hooks.md`` is the reference for authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from tljh.declare import Declared, HealthCheck
    from tljh.plugins.stage import Stage

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


@hookspec
def tljh_user_deleted(username: str) -> None:
    """Do something when a user was deleted from the hub, as root, inside the hub.

    Runs after the hub's user is gone; the account and the home are still there. ``username`` is the system's name.

    Example::

        @hookimpl
        def tljh_user_deleted(username):
            shutil.rmtree(f"/srv/scratch/{username}", ignore_errors=True)
    """


@hookspec
def tljh_pre_spawn(spawner: Any) -> None:
    """Do something before a server starts, as root, inside the hub: set its environment, prepare a folder.

    Runs before each start, in a thread, when the account exists; the start waits for it, but not for long.

    Example::

        @hookimpl
        def tljh_pre_spawn(spawner):
            spawner.environment["COURSE"] = "statistics"
    """


@hookspec
def tljh_stages() -> Iterable[type[Stage]] | None:
    """Parts of an install that come before, after or between the core's own, or in the place of one.

    Runs before anything is changed; also while planning. The stages' own methods run when their turn comes.

    Example::

        @hookimpl
        def tljh_stages():
            return [Database]
    """


@hookspec
def tljh_subcommands(cli: click.Group) -> None:
    """Add commands to the ``tljh`` command.

    Runs in each install, to note the names, and whenever one of the commands is called.

    Example::

        @hookimpl
        def tljh_subcommands(cli):
            @cli.command()
            def greet():
                '''Say hello.'''
                click.echo("hello")
    """


@hookspec
def tljh_hookspecs() -> object | Iterable[object]:
    """Hook specifications of this plugin's own, which other plugins implement: modules, classes or objects.

    Runs each time plugins are loaded, before anybody's functions are looked at.

    Example::

        @hookimpl
        def tljh_hookspecs():
            return OurSpecs
    """


@hookspec
def tljh_resources(config: Mapping[str, Any]) -> Iterable[Declared] | None:
    """What there is to be on the machine: files, accounts, units, services of the hub … (``tljh.declare``).

    Runs before anything is changed; also while planning. ``config`` is config.yaml with all defaults.

    Example::

        @hookimpl
        def tljh_resources(config):
            return [tljh.declare.File(path="/etc/motd.d/hub", content="Welcome\\n")]
    """


@hookspec
def tljh_health_checks() -> Iterable[HealthCheck] | None:
    """What ``tljh doctor`` looks at, and how it can mend it.

    Runs in each install, to note the names, and when ``tljh doctor`` is called.

    Example::

        @hookimpl
        def tljh_health_checks():
            there = pathlib.Path("/srv/data").is_dir
            return [tljh.declare.HealthCheck(name="data", sentence="The shared data is there", check=there)]
    """


@hookspec
def tljh_post_remove() -> None:
    """Clean up what only this plugin knows of, as root.

    Runs when the plugin is being removed, before its package goes. A failure is told, and the removal goes on.

    Example::

        @hookimpl
        def tljh_post_remove():
            shutil.rmtree("/var/cache/our-plugin", ignore_errors=True)
    """
