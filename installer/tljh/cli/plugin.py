"""``tljh plugin``: which plugins there are and what each brings; adding them and taking them out again.

``list`` and ``info`` tell what the last install recorded and load nothing, so that they work while a plugin is
broken. What changes the machine is in ``plugin_verbs.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tljh.cli import plugin_verbs
from tljh.cli.plugin_change import reading
from tljh.cli.plugin_check import check
from tljh.cli.plugin_new import new
from tljh.plugins.known import complete_name

if TYPE_CHECKING:
    from tljh.engine.store import Store
    from tljh.plugins.known import Known

COLOURS = {"active": "green", "disabled": "yellow", "failed": "red"}
SHORT = 3  # hooks of one plugin that list shows
LISTED = 12  # things of one kind that info shows without -v


class InOrder(click.Group):
    """Shows its commands in the order in which one comes to need them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group("plugin", cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """See, add, change and take out plugins; write and check your own.

    \b
    tljh plugin list                     which there are, and whether they work
    tljh plugin add tljh-shared-data     shows what changes, asks, and does it
    tljh plugin info shared-data         what it brings, and its settings
    tljh plugin remove shared-data       takes away all that only it brought
    tljh plugin new my-own               files for a plugin of your own
    """


@group.command("list", short_help="Show every plugin, and whether it works.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def list_(as_json: bool) -> None:
    """Show every plugin: version, state, where it comes from and its hooks.

    \b
    active     it works, as far as the last install and the last start of the hub saw
    disabled   switched off: it brings nothing until 'tljh plugin enable'
    failed     with the reason; the others go on
    """
    with reading() as (_, plugins):
        if as_json:
            click.echo(json.dumps({"plugins": [as_dict(plugin) for plugin in plugins]}, indent=1))
            return
        if not plugins:
            click.echo("No plugins. 'tljh plugin add SPEC' installs one, 'tljh plugin new NAME' begins one.")
            return
        rows = [("NAME", "VERSION", "STATE", "FROM", "HOOKS")]
        rows += [(p.name, p.report.version or "-", p.state, p.place, _hooks(p.report.hooks)) for p in plugins]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row, plugin in zip(rows, [None, *plugins], strict=True):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            if plugin:
                cells[2] = click.style(cells[2], fg=COLOURS[plugin.state])
            click.echo("  ".join([*cells, row[4]]).rstrip())
            for why in plugin.why if plugin else ():
                click.secho(f"  ✗ {_first_line(why)}", fg="red")


def as_dict(plugin: Known) -> dict[str, Any]:
    """One plugin as ``--json`` prints it."""
    report = plugin.report
    return {
        "name": plugin.name,
        "package": report.distribution,
        "version": report.version,
        "state": plugin.state,
        "why": list(plugin.why),
        "source": plugin.kind,
        "path": report.origin_path,
        "spec": plugin.spec,
        "hooks": list(report.hooks),
    }


def _hooks(hooks: Sequence[str]) -> str:
    short = [hook.removeprefix("tljh_") for hook in hooks]
    more = f" and {len(short) - SHORT} more" if len(short) > SHORT + 1 else ""
    return ", ".join(short[:SHORT] if more else short) + more or "-"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else text


@group.command(short_help="Show all that one plugin is and brings.")
@click.argument("name", shell_complete=complete_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Show everything, however long.")
def info(name: str, as_json: bool, verbose: bool) -> None:
    """Show all that plugin NAME is and brings.

    Its hooks, what it asks for, its stages, commands and checks, its settings with their values, and what of the
    machine is there because of it. NAME is the plugin's own name or that of its package.
    """
    from tljh.plugins.known import chosen

    with reading() as (store, plugins):
        details = [_details(plugin, store) for plugin in chosen(plugins, [name])]
    if as_json:
        click.echo(json.dumps({"plugins": details}, indent=1))
        return
    for number, found in enumerate(details):
        click.echo("\n" * bool(number) + "\n".join(_lines(found, verbose)))


def _details(plugin: Known, store: Store) -> dict[str, Any]:
    """All that is recorded of a plugin."""
    report = plugin.report
    run = store.hook_run(plugin.name, "tljh_config_post_install")
    applied = run.keys.get("applied", ()) if run else ()
    return {
        **as_dict(plugin),
        "warnings": list(report.warnings),
        "asks_for": {hook: list(values) for hook, values in report.contributions.items() if values},
        "resources": list(report.resources),
        "stages": list(report.stages),
        "commands": list(report.commands),
        "checks": list(report.checks),
        "settings": _settings(report.settings, report.values),
        "config": {".".join(map(str, path)): value for path, value in applied},
        "owned": {
            resource: mine
            for resource, keys in sorted(store.owned().items())
            if (mine := sorted(key for key, origin in keys.items() if plugin.name in origin.split(", ")))
        },
        "seconds": dict(report.seconds),
    }


def _settings(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each setting of a typed plugin, from its JSON schema."""
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "type": _type(row),
            "default": row.get("default"),
            "required": name in required,
            "value": values.get(name, row.get("default")),
            "description": row.get("description", ""),
        }
        for name, row in schema.get("properties", {}).items()
    ]


def _type(row: Mapping[str, Any]) -> str:
    """A JSON schema's type in a word or two."""
    if "enum" in row:
        return " | ".join(json.dumps(value) for value in row["enum"])
    if "anyOf" in row:
        return " | ".join(_type(one) for one in row["anyOf"])
    if "$ref" in row:
        return str(row["$ref"]).rpartition("/")[2]
    kind = str(row.get("type", "anything"))
    return f"{kind} of {_type(row['items'])}" if kind == "array" and row.get("items") else kind


def _lines(found: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    """What ``info`` prints of one plugin."""
    yield click.style(f"{found['name']} {found['version']}".strip(), bold=True)
    yield f"  state      {click.style(found['state'], fg=COLOURS[found['state']])}"
    for why in found["why"]:
        yield click.style(f"    ✗ {why}", fg="red")
    for warning in found["warnings"]:
        yield click.style(f"    ! {warning}", fg="yellow")
    if found["source"] == "package":
        spec = f", asked for as {found['spec']}" if found["spec"] not in ("", found["package"]) else ""
        yield f"  from       package {found['package']}{spec}"
    else:
        yield f"  from       {found['path'] or found['source']}"
    yield f"  hooks      {', '.join(found['hooks']) or 'none'}"
    sections = {
        "asks for": [f"{hook}: {_value(item)}" for hook, items in found["asks_for"].items() for item in items],
        "declares": [_declared(row) for row in found["resources"]],
        "stages": [_stage(row) for row in found["stages"]],
        "commands": [f"tljh {row['name']}  {row.get('help', '')}".rstrip() for row in found["commands"]],
        "checks": [f"{row['name']}: {row['sentence']}" for row in found["checks"]],
        "settings": [_setting(found["name"], row) for row in found["settings"]],
        "config keys that it set": [f"{key} = {_value(value)}" for key, value in found["config"].items()],
        "here because of it": [f"{thing}: {', '.join(keys)}" for thing, keys in found["owned"].items()],
    }
    for title, rows in sections.items():
        if not rows:
            continue
        yield f"  {title}"
        shown = rows if verbose else rows[:LISTED]
        yield from (f"    {row}" for row in shown)
        if len(rows) > len(shown):
            yield f"    … and {len(rows) - len(shown)} more (-v shows them)"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _declared(row: Mapping[str, Any]) -> str:
    return f"{row.get('kind', '?')} {row.get('path') or row.get('name') or ''}".strip()


def _stage(row: Mapping[str, Any]) -> str:
    has = f", {', '.join(row['has'])}" if row.get("has") else ""
    return f"{row['name']} (priority {row['priority']}{has})"


def _setting(plugin: str, row: Mapping[str, Any]) -> str:
    value = "must be set" if row["required"] and row["value"] is None else _value(row["value"])
    about = f"  {row['description']}" if row["description"] else ""
    return f"plugins.{plugin}.{row['name']} = {value}  ({row['type']}){about}"


for command in (
    plugin_verbs.add,
    plugin_verbs.upgrade,
    plugin_verbs.enable,
    plugin_verbs.disable,
    plugin_verbs.remove,
    new,
    check,
):
    group.add_command(command)
