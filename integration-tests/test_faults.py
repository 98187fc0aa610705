"""Faults from outside: each is told with what to do next, and the hub that served goes on serving.

One machine serves the whole module. Its prefix is a link to a disk of its own, and its name is not in /etc/hosts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import faults
import pytest
from result import Result
from server import ADMIN, Server

CONFIG = "/opt/tljh/config/config.yaml"
DROP_IN = "/etc/systemd/system/jupyterhub.service.d/broken.conf"


@pytest.fixture(scope="module")
def served(make_server: Callable[..., Server]) -> Server:
    server = make_server("faults")
    faults.disk(server.machine)
    server.machine.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    server.install()
    return server


@pytest.fixture
def hub(served: Server) -> Iterator[Server]:
    """The hub, which runs before, runs after, and was not restarted by what failed."""
    pids = served.pids()
    yield served
    served.wait(timeout=10)
    assert served.pids() == pids, "the hub that served was restarted"
    left = served.machine.sh("ls -A /opt/tljh/envs | grep -vE '^(hub|user)-[0-9]+$'").stdout
    assert left == "", "something half done is left"


def refused(result: Result, *words: str) -> None:
    """It failed with sentences that hold ``words`` and says what to do next, without a traceback."""
    assert result.returncode == 1, f"{result}"
    missing = [word for word in ("→", *words) if not re.search(word, result.output, re.IGNORECASE)]
    assert not missing, f"it does not say {missing}\n{result}"
    assert "Traceback" not in result.output and "Logging error" not in result.output, f"{result}"
    assert len(result.output.splitlines()) < 45, f"{result}"


def wants(server: Server, *packages: str, env: dict[str, str] | None = None) -> Result:
    """An install that is asked for these packages for everybody."""
    server.machine.write("/root/wanted.txt", "".join(f"{name}\n" for name in packages))
    return server.tljh("install", "--user-requirements-txt-url", "/root/wanted.txt", env=env, timeout=200)


def without_git(server: Server, lists: bool = True) -> None:
    """Something that apt is needed for."""
    removed = "" if lists else "rm -rf /var/lib/apt/lists/*"
    server.machine.sh(
        f"dpkg --force-depends -r git >/dev/null 2>&1; rm -f /var/cache/apt/archives/*.deb; {removed}"
    )


# ---- where it is installed


def test_a_prefix_that_is_a_link_to_another_disk_and_a_machine_without_a_name(served: Server) -> None:
    served.assert_converged()
    assert "Nothing to change" in served.bootstrap("--admin", ADMIN).check().output
    served.machine.sh("sudo -n true").check()


# ---- the network


def test_a_machine_as_wanted_needs_no_network(hub: Server) -> None:
    with faults.no_network(hub.machine):
        assert "Nothing to change" in hub.tljh("install").check().output
        hub.tljh("doctor").check()


def test_no_network_for_an_environment(hub: Server) -> None:
    env = {"UV_HTTP_RETRIES": "0", "UV_CACHE_DIR": "/var/tmp/no-cache"}
    with faults.no_network(hub.machine):
        refused(wants(hub, "tljh-none", env=env), "package index cannot be reached", "check the network")
        refused(hub.tljh("plugin", "add", "tljh-none", "--yes", env=env), "package index cannot be reached", "DNS")
        url = "https://example.org/requirements.txt"
        refused(hub.tljh("install", "--user-requirements-txt-url", url), "example.org", "could not be fetched")


def test_no_network_for_apt(hub: Server) -> None:
    without_git(hub, lists=False)
    with faults.no_network(hub.machine):
        refused(hub.tljh("install"), "lists of the system's packages could not be read", "sources of apt")
    hub.tljh("install").check()
    hub.assert_converged()


def test_nobody_answers_for_names(hub: Server) -> None:
    env = {"UV_HTTP_RETRIES": "0", "UV_CACHE_DIR": "/var/tmp/no-cache"}
    with faults.no_names(hub.machine):
        refused(wants(hub, "tljh-none", env=env), r"names cannot be looked up \(DNS\)", "/etc/resolv.conf")


# ---- the registry

LOGIN = "<html><body><h1>Welcome to our network. Please log in.</h1></body></html>"
REGISTRY = {
    "a fault of its own": (["status:500:/simple/*"], None, "answers with a fault of its own", "wait a while"),
    "half a page": (["cut:/simple/*/"], None, "damaged or broken off", "a proxy, a mirror"),
    "another page": ([], LOGIN, "does not have a package", "wants a login"),
    "half a package": (["cut:*.whl"], None, "damaged or broken off", "a proxy, a mirror"),
    "another package": (["garble:*.whl"], None, "damaged or broken off|not the one", "a proxy, a mirror|find out"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REGISTRY)
def test_a_registry_that_sends(hub: Server, kind: str) -> None:
    ways, page, what, todo = REGISTRY[kind]
    name = f"faulty-{kind.replace(' ', '-')}"
    with faults.registry(hub.machine, name, *ways, page=page) as env:
        refused(hub.tljh("plugin", "add", name, "--yes", env=env), what, todo)
    hub.assert_converged()


# ---- the disk


@pytest.mark.parametrize("left", [0, 2_000, 60_000])
def test_a_full_disk(hub: Server, left: int) -> None:
    with faults.full(hub.machine, left):
        refused(hub.tljh("plugin", "add", "tljh-repo2docker", "--yes"), "no room left on the disk", "make room")
    hub.assert_converged()


def test_a_full_disk_ends_no_hub_that_serves(hub: Server) -> None:
    before = hub.machine.read(CONFIG)
    with faults.full(hub.machine, 0):
        done = hub.machine.run("tljh-config", "set", "limits.memory", "1G")
        if done.returncode:
            refused(done, "no room left on the disk")
            assert hub.machine.read(CONFIG) == before
        else:  # ext4 keeps some blocks, in which a small file has room (s_resv_clusters)
            assert hub.machine.read(CONFIG) == f"{before}limits:\n  memory: 1G\n"
        refused(hub.machine.run("tljh-config", "reload"), "no room", "what runs now goes on")
        refused(hub.tljh("restart"), "no room", "what runs now goes on")
        said = hub.tljh("doctor")
        assert said.returncode == 1 and "0 MB are free" in said.output
    hub.machine.write(CONFIG, before, mode=0o600)
    hub.assert_converged()


def test_a_read_only_etc(hub: Server) -> None:
    hub.machine.sh("echo '# edited' >> /etc/sudoers.d/jupyterhub-admins").check()
    with faults.read_only(hub.machine, "/etc"):
        refused(
            hub.tljh("install"), "/etc cannot be written: .* read-only; nothing was changed", "make it writable"
        )
    hub.tljh("install").check()
    hub.assert_converged()


# ---- the system's packages


@pytest.mark.parametrize("lock", ["/var/lib/dpkg/lock-frontend", "/var/cache/apt/archives/lock"])
def test_apt_is_used_by_another_program(hub: Server, lock: str) -> None:
    without_git(hub)
    with faults.apt_is_locked(hub.machine, lock, 60):
        held = hub.tljh("install", env={"TLJH_APT_PATIENCE": "1"})
        refused(held, "another-apt .*has not ended: it holds " + lock, r"ps -fp \d+")
        assert "waiting for python3 /srv/another-apt" in held.output
    with faults.apt_is_locked(hub.machine, lock, 2):
        assert "waiting for python3 /srv/another-apt" in hub.tljh("install").check().output
    hub.assert_converged()


def test_an_interrupted_dpkg_is_finished(hub: Server) -> None:
    without_git(hub)
    faults.interrupt_dpkg(hub.machine)
    assert "dpkg --configure -a" in hub.tljh("install").check().output
    assert "install ok installed" in hub.machine.run("dpkg", "-s", "slow-package").output
    hub.machine.run("dpkg", "--purge", "slow-package").check()
    hub.assert_converged()


def test_an_interrupted_dpkg_that_cannot_be_finished(hub: Server) -> None:
    without_git(hub)
    faults.interrupt_dpkg(hub.machine, "echo no licence; exit 3")
    refused(hub.tljh("install"), "what it left cannot be finished: slow-package", "mend or remove slow-package")
    hub.machine.run("dpkg", "--purge", "--force-all", "slow-package").check()
    hub.tljh("install").check()
    hub.assert_converged()


# ---- services, the clock


def test_a_unit_that_does_not_start(served: Server) -> None:
    served.machine.write(DROP_IN, '[Service]\nExecStartPre=/bin/sh -c "echo the drop-in says no; exit 3"\n')
    failed = served.tljh("install", "--no-rollback")
    refused(failed, "the service jupyterhub does not run", "the drop-in says no")
    assert failed.seconds < 30, "it does not wait until the end for what fails again and again"
    served.machine.run("rm", "-r", DROP_IN.rpartition("/")[0]).check()
    served.tljh("install").check()
    served.wait()
    served.assert_converged()


def test_a_clock_that_was_set_back(hub: Server) -> None:
    back = faults.clock_back(hub.machine)
    assert "Nothing to change" in hub.tljh("install", env=back).check().output
    without_git(hub, lists=False)
    refused(hub.tljh("install", env=back), "not valid at this time; the clock of this machine says", "timedatectl")
    hub.tljh("install").check()
    hub.machine.sh("chmod 0755 /opt/tljh/config").check()
    hub.tljh("install", env=back).check()
    hub.assert_converged()
