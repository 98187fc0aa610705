"""The hub and the proxy as services, kept running by systemd or, where there is none, by supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.resource import Resource
from tljh.paths import Paths
from tljh.resources.file import File
from tljh.resources.service import Service, started_script
from tljh.resources.supervisor import Program, configuration
from tljh.settings.hub_files import check_hub_file, rehearse
from tljh.stages import hub_database
from tljh.stages.context import Context
from tljh.stages.taking_over import takeover

UNITS = Path("/etc/systemd/system")

TRAEFIK_UNIT = """# Written by the installer; put changes into traefik.service.d/*.conf
[Unit]
Description=traefik, the proxy of JupyterHub
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={launcher}
WorkingDirectory={state}
Restart=always
RestartSec=2
RuntimeDirectory=tljh
RuntimeDirectoryPreserve=yes
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
ReadWritePaths={state}/rules {state}/acme.json
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX

[Install]
WantedBy=multi-user.target
"""

# Wants, not Requires: a restarted proxy must not restart the hub. Nothing that keeps the hub from making
# accounts, homes and transient units for people.
HUB_UNIT = """# Written by the installer; put changes into jupyterhub.service.d/*.conf
[Unit]
Description=JupyterHub
Wants=traefik.service
After=traefik.service
StartLimitIntervalSec=0

[Service]
ExecStart={launcher}
WorkingDirectory={state}
Restart=always
RestartSec=2
RuntimeDirectory=tljh
RuntimeDirectoryPreserve=yes
KillMode=mixed
PrivateDevices=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes

[Install]
WantedBy=multi-user.target
"""

# a database that is no file of SQLite's is migrated by JupyterHub, with a program that PATH has to have: alembic
HUB_COMMAND = (
    'env PATH="$PATH:$environment/bin" "$environment/bin/python" -m jupyterhub'
    ' -f "$environment"/lib/python3*/site-packages/tljh/hub/jupyterhub_config.py --upgrade-db'
)
TRAEFIK_COMMAND = '"$environment/bin/traefik" --configfile={state}/traefik.toml'


class Services(Stage[Context]):
    """``traefik`` and ``jupyterhub``, in this order."""

    name = "services"
    priority = 80

    def resources(self, context: Context) -> Iterable[Resource]:
        yield from takeover.hand_over(context)
        paths = context.paths
        launchers = {
            name: File.at(paths.bin / name, text, mode="0755") for name, text in _launchers(paths).items()
        }
        yield from launchers.values()
        definitions = _definitions(context)
        yield from definitions
        planned: dict[Path, bytes | None] = {
            file.path: file.content for file in (*definitions, *launchers.values())
        }
        planned.update(context.written)
        if context.config_text:
            planned[paths.config_file] = context.config_text.encode()
        hub = _service(context, "jupyterhub", planned)
        for path in hub.files:
            if path.parent == paths.hub_config_d:
                check_hub_file(path, hub.planned.get(path))
        hub.rehearse = partial(rehearse, context.paths, environment=hub.environment)
        for database in hub_database.resources(context):
            database.rehearse = hub.rehearse
            yield database
        yield _service(context, "traefik", planned)
        yield hub


def _launchers(paths: Paths) -> dict[str, str]:
    commands = {"jupyterhub": HUB_COMMAND, "traefik": TRAEFIK_COMMAND.format(state=paths.state)}
    return {
        f"launch-{name}": started_script(name, paths.hub, paths.started(name), _reads(paths, name), command)
        for name, command in commands.items()
    }


def _reads(paths: Paths, name: str) -> list[str]:
    """What a service reads as it starts; shell patterns."""
    own = [f"{paths.bin}/launch-{name}", f"{UNITS}/{name}.service", f"{UNITS}/{name}.service.d/*.conf"]
    if name == "traefik":
        return [*own, f"{paths.state}/traefik.toml"]
    hub = [f"{paths.hub_config_d}/*.py", f"{paths.state}/traefik-api.secret", str(paths.plugin_services)]
    hub += [str(paths.plugins_disabled), f"{paths.plugins_d}/*.py"]
    return [*own, str(paths.config_file), *hub]


def _definitions(context: Context) -> list[File]:
    paths = context.paths
    if context.with_systemd:
        texts = {"traefik": TRAEFIK_UNIT, "jupyterhub": HUB_UNIT}
        return [
            File.at(
                UNITS / f"{name}.service",
                text.format(launcher=paths.bin / f"launch-{name}", state=paths.state),
            )
            for name, text in texts.items()
        ]
    programs = [
        Program("traefik", str(paths.bin / "launch-traefik"), paths.state, 10),
        Program("jupyterhub", str(paths.bin / "launch-jupyterhub"), paths.state, 20),
    ]
    return [File.at(paths.state / "supervisord.conf", configuration(paths.state, programs), mode="0600")]


def _service(context: Context, name: str, planned: Mapping[Path, bytes | None]) -> Service:
    paths = context.paths
    patterns = [Path(pattern) for pattern in _reads(paths, name)]
    there = [file for pattern in patterns for file in _expanded(pattern)]
    new = [file for file in context.written if any(file.match(str(pattern)) for pattern in patterns)]
    known = [file for file in dict.fromkeys([*there, *sorted(new)]) if file not in context.unread]
    files = [file for file in known if context.with_systemd or UNITS not in file.parents]
    passed_over = []
    if context.earlier:  # going back is not about what the admin has edited, and must not fail for that
        passed_over = [f for f in files if f.parent == paths.hub_config_d and f not in context.written]
    return Service(
        f"service:{name}",
        manager=context.manager,
        started=paths.started(name),
        environment=context.facts.real_path(paths.envs) / context.required("hub_target").name,
        files=[file for file in files if file not in passed_over],
        passed_over=passed_over,
        planned={path: content for path, content in planned.items() if content is not None},
    )


def _expanded(pattern: Path) -> list[Path]:
    return sorted(pattern.parent.glob(pattern.name)) if "*" in pattern.name else [pattern]
