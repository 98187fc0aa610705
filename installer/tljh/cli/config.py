"""``tljh-config``, which is also ``tljh config``: shows and changes config.yaml, and applies it.

Only the command line is here; what the verbs do is in ``tljh.settings``, imported when a verb runs.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tljh.errors import TljhError
from tljh.paths import Paths

if TYPE_CHECKING:
    from tljh.settings.document import Document
    from tljh.settings.validation import Problem

CONFIG_FILE = Paths.from_environment().config_file
# values such as -1 are values, not options
VALUES = {"ignore_unknown_options": True}


class Failure(click.ClickException):
    """A TljhError as click ends a command with: its words on standard error, its exit status."""

    def __init__(self, error: TljhError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        click.echo(f"tljh-config: {self.message}", err=True)


class Group(click.Group):
    """A group whose commands may end with a TljhError."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TljhError as error:
            raise Failure(error) from error
        except OSError as error:
            from tljh.engine.outside import unwritable

            wanted = unwritable(error)
            if wanted is None:
                raise
            raise Failure(wanted) from error


class Key(click.ParamType):  # type: ignore[type-arg]
    """A key such as ``limits.memory``, completed from the schema."""

    name = "key"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from tljh.settings.schema import describe

        rows = (row for row in describe() if "<" not in row.key and row.key.startswith(incomplete))
        return [CompletionItem(row.key, help=row.sentence) for row in rows]


class Value(click.ParamType):  # type: ignore[type-arg]
    """A value, completed where its key has only a few."""

    name = "value"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from tljh.settings.schema import choices, field_at

        field = field_at(ctx.params.get("key") or "")
        return [CompletionItem(word) for word in (choices(field) if field else ()) if word.startswith(incomplete)]


def _validates(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--no-validate`` behind a verb too: TLJH has it before the verb."""

    @functools.wraps(command)
    def with_option(obj: dict[str, Any], check: bool | None, **arguments: Any) -> Any:
        validate = obj["validate"] if check is None else check
        return command(path=obj["path"], validate=validate, **arguments)

    flag = click.option("--validate/--no-validate", "check", default=None, help="Refuse what can't be right.")
    passed: Callable[..., Any] = with_option
    return flag(click.pass_obj(passed))


@click.group("config", cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config-path", type=click.Path(path_type=Path), default=None, help="Another file than config.yaml."
)
@click.option("--validate/--no-validate", default=True, help="Refuse what can't be right (the default).")
@click.pass_context
def group(ctx: click.Context, config_path: Path | None, validate: bool) -> None:
    """Show and change the settings of this hub.

    \b
    Give each user's server one gigabyte of memory:
        tljh-config set limits.memory 1G
    Make alice an administrator:
        tljh-config add-item users.admin alice
    Have changes take effect:
        tljh-config reload

    Changes are written to config.yaml at once and take effect with reload. docs/admin/config.md lists every key.
    """
    if config_path is None and os.geteuid() != 0 and not ctx.resilient_parsing:
        raise Failure(TljhError("root privileges are needed to read config.yaml", todo="Use sudo tljh-config …"))
    ctx.obj = {"path": config_path or CONFIG_FILE, "validate": validate}


@group.command()
@click.argument("key", type=Key(), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(obj: dict[str, Any], key: str | None, as_json: bool) -> None:
    """Print the settings, or one of them.

    \b
    All that config.yaml says:    tljh-config show
    One section of it:            tljh-config show users
    One setting:                  tljh-config show limits.memory
    For a program:                tljh-config show --json
    """
    from tljh.settings.document import Document

    document = Document.load(obj["path"])
    if key is None and not as_json:
        click.echo(document.dumps() or "{}\n", nl=False)
        return
    missing = object()
    value: Any = document.as_dict() if key is None else document.get(key, missing)
    if value is missing:
        value = _default(str(key), obj["path"])
    if as_json:
        import json

        click.echo(json.dumps(value, indent=2, default=str))
    elif isinstance(value, dict | list):
        from tljh.settings.edit import dump

        click.echo("".join(dump(value)), nl=False)
    else:
        click.echo({"None": "none", "True": "true", "False": "false"}.get(str(value), value))


@group.command("set", context_settings=VALUES)
@click.argument("key", type=Key())
@click.argument("value", type=Value())
@_validates
def set_(path: Path, validate: bool, key: str, value: str) -> None:
    """Give a setting a value.

    \b
    One gigabyte for each user:   tljh-config set limits.memory 1G
    No limit:                     tljh-config set limits.memory none
    The classic interface:        tljh-config set user_environment.default_app classic
    """
    from tljh.settings.change import value_for

    parsed = value_for(key, value)
    _change(path, validate, ("set", key, value), lambda document: document.set(key, parsed))


@group.command()
@click.argument("key", type=Key())
@_validates
def unset(path: Path, validate: bool, key: str) -> None:
    """Remove a setting, which gives it its default again.

    \b
    No limit of the processor:    tljh-config unset limits.cpu
    """
    _change(path, validate, ("unset", key), lambda document: document.unset(key))


@group.command("add-item", context_settings=VALUES)
@click.argument("key", type=Key())
@click.argument("value")
@_validates
def add_item(path: Path, validate: bool, key: str, value: str) -> None:
    """Add a value to a list.

    \b
    One more administrator:       tljh-config add-item users.admin alice
    """
    from tljh.settings.change import value_for

    parsed = value_for(key, value)
    _change(path, validate, ("add-item", key, value), lambda document: document.add_item(key, parsed))


@group.command("remove-item", context_settings=VALUES)
@click.argument("key", type=Key())
@click.argument("value")
@_validates
def remove_item(path: Path, validate: bool, key: str, value: str) -> None:
    """Remove a value from a list.

    \b
    One administrator less:       tljh-config remove-item users.admin alice
    """
    from tljh.settings.change import parse_value
    from tljh.settings.document import Document

    there = Document.load(path).get(key)
    # a list that was written by hand may hold the number or the text
    parsed = value if isinstance(there, list) and value in there else parse_value(value)
    _change(path, validate, ("remove-item", key, value), lambda document: document.remove_item(key, parsed))


@group.command()
@click.argument("component", type=click.Choice(["hub", "proxy"]), default="hub")
def reload(component: str) -> None:
    """Have the hub or the proxy use config.yaml as it is now; user servers go on.

    \b
    After most changes:           tljh-config reload
    After one of http or https:   tljh-config reload proxy
    """
    from tljh.config import reload_component

    reload_component(component)
    click.echo(f"{component.capitalize()} reload with new configuration complete")


def main(argv: list[str] | None = None) -> None:
    """The command ``tljh-config``."""
    group.main(args=argv, prog_name="tljh-config")


def _change(path: Path, validate: bool, words: tuple[str, ...], how: Callable[[Document], None]) -> None:
    """Change the file as ``words`` say (verb, key, values), and tell what to do next."""
    from tljh.settings.change import change, reload_command

    key = words[1]
    more = _of_plugins(path, key)
    for warning in change(path, how, validate=validate, more=more, command=_command(*words)):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"Written. It takes effect with `{reload_command(key)}`.", err=True)


def _command(verb: str, key: str, *values: str) -> str:
    """The command for the journal; a secret is not told."""
    import shlex

    from tljh.settings.hidden import is_secret, without_credentials

    words = ["***"] * len(values) if is_secret(key.split(".")) else [without_credentials(word) for word in values]
    return shlex.join(["tljh-config", verb, key, *words])


def _of_plugins(path: Path, key: str) -> Callable[[Mapping[str, Any]], list[Problem]] | None:
    """What checks settings of plugins, where ``key`` is one: the schemas that this machine's plugins have."""
    if key.partition(".")[0] != "plugins" or path != Path(CONFIG_FILE):
        return None
    from tljh.plugins.recorded_settings import problems

    return functools.partial(problems, store=Paths.from_environment().store)


def _default(key: str, path: Path) -> Any:
    """The default of a setting that the file doesn't say, with a word about that."""
    from tljh.settings.schema import defaults

    value: Any = defaults()
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            raise TljhError(f"{key} is not set", whose=path.name, todo="`tljh-config show` tells what is.")
        value = value[name]
    click.echo(f"{key} is not set in {path.name}; its default is:", err=True)
    return value


if __name__ == "__main__":
    main(sys.argv[1:])
