"""``tljh env``: which environments there are, what they hold, and whether their files are as they came."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.asking import agreed, is_terminal
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter, log_to

if TYPE_CHECKING:
    from tljh.resources.environments.integrity import Fault, Report
    from tljh.resources.environments.inventory import Built, Package

TOGETHER = 8  # lines of one package that are shown without -v
SHORT = 24  # signs of where a package came from
WORDS = {"missing": "missing", "changed": "changed", "mode": "wrong mode", "record": "unreadable record"}


class Group(click.Group):
    """A group that says so where something can't be read."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PermissionError as error:
            raise _needs_root(f"{error.filename} can't be read") from error


@click.group("env", cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Look at the environments, and mend them.

    \b
    tljh env list                     which there are, and how large
    tljh env packages                 what people's notebooks run in, and who asked for it
    tljh env verify                   is every file as it was installed?
    tljh env verify user --repair     mend those that aren't
    """


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_(as_json: bool) -> None:
    """Show every environment, and the earlier ones that are kept."""
    from tljh.resources.environments import inventory

    paths, facts = Paths.from_environment(), Facts(Machine())
    _links(paths, facts)
    found = inventory.environments(paths, facts)
    if as_json:
        rows = [
            {
                "name": row.name,
                "link": str(row.link),
                "current": _as_dict(row.current) if row.current else None,
                "older": [_as_dict(built) for built in row.older],
            }
            for row in found
        ]
        click.echo(json.dumps({"environments": rows}, indent=1))
        return
    for row in found:
        click.secho(row.name, bold=True)
        click.echo(f"  {row.link} → {_in_words(row.current) if row.current else 'nothing: tljh install mends it'}")
        for built in row.older:
            click.echo(f"  earlier: {_in_words(built)}")


def _as_dict(built: Built) -> dict[str, Any]:
    return {**vars(built), "path": str(built.path), "users": list(built.users)}


def _in_words(built: Built) -> str:
    kinds = {"conda": "conda", "pypi": "PyPI"}
    parts = [kinds[built.provider]] if built.complete else ["not complete"]
    parts += [f"Python {built.python}"] if built.python else []
    parts += [_count(built.packages, "package"), f"{built.size / 1e6:,.0f} MB"]
    if built.processes:
        parts.append(f"{_count(built.processes, 'process', 'processes')} of {', '.join(built.users)} use it")
    return f"{built.path}  {', '.join(parts)}"


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


@group.command()
@click.argument("name", default="user")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def packages(name: str, as_json: bool) -> None:
    """Show what the environment NAME (user) holds, from where, and who asked for it."""
    from tljh.resources.environments import inventory

    paths, facts = Paths.from_environment(), Facts(Machine())
    links = _links(paths, facts, name)
    hub = facts.environment(paths.hub)
    found = inventory.packages(facts, _there(facts, name, links[name]), hub.packages if hub else ())
    if as_json:
        rows = [{**vars(row), "origins": list(row.origins), "required_by": list(row.required_by)} for row in found]
        path = str(facts.real_path(links[name]))
        click.echo(json.dumps({"name": name, "path": path, "packages": rows}, indent=1))
        return
    table = [("PACKAGE", "VERSION", "BY", "FROM", "WHY")]
    table += [(row.name, _version(row), row.manager, _short(row.source), _why(row)) for row in found]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for line in table:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]))


def _version(row: Package) -> str:
    return f"{row.version}={row.build}" if row.build else row.version


def _short(source: str) -> str:
    """A channel by the end of its URL, as conda's users call it."""
    end = source.rstrip("/").rpartition("/")[2] or source
    return end if len(end) <= SHORT else f"{end[: SHORT - 1]}…"


def _why(row: Package, most: int = 3) -> str:
    if row.replaced:
        return "pip has put another one in its place"
    if row.origins:
        return ", ".join(row.origins)
    if not row.required_by:
        return "dependency"
    more = len(row.required_by) - most
    return f"needed by {', '.join(row.required_by[:most])}" + (f" and {more} more" if more > 0 else "")


@group.command()
@click.argument("name", required=False)
@click.option("--repair", is_flag=True, help="Mend just the packages that have faults.")
@click.option("--yes", is_flag=True, help="Don't ask before mending.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Show every fault, and files that no package brought.")
def verify(name: str | None, repair: bool, yes: bool, as_json: bool, verbose: bool) -> None:
    """Compare the files of environment NAME, or of all, with what its packages brought.

    Exit status: 0 all is well, 2 faults were found (or are left), 1 an error.
    """
    from tljh.stages.preflight import check_root

    check_root()
    paths = Paths.from_environment()
    reporter = Reporter(verbose=verbose, quiet=as_json)
    roots = _roots(paths, name)
    if repair:
        reports, left = _repaired(roots, paths, reporter, yes=yes)
    else:
        reports = _looked_at(roots, Machine(), reporter)
        left = {key: report.faults for key, report in reports.items()}
        if any(left.values()) and not as_json:
            click.echo(f"'tljh env verify{f' {name}' if name else ''} --repair' mends what can be mended.")
    if as_json:
        rows = [_report(key, roots[key], report, left[key], repair) for key, report in reports.items()]
        click.echo(json.dumps({"environments": rows}, indent=1))
    sys.exit(2 if any(left.values()) else 0)


def _report(name: str, root: Path, report: Report, left: Sequence[Fault], repaired: bool) -> dict[str, Any]:
    found = {
        "name": name,
        "path": str(root),
        "files": report.files,
        "packages": report.packages,
        "faults": [vars(fault) for fault in report.faults],
        "replaced": list(report.replaced),
        "unknown": list(report.unknown),
    }
    return {**found, "left": [vars(fault) for fault in left]} if repaired else found


# ---- which


def _links(paths: Paths, facts: Facts, name: str | None = None) -> Mapping[str, Path]:
    """Name → link of all environments, or of the one that is named.

    Raises:
        TljhError: there is none of this name, or none at all.
    """
    import difflib

    from tljh.resources.environments.inventory import links

    if paths.prefix.exists() and not os.access(paths.prefix, os.R_OK | os.X_OK):
        raise _needs_root(f"{paths.prefix} can't be read")
    found = links(paths, facts)
    if not found:
        raise TljhError(
            f"no environment is installed below {paths.prefix}",
            todo="run the bootstrap script, which installs them",
        )
    if name is None:
        return found
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        raise TljhError(
            f"there is no environment {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            todo=f"choose one of: {', '.join(found)}",
        )
    return {name: found[name]}


def _roots(paths: Paths, name: str | None) -> dict[str, Path]:
    """Name → real path of all environments, or of the one that is named."""
    facts = Facts(Machine())
    return {key: _there(facts, key, link) for key, link in _links(paths, facts, name).items()}


def _there(facts: Facts, name: str, link: Path) -> Path:
    root = facts.real_path(link)
    if not root.is_dir():
        raise TljhError(f"environment {name}: {root} is gone", todo="'tljh install' builds it again")
    return root


def _needs_root(what: str) -> TljhError:
    return TljhError(f"{what}: this needs root", todo="run it as root, or with sudo where there is one")


# ---- verify


def _looked_at(roots: Mapping[str, Path], machine: Machine, reporter: Reporter) -> dict[str, Report]:
    reports = {name: _look(name, root, machine, reporter) for name, root in roots.items()}
    if not reporter.quiet:
        for report in reports.values():
            _print(report, verbose=reporter.verbose)
    return reports


def _look(name: str, root: Path, machine: Machine, reporter: Reporter) -> Report:
    from dataclasses import replace

    from tljh.resources.environments.integrity import examine, unloadable

    with reporter.stage(f"verify {name}"):
        with ThreadPoolExecutor(1) as beside:
            byte_code = beside.submit(unloadable, machine, root)
            report = examine(root, lambda done, total: reporter.progress("files", done, total))
            report = replace(report, faults=(*report.faults, *byte_code.result()))
        reporter.note(f"{_count(report.files, 'file')} of {_count(report.packages, 'package')}")
        reporter.note(_count(len(report.faults), "fault") if report.faults else "as they were installed")
    return report


def _print(report: Report, *, verbose: bool) -> None:
    _print_faults(report.faults, verbose=verbose)
    for package in report.replaced:
        click.echo(f"  {package}: pip has put another one in its place; that one was looked at")
    if report.unknown:
        click.echo(
            f"  {_count(len(report.unknown), 'file')} no package brought"
            + (":" if verbose else " (-v lists them)")
        )
        for path in report.unknown if verbose else ():
            click.echo(f"    {path}")


def _print_faults(faults: Iterable[Fault], *, verbose: bool) -> None:
    from tljh.resources.environments.repair import by_package, can_be_mended

    for package, some in by_package(faults).items():
        click.secho(f"  {package}", bold=True)
        shown = some if verbose else some[:TOGETHER]
        for fault in shown:
            hint = "" if can_be_mended(fault) else "  (tljh install builds it anew)"
            click.echo(f"    {click.style(WORDS[fault.what], fg='red')}  {fault.path or 'all of it'}{hint}")
        if len(some) > len(shown):
            click.echo(f"    … and {len(some) - len(shown)} more (-v shows them)")


# ---- repair


def _repaired(
    roots: Mapping[str, Path], paths: Paths, reporter: Reporter, *, yes: bool
) -> tuple[dict[str, Report], dict[str, Sequence[Fault]]]:
    """Look and mend under the install lock: what an install that was killed left behind is still at work without.

    Returns:
        What was found, and what is still wrong.
    """
    from tljh.stages import run
    from tljh.stages.context import Options
    from tljh.stages.health.mending import repair_all

    def still_wrong(name: str, faults: Sequence[Fault]) -> None:
        if not reporter.quiet:
            click.echo(f"still wrong in {name}:")
            _print_faults(faults, verbose=reporter.verbose)

    log_to(paths.log)
    for kind in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, _interrupt)
    try:
        with run.opened(Options(), paths, reporter, planning=False) as context:
            reports = _looked_at(roots, context.machine, reporter)
            left = {name: report.faults for name, report in reports.items()}
            if _agreed(reports, yes=yes, quiet=reporter.quiet):
                damaged = {name: faults for name, faults in left.items() if faults}
                left |= repair_all(context, roots, damaged, still_wrong)
    except KeyboardInterrupt as error:
        reporter.warn("interrupted; what is mended stays mended, and the same command goes on from here")
        sys.exit(int(error.args[0]) if error.args else 130)
    except OSError as error:
        raise TljhError(
            f"{error.filename or 'the disk'} cannot be written: {error.strerror}",
            todo="make room, or make it writable, then run the same command again",
        ) from error
    return reports, left


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(128 + number)


def _agreed(reports: Mapping[str, Report], *, yes: bool, quiet: bool) -> bool:
    """Whether there is something to mend, and the admin wants it.

    Raises:
        UsageError: there is nobody to ask.
    """
    from tljh.resources.environments.repair import by_package, can_be_mended

    found = {name: by_package(filter(can_be_mended, report.faults)) for name, report in reports.items()}
    names = [f"{package} of {name}" for name, some in found.items() for package in some]
    if yes or not names:
        return bool(names)
    if quiet or not is_terminal():
        raise UsageError("--repair asks first, and there is nobody to ask", todo="add --yes")
    more = f" and {len(names) - TOGETHER} more" if len(names) > TOGETHER else ""
    return agreed(f"Mend {', '.join(names[:TOGETHER])}{more}?")
