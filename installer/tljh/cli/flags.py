"""The flags that install and plan share, and TLJH's way to write them: ``--admin a b --plugin x y``.

A flag's several values are spread before click reads them; passwords are taken out of the process list.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from tljh.errors import UsageError
from tljh.stages.context import Options

SECRETS_VARIABLE = "TLJH_SECRETS_FD"
SEVERAL = ("--admin", "--plugin", "--channel")
F = TypeVar("F", bound=Callable[..., Any])


class TljhCommand(click.Command):
    """A command whose ``--admin`` and ``--plugin`` take several values, as TLJH's do."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        context.meta["tljh.argv"] = tuple(arguments)
        return super().parse_args(context, spread(arguments))


def spread(arguments: Sequence[str]) -> list[str]:
    """``--admin a b`` as ``--admin a --admin b``.

    Examples:
        >>> spread(["--admin", "a", "b", "-v"])
        ['--admin', 'a', '--admin', 'b', '-v']
    """
    found: list[str] = []
    flag = ""
    fresh = False
    for word in arguments:
        if word.startswith("-"):
            flag = word if word in SEVERAL else ""
            fresh = bool(flag)
            found.append(word)
        elif flag and not fresh:
            found += [flag, word]
        else:
            found.append(word)
            fresh = False
    return found


def wishes(function: F) -> F:
    """Adds the flags that say what is wanted."""
    flags = (
        click.option(
            "--admin",
            "admins",
            multiple=True,
            metavar="NAME[:PASSWORD]",
            help="Make NAME an admin; several may follow. Without a password one is made up and printed once.",
        ),
        click.option(
            "--admin-password-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Read NAME:PASSWORD lines, or the one password of the one --admin, from FILE.",
        ),
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            metavar="SPEC",
            help="Install a plugin: a package of the index, a path or a URL; several may follow.",
        ),
        click.option(
            "--user-requirements-txt-url",
            "requirements",
            metavar="URL",
            help="Install the packages of this requirements file (https URL or path) for all users.",
        ),
        click.option(
            "--channel",
            "channels",
            multiple=True,
            metavar="CHANNEL",
            help="Take conda packages from this channel: a name, a URL or a path; several may follow.",
        ),
        click.option(
            "--drop",
            multiple=True,
            metavar="PACKAGE",
            help="Don't carry over this package, which was installed by hand.",
        ),
        click.option(
            "--lock",
            metavar="FILE",
            help="Install exactly what this lock (path, folder or https URL) says, now and on later runs.",
        ),
        click.option(
            "--import-plugin",
            "import_plugins",
            multiple=True,
            metavar="FILE|MODULE",
            help="A Python file or module that is a plugin in this run only.",
        ),
        click.option(
            "--without",
            multiple=True,
            metavar="PLUGIN",
            help="Don't load this plugin in this run; what it brought stays as it is.",
        ),
        click.option(
            "--exclude-stage",
            "exclude_stages",
            multiple=True,
            metavar="PATTERN",
            help="Leave alone the stages that are called so; * and ? stand for anything.",
        ),
        click.option(
            "--exclude-default-stages", is_flag=True, help="Leave alone all stages that come from no plugin."
        ),
        click.option(
            "--run-hooks", is_flag=True, help="Run plugins' imperative hooks and stages, changed or not."
        ),
        click.option("-v", "--verbose", is_flag=True, help="Show details, not only the stages."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def options_from(
    admins: Sequence[str],
    admin_password_file: Path | None,
    plugins: Sequence[str],
    requirements: str | None,
    progress_page: int | None = None,
    *,
    channels: Sequence[str] = (),
    drop: Sequence[str] = (),
    lock: str | None = None,
    upgrade: tuple[str, ...] | None = None,
    import_plugins: Sequence[str] = (),
    without: Sequence[str] = (),
    exclude_stages: Sequence[str] = (),
    exclude_default_stages: bool = False,
    run_hooks: bool = False,
    no_rollback: bool = False,
    own_backup: bool = False,
) -> Options:
    """What the flags ask for.

    Raises:
        UsageError: the password file is unreadable or does not fit the admins.
    """
    names = [entry.partition(":")[0] for entry in admins]
    passwords = {**_handed_over(), **{n: p for n, colon, p in (e.partition(":") for e in admins) if colon}}
    if admin_password_file:
        passwords.update(_from_file(admin_password_file, names))
    every = tuple(dict.fromkeys([*names, *passwords]))
    _check_admins(every, passwords)
    context = click.get_current_context(silent=True)
    argv = context.meta.get("tljh.argv", ()) if context else ()
    if any(":" in entry for entry in admins):
        argv = _without_passwords(argv, admins, passwords)
    return Options(
        admins=every,
        passwords=passwords,
        plugins=tuple(absolute(spec) for spec in plugins),
        requirements=_place(requirements) if requirements else None,
        channels=tuple(_channel(name) for name in channels),
        drop=tuple(drop),
        lock=_place(lock) if lock else None,
        upgrade=upgrade,
        import_plugins=tuple(_file_or_module(spec) for spec in import_plugins),
        without=tuple(without),
        exclude_stages=tuple(exclude_stages),
        exclude_default_stages=exclude_default_stages,
        run_hooks=run_hooks,
        no_rollback=no_rollback,
        own_backup=own_backup,
        progress_page=progress_page,
        argv=tuple(argv),
    )


def _check_admins(names: Sequence[str], passwords: Mapping[str, str]) -> None:
    for name in names:
        if not name or any(sign.isspace() or sign in "/:," for sign in name):
            raise UsageError(
                f"--admin {name!r} is not a user's name", todo="write --admin NAME or --admin NAME:PASSWORD"
            )
    from tljh.hub.passwords import password_fault

    for name, password in passwords.items():
        fault = password_fault(password)
        if fault:
            raise UsageError(fault, whose=f"--admin {name}", todo="choose another password")


def _handed_over() -> dict[str, str]:
    """Passwords that bootstrap, or this program before it started itself again, put into an unnamed file."""
    descriptor = os.environ.get(SECRETS_VARIABLE)
    if not descriptor:
        return {}
    try:
        os.lseek(int(descriptor), 0, os.SEEK_SET)
        text = os.read(int(descriptor), 1 << 20)
        admins = json.loads(text)["admins"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"the passwords handed over in {SECRETS_VARIABLE} cannot be read: {error}") from error
    return dict(admins)


def _without_passwords(argv: Sequence[str], admins: Sequence[str], passwords: Mapping[str, str]) -> list[str]:
    """The same arguments with the passwords moved to an unnamed file that a new start of this program inherits."""
    descriptor = os.memfd_create("tljh-secrets", 0)
    os.write(descriptor, json.dumps({"admins": dict(passwords)}).encode())
    os.set_inheritable(descriptor, True)
    os.environ[SECRETS_VARIABLE] = str(descriptor)
    telling = {entry for entry in admins if ":" in entry}
    return [word.partition(":")[0] if word.removeprefix("--admin=") in telling else word for word in argv]


def _from_file(path: Path, names: Sequence[str]) -> dict[str, str]:
    try:
        lines = [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(
            f"{path} cannot be read: {reason}", whose="--admin-password-file", todo="name a file that can be read"
        ) from error
    if len(names) == 1 and len(lines) == 1 and not lines[0].startswith(f"{names[0]}:"):
        return {names[0]: lines[0]}
    pairs = dict(line.partition(":")[::2] for line in lines)
    if not lines or any(":" not in line for line in lines):
        raise UsageError(
            f"{path} holds a line without a colon",
            whose="--admin-password-file",
            todo="write NAME:PASSWORD lines, or one password for the one --admin",
        )
    return pairs


EDITABLE = re.compile(r"(?:-e|--editable)[\s=]+(.+)")
"""A folder that is to be installed as it is, as pip is told so."""


def absolute(spec: str) -> str:
    """A path as an absolute one: the installer may run elsewhere later. Anything else as it is."""
    editable = EDITABLE.fullmatch(spec)
    if editable:
        return f"-e {Path(editable[1]).expanduser().absolute().resolve()}"
    looks_like_path = spec.startswith((".", "/", "~")) or ("/" in spec and ":" not in spec and "@" not in spec)
    return str(Path(spec).expanduser().absolute().resolve()) if looks_like_path else spec


def _file_or_module(spec: str) -> str:
    """A file as an absolute path; the name of a module as it is.

    Raises:
        UsageError: there is no such file, or the text can be neither.
    """
    todo = "name a Python file, or a module (package.module)"
    is_file = spec.endswith(".py") or "/" in spec
    if ":" in spec or not spec.strip():  # processes are told of several between colons
        raise UsageError(f"{spec!r} is neither a file nor a module", whose="--import-plugin", todo=todo)
    path = Path(spec).expanduser().absolute()
    if is_file and not path.is_file():
        raise UsageError(f"there is no file {path}", whose="--import-plugin", todo=todo)
    return str(path) if is_file else spec


def _channel(channel: str) -> str:
    """A name or URL as it is, a path as an absolute one."""
    return str(Path(channel).expanduser().absolute()) if channel.startswith((".", "/", "~")) else channel


def _place(requirements: str) -> str:
    """A URL as it is, anything else as an absolute path."""
    return requirements if "://" in requirements else str(Path(requirements).expanduser().absolute())


def restart_without_passwords(options: Options) -> None:
    """When a password stands in our arguments, start this program again without it, so that ``ps`` shows none."""
    if any(word not in options.argv for word in sys.argv[1:] if ":" in word):
        os.execv(sys.executable, [sys.executable, "-I", "-m", "tljh.installer", *options.argv])
