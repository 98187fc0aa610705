"""The verbs of ``tljh plugin`` that change the machine.

How they are shown, asked and done is in ``plugin_change.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata

import click

from tljh.cli.plugin_change import HELP, How, Verb, nothing, reading, shared, was_begun
from tljh.errors import TljhError
from tljh.plugins.known import DISABLED, Known, chosen, complete_name, in_words, together_with
from tljh.stages.context import Options

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@click.command(context_settings=HELP, short_help="Install plugins, or other versions of them.")
@click.argument("specs", nargs=-1, metavar="[SPEC]...")
@click.option(
    "-e",
    "--editable",
    "folders",
    multiple=True,
    metavar="FOLDER",
    help="A project whose code is imported from where it is: an edit counts when the hub is restarted.",
)
@shared
def add(specs: Sequence[str], folders: Sequence[str], how: How) -> None:
    """Install plugins, or other versions of them.

    SPEC is what pip takes: a package of the index, a path, or a URL. What would change is shown first, with who
    asks for it and whether it can be taken back; then you are asked.

    \b
    tljh plugin add tljh-shared-data
    tljh plugin add tljh-shared-data==1.2    this version, and no other by itself
    tljh plugin add ./tljh-my-own            a folder; again after each change of it
    tljh plugin add -e ./tljh-my-own         the folder itself, while you write it
    tljh plugin add git+https://git.example.org/tljh-x@main
    """
    if not specs and not folders:
        raise click.UsageError("name a plugin: a package of the index, a path or a URL")
    options = Options(plugins=_absolute_all([*specs, *(f"-e {folder}" for folder in folders)]))
    Verb("add", options.plugins, options, how, done="Added").run()


@click.command(context_settings=HELP, short_help="Bring plugins to their newest versions.")
@click.argument("names", nargs=-1, metavar="[NAME|SPEC]...", shell_complete=complete_name)
@shared
def upgrade(names: Sequence[str], how: How) -> None:
    """Bring plugins to their newest versions: those that are named, or all.

    A plugin that was asked for in one version (NAME==1.0) keeps it until another is named. One that came from a
    folder is built again; one from a repository is fetched again.

    \b
    tljh plugin upgrade                        all
    tljh plugin upgrade shared-data            this one
    tljh plugin upgrade tljh-shared-data==2.0  to this version, or back to it
    """
    with reading() as (_, plugins):
        packages, specs = _to_upgrade(plugins, _absolute_all(names))
    options = Options(upgrade_plugins=tuple(packages), plugins=tuple(specs))
    Verb("upgrade", _absolute_all(names), options, how, done="Upgraded").run()


@click.command(context_settings=HELP, short_help="Switch plugins on again.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_name)
@shared
def enable(names: Sequence[str], how: How) -> None:
    """Switch plugins on again that were switched off. What they bring comes back; their hooks run anew."""
    with reading() as (_, plugins):
        some = chosen(plugins, names)
    options = Options(enable_plugins=tuple(plugin.name for plugin in some if plugin.state == DISABLED))
    if not options.enable_plugins:
        nothing(how, f"{_listed(some)}: not switched off.")
        return
    Verb("enable", names, options, how, done="Enabled").run()


@click.command(context_settings=HELP, short_help="Switch plugins off, and keep them installed.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_name)
@shared
def disable(names: Sequence[str], how: How) -> None:
    """Switch plugins off, and keep them installed.

    All that only they brought is taken away, as when they are removed; their package and their settings stay.
    A plugin that can't be loaded any more can be switched off.
    """
    with reading() as (store, plugins):
        some = chosen(plugins, names)
        goes_on = was_begun(store, "disable", names)
    options = Options(disable_plugins=tuple(plugin.name for plugin in some if plugin.state != DISABLED))
    if not options.disable_plugins and not goes_on:
        nothing(how, f"{_listed(some)}: switched off already.")
        return
    Verb("disable", names, options, how, done="Disabled").run()


@click.command(context_settings=HELP, short_help="Take plugins out, with all that only they brought.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_name)
@shared
def remove(names: Sequence[str], how: How) -> None:
    """Take plugins out, with all that only they brought.

    Their packages of every kind that nobody else wants and that were not there before, the keys of config.yaml
    that they set and nobody changed since, their files, accounts, services and environments. Their settings
    below plugins.NAME stay. What can't be undone, because it was the plugin's own code, is listed.

    A plugin that can't be loaded any more can be removed.
    """
    with reading() as (store, plugins):
        try:
            named = chosen(plugins, names)
        except TljhError:
            if not was_begun(store, "remove", names):
                raise
            named = []  # gone already: what a killed run has left to do is done
        some = together_with(plugins, named)
    _refuse_files(some)
    packages = tuple(dict.fromkeys(plugin.package for plugin in some))
    _refuse_what_others_require(plugins, packages)
    notes = []
    for package in packages:
        brought = [plugin.name for plugin in some if plugin.package == package]
        if len(brought) > 1:
            notes.append(f"{package} brings {in_words(brought)}; all of them go")
    Verb("remove", names, Options(remove_plugins=packages), how, done="Removed", notes=tuple(notes)).run()


def _refuse_files(plugins: Sequence[Known]) -> None:
    for plugin in plugins:
        if plugin.kind == "file":
            raise TljhError(
                f"plugin {plugin.name} is a file of yours, {plugin.report.origin_path}",
                todo="move it elsewhere and run 'tljh install', which takes away what it brought; or switch it "
                f"off: tljh plugin disable {plugin.name}",
            )
        if plugin.kind == "import":
            raise TljhError(
                f"plugin {plugin.name} was imported for one run ({plugin.report.origin_path})",
                todo="run 'tljh install' without --import-plugin, which takes away what it brought",
            )


def _refuse_what_others_require(plugins: Sequence[Known], packages: Sequence[str]) -> None:
    """A package that another plugin requires would be installed again, and its plugin with it.

    Raises:
        TljhError: one of ``packages`` is required by a plugin that stays.
    """
    for other in plugins:
        if other.kind != "package" or other.package in packages:
            continue
        needed = [package for package in packages if package in _required(other.package)]
        if needed:
            raise TljhError(
                f"plugin {other.name} requires {in_words(needed)}, so that can't be removed without it",
                todo=f"remove both (tljh plugin remove {' '.join([*needed, other.package])}), or switch it off: "
                f"tljh plugin disable {' '.join(needed)}",
            )


def _required(package: str) -> set[str]:
    """The packages that an installed one always requires, by what stands in its metadata; it is not imported."""
    from tljh.engine.parsers import canonical_name

    try:
        lines = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return set()
    named = (_NAME.match(line) for line in lines if "extra ==" not in line)
    return {canonical_name(found[0]) for found in named if found}


def _to_upgrade(plugins: Sequence[Known], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The packages to look for anew, and the specs that take the place of earlier ones.

    Raises:
        TljhError: a name is no plugin's, or one was asked for in just one version.
    """
    from tljh.resources.locks.lock import Requested

    from_index = [plugin for plugin in plugins if plugin.kind == "package" and plugin.spec]
    specs = [word for word in names if not _NAME.fullmatch(word)]
    for spec in specs:
        chosen(plugins, [Requested(spec, "").name or spec])
    named = [word for word in names if word not in specs]
    some = chosen(plugins, named) if named else [] if specs else from_index
    held = [plugin for plugin in some if "==" in plugin.spec]
    if named and held:
        package = held[0].package
        raise TljhError(
            f"{held[0].name} was asked for as {held[0].spec}, so it stays in that version",
            todo=f"name another one (tljh plugin upgrade {package}==VERSION), or let it move: "
            f"tljh plugin add {package}",
        )
    return list(dict.fromkeys(plugin.package for plugin in some if plugin not in held)), specs


def _listed(plugins: Sequence[Known]) -> str:
    return ", ".join(plugin.name for plugin in plugins)


def _absolute_all(specs: Sequence[str]) -> tuple[str, ...]:
    from tljh.cli.flags import absolute

    return tuple(absolute(spec) for spec in specs)
