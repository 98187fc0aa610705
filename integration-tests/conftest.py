"""Machines that the tests share, and what is printed when a test fails.

A machine is made when the first test wants it and dropped after its module; the one that several share, at the
end. With networks of their own (the usual case) several hubs run side by side; otherwise a machine is stopped
before the next one starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent))

import debian
import namespaces
from machine import Container, Machine
from server import LEARNER, PLUGIN, Server

# the story of a server's life: modules run in this order, whatever their names
ORDER = (
    "test_machine",
    "test_install",
    "test_browser",
    "test_spawn30",
    "test_https",
    "test_bad_input",
    "test_security",
    "test_backup",
    "test_plugin_styles",
    "test_plugin_life",
    "test_plugin_sets",
    "test_rollback",
    "test_faults",
    "test_machine_changes",
    "test_uninstall",
    "test_without_systemd",
    "test_channel",
    "test_conda",
    "test_lock",
    "test_bundle",
    "test_crash",
    "test_takeover",
    "test_trixie",
)
# modules that share a machine, the channels that are built once, or the host's own network
TOGETHER = {
    "hub": ("install", "browser", "spawn30", "https", "security", "backup", "machine_changes"),
    "channel": ("channel", "conda", "lock", "bundle", "takeover"),
    "container": ("machine", "without_systemd"),
}
GROUPS = {f"test_{module}": group for group, modules in TOGETHER.items() for module in modules}
SHARED_CACHE = {debian.home() / "uv-cache": "/var/cache/uv-shared"}
_alive: list[Server] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return ORDER.index(item.path.stem) if item.path.stem in ORDER else len(ORDER)

    items.sort(key=place)  # stable: the order within a module stays


class Together(LoadScopeScheduling):
    """Gives all tests of a group to one process."""

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0]).stem
        return GROUPS.get(module, module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Most of the time is waiting, so two modules run side by side; not where machines share one network."""
    return 2 if namespaces.can_have_networks() else 0


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        wanted = [s for s in _alive if any(s is value for value in item.funcargs.values())]  # type: ignore[attr-defined]
        # a fixture that failed left no value: what it was about is the last machine that was made
        for server in wanted or _alive[-1:]:
            if server.machine.running:
                report.sections.append((f"machine {server.machine.name}", server.report()))


@contextmanager
def _maker() -> Iterator[Callable[..., Server]]:
    """Makes fresh machines with the checkout in them, and drops them at the end."""
    made: list[Server] = []

    def make(name: str, suite: str = "bookworm", container: bool = False, cache: bool = True) -> Server:
        if not namespaces.can_have_networks():
            for server in _alive:
                server.machine.stop()
        kind = Container if container else Machine
        server = Server(kind(f"it-{name}", suite, binds=SHARED_CACHE if cache else {}).up(), cache)
        made.append(server)
        _alive.append(server)
        return server

    try:
        yield make
    finally:
        for server in made:
            server.machine.remove()
            _alive.remove(server)


@pytest.fixture(scope="module")
def make_server() -> Iterator[Callable[..., Server]]:
    """Makes fresh machines for one module.

    Were they all there until the end, they would need more inotify instances than one user may have on a usual
    host (128, of all machines together): systemd has seven of them in each, and traefik one.
    """
    with _maker() as make:
        yield make


@pytest.fixture(scope="session")
def hub() -> Iterator[Server]:
    """Debian 12 with systemd, installed once from cold caches with the ``simplest`` plugin."""
    with _maker() as make:
        server = make("hub", cache=False)
        server.install("--plugin", PLUGIN)
        server.allow(LEARNER, "greedy")
        yield server
