"""What the services are made of, on both kinds of host."""

from __future__ import annotations

import configparser
import hashlib
from pathlib import Path

import pytest
from fakes import make_context, real
from tljh import traefik
from tljh.configurer import with_defaults
from tljh.engine.resource import Resource
from tljh.errors import TljhError
from tljh.resources.file import File, Secret
from tljh.resources.service import Service, Systemd
from tljh.resources.supervisor import Supervisor
from tljh.stages import services as module
from tljh.stages.context import Context
from tljh.stages.going_back.earlier import Earlier
from tljh.stages.proxy import Proxy


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), config=with_defaults({}), config_text="limits:\n  memory: 1G\n")
    made.hub_target = made.paths.envs / "hub-3"
    return made


def resources(context: Context) -> dict[str, Resource]:
    return {resource.id: resource for resource in module.Services().resources(context)}


def text(resource: Resource) -> str:
    assert isinstance(resource, File)
    return (resource.content or b"").decode()


def test_with_systemd(context: Context) -> None:
    found = resources(context)
    bin_ = context.paths.bin
    assert list(found) == [
        f"file:{bin_}/launch-jupyterhub",
        f"file:{bin_}/launch-traefik",
        "file:/etc/systemd/system/traefik.service",
        "file:/etc/systemd/system/jupyterhub.service",
        "service:traefik",
        "service:jupyterhub",
    ], "the proxy is started first"
    assert isinstance(context.manager, Systemd)


@pytest.mark.parametrize("name", ["traefik", "jupyterhub"])
def test_units(context: Context, name: str) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text(resources(context)[f"file:/etc/systemd/system/{name}.service"]))
    assert unit["Service"]["ExecStart"] == f"{context.paths.bin}/launch-{name}"
    assert unit["Service"]["WorkingDirectory"] == str(context.paths.state)
    assert unit["Service"]["Restart"] == "always"
    assert unit["Install"]["WantedBy"] == "multi-user.target", "after a reboot the hub answers"
    assert "Requires" not in unit["Unit"]


def test_the_proxy_may_do_little(context: Context) -> None:
    unit = text(resources(context)["file:/etc/systemd/system/traefik.service"])
    assert "ProtectSystem=strict\n" in unit
    assert "NoNewPrivileges=yes\n" in unit
    assert f"ReadWritePaths={context.paths.state}/rules {context.paths.state}/acme.json\n" in unit


def test_without_systemd(context: Context) -> None:
    context.with_systemd = False
    found = resources(context)
    config = text(found[f"file:{context.paths.state}/supervisord.conf"])
    assert f"command={context.paths.bin}/launch-jupyterhub\n" in config
    assert found[f"file:{context.paths.state}/supervisord.conf"].desired()["mode"] == "0600"
    assert not [name for name in found if name.startswith("file:/etc/")]
    assert isinstance(context.manager, Supervisor)
    hub = found["service:jupyterhub"]
    assert isinstance(hub, Service)
    assert not [path for path in hub.files if path.is_relative_to("/etc")]


def test_what_the_hub_could_not_read_is_refused(context: Context) -> None:
    """A plan, so that no hub is stopped that could not start again; what this run removes or writes counts."""
    file = context.paths.hub_config_d / "mine.py"
    file.parent.mkdir(parents=True)
    file.write_text("c.JupyterHub.")
    with pytest.raises(TljhError, match=r"mine\.py line 1: this is not Python: invalid syntax"):
        resources(context)
    context.unread = {file}
    assert "service:jupyterhub" in resources(context)
    context.unread = set()
    context.written = {file: b"c.JupyterHub.ip = ''"}
    assert "service:jupyterhub" in resources(context)
    context.written = {file.with_name("new.py"): b"(", file: b""}
    with pytest.raises(TljhError, match=r"new\.py line 1: this is not Python"):
        resources(context)


def test_going_back_passes_over_what_the_admin_has_edited(context: Context) -> None:
    mine, plugins, gone = (context.paths.hub_config_d / name for name in ("mine.py", "plugins.py", "gone.py"))
    mine.parent.mkdir(parents=True)
    mine.write_text("c.JupyterHub.")
    gone.write_text("")
    context.written, context.unread = {plugins: b"x = 1"}, {gone}
    context.earlier = Earlier(1, 1, {})
    hub = resources(context)["service:jupyterhub"]
    assert isinstance(hub, Service)
    assert hub.passed_over == [mine]
    assert plugins in hub.files and mine not in hub.files and gone not in hub.files


def test_launchers_run_the_real_path(context: Context) -> None:
    script = resources(context)[f"file:{context.paths.bin}/launch-jupyterhub"]
    assert script.desired()["mode"] == "0755"
    command = text(script).splitlines()[-1]
    alembic = 'PATH="$PATH:$environment/bin"'
    assert command.startswith(f'exec env {alembic} "$environment/bin/python" -m jupyterhub -f "$environment"/lib/')
    assert str(context.paths.hub) not in command


def test_the_hub_is_compared_with_what_this_run_will_write(context: Context) -> None:
    list(Proxy().resources(context))
    found = resources(context)
    hub, proxy = found["service:jupyterhub"].desired(), found["service:traefik"].desired()
    assert hub["environment"] == proxy["environment"] == f"{context.paths.envs}/hub-3"

    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()[:16]

    assert hub[f"with {context.paths.config_file}"] == digest(context.config_text.encode())
    launcher = text(found[f"file:{context.paths.bin}/launch-jupyterhub"])
    assert hub[f"with {context.paths.bin}/launch-jupyterhub"] == digest(launcher.encode())
    settings = context.paths.state / "traefik.toml"
    assert proxy[f"with {settings}"] == digest(
        traefik.desired_files(context.config, context.paths)[settings].encode()
    )
    assert f"with {context.paths.config_file}" not in proxy, "a changed limit does not restart the proxy"


def test_admins_own_configuration_is_read_too(context: Context) -> None:
    context.paths.hub_config_d.mkdir()
    (context.paths.hub_config_d / "mine.py").write_text("c.x = 1")
    (context.paths.hub_config_d / "notes.txt").write_text("not read")
    hub = resources(context)["service:jupyterhub"]
    assert isinstance(hub, Service)
    assert context.paths.hub_config_d / "mine.py" in hub.files
    assert not [path for path in hub.files if path.suffix == ".txt"]


def test_the_proxys_secrets_are_roots(context: Context) -> None:
    found = list(Proxy().resources(context))
    assert {resource.desired()["mode"] for resource in found} == {"0600"}
    secret, acme = found[:2]
    assert isinstance(secret, Secret)
    assert isinstance(acme, Secret)
    assert len(secret.content or b"") == 64
    assert acme.content == b"{}"
