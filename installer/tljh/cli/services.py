"""``tljh start|stop|restart|status``: the hub and the proxy, on both kinds of host."""

from __future__ import annotations

import json
import sys

import click

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.outside import check_room
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.service import Manager

SERVICES = ("traefik", "jupyterhub")


@click.command()
@click.option(
    "--foreground", is_flag=True, help="Stay in front until stopped: a container's entry point. Not with systemd."
)
def start(foreground: bool) -> None:
    """Start the hub and the proxy, unless they run already."""
    manager = _manager()
    from tljh.resources.supervisor import Supervisor

    if foreground:
        if not isinstance(manager, Supervisor):
            raise TljhError(
                "--foreground is for hosts without systemd", todo="run 'tljh start': systemd keeps it running"
            )
        if manager.runs:
            raise TljhError("the services run already", todo="'tljh stop' first, or leave --foreground out")
        manager.run_in_foreground()
    facts = Facts(Machine())
    for name in SERVICES:
        if manager.state(facts, name).get("active") != "yes":
            manager.start(name)
    _wait()


@click.command()
def stop() -> None:
    """Stop the hub and the proxy; people's servers go on."""
    manager = _manager()
    from tljh.resources.supervisor import Supervisor

    if isinstance(manager, Supervisor):
        manager.stop_all()
        return
    for name in reversed(SERVICES):
        manager.stop(name)


@click.command()
def restart() -> None:
    """Restart the hub and the proxy; people's servers go on."""
    from tljh.settings.reload import check_hub

    manager = _manager()
    paths = Paths.from_environment()
    check_hub(paths)
    check_room(paths.state, "to restart the hub")
    for name in SERVICES:
        manager.start(name)
    _wait()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def status(as_json: bool) -> None:
    """Show whether the services run and the hub answers. Exit status 0 if all is well, 1 if not."""
    from tljh.configurer import load_config
    from tljh.settings.reload import Endpoint
    from tljh.stages.verification import hub_answer

    manager = _manager()
    facts = Facts(Machine())
    config = load_config()
    states = {name: manager.state(facts, name).get("active", "not installed") for name in SERVICES}
    answer = hub_answer(config)
    if "version" not in answer:  # what is started again each time it fails is "active" in between
        states |= {name: manager.failing(name) or "yes" for name, state in states.items() if state == "yes"}
    well = "version" in answer and set(states.values()) == {"yes"}
    found = {"services": states, "url": Endpoint.of(config).url, "hub": answer, "limits": _limits()}
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for name, state in states.items():
            click.echo(
                f"{name:<11} "
                + (click.style("running", fg="green") if state == "yes" else click.style(state, fg="red"))
            )
        said = (
            f"JupyterHub {answer['version']} at {Endpoint.of(config).url}"
            if "version" in answer
            else answer["error"]
        )
        click.echo(f"{'hub':<11} {said}")
        for line in _limits():
            click.echo(f"{'limits':<11} {line}")
    sys.exit(0 if well else 1)


def _limits() -> list[str]:
    """What is not enforced on this host, in plain words; nothing under systemd, which enforces all."""
    from tljh import systemd

    if systemd.is_running():
        return []
    from tljh.configurer import load_config
    from tljh.hub.limits import Limits, find_hierarchy, limits_statement

    limits = load_config()["limits"]
    wanted = Limits(1 if limits["memory"] else None, 1.0 if limits["cpu"] else None)
    return limits_statement(find_hierarchy(), wanted)


def _manager() -> Manager:
    from tljh.resources.managers import manager_for
    from tljh.stages.preflight import check_root

    check_root()
    return manager_for(Paths.from_environment(), Machine())


def _wait() -> None:
    """Until the hub answers."""
    from tljh.configurer import load_config
    from tljh.stages.verification import wait_for_hub

    started = Paths.from_environment().started("jupyterhub")
    click.echo(f"JupyterHub {wait_for_hub(load_config(), _manager(), started=started)} answers.")
