"""Whatever set of plugins came and whichever of them went: the machine is as if only the others had ever come.

Random sets (hypothesis) of plugins that want partly the same things, on a real machine, compared thing by thing.
``TLJH_EXAMPLES`` says how many sets; a few are tried otherwise, always the same ones.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from plugin_life import assert_same, state
from server import Server

EXAMPLES = int(os.environ.get("TLJH_EXAMPLES", "3"))
FOLDER = "/opt/tljh/config/plugins.d"

HEAD = r"""
from tljh.declare import Account, File, Folder, Group, HubService, Link, Timer, Unit
from tljh.hooks import hookimpl

TEXT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
"""

POOL = {
    "apt_and_keys": """
        @hookimpl
        def tljh_extra_apt_packages():
            return ["hello"]

        @hookimpl
        def tljh_config_post_install(config):
            config.setdefault("pool", {})["one"] = 1
            config["pool"].setdefault("list", []).append("one")

        @hookimpl
        def tljh_resources(config):
            return [Folder(path="/srv/pool"), File(path="/srv/pool/one", content="one")]
    """,
    "apt_too": """
        @hookimpl
        def tljh_extra_apt_packages():
            return ["hello"]

        @hookimpl
        def tljh_config_post_install(config):
            config.setdefault("pool", {}).setdefault("list", []).append("two")

        @hookimpl
        def tljh_resources(config):
            return [Folder(path="/srv/pool"), File(path="/srv/pool/shared", content="shared"), Group(name="pool")]
    """,
    "accounts": """
        @hookimpl
        def tljh_resources(config):
            yield Folder(path="/srv/pool")
            yield File(path="/srv/pool/shared", content="shared")
            yield Group(name="pool")
            yield Account(name="pool-bot", groups=["pool"])
    """,
    "units": """
        @hookimpl
        def tljh_resources(config):
            yield Unit(name="pool.service", text=TEXT)
            yield Timer(name="pool-often", command=["/bin/true"], calendar="hourly")
    """,
    "services": """
        @hookimpl
        def tljh_extra_user_pip_packages():
            return ["cowsay"]

        @hookimpl
        def tljh_resources(config):
            yield HubService(name="pool", command=["sleep", "infinity"])
            yield Link(path="/srv/pool-link", target="/srv")
    """,
    "there_before": """
        @hookimpl
        def tljh_extra_user_pip_packages():
            return ["cowsay"]

        @hookimpl
        def tljh_resources(config):
            return [File(path="/etc/issue.net", content="ours\\n", mode="0600"), Folder(path="/srv", mode="0750")]
    """,
}


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    server = make_server("plugin-sets")
    server.install()
    return server


@pytest.fixture(scope="module")
def bare(server: Server) -> dict[str, Any]:
    return state(server)


def add(server: Server, names: Iterable[str]) -> None:
    for name in names:
        server.machine.write(f"{FOLDER}/{name}.py", HEAD + textwrap.dedent(POOL[name]), 0o600)
    server.tljh("install").check()
    server.assert_converged()


def remove(server: Server, names: Iterable[str]) -> None:
    for name in names:
        server.machine.run("rm", f"{FOLDER}/{name}.py").check()
    server.tljh("install").check()
    server.assert_converged()


SETS = st.sets(st.sampled_from(sorted(POOL)), min_size=2).flatmap(
    lambda every: st.tuples(st.just(every), st.sets(st.sampled_from(sorted(every)), min_size=1))
)


def test_as_if_only_the_others_had_come(server: Server, bare: dict[str, Any]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="TLJH_EXAMPLES" not in os.environ,
        phases=[Phase.generate],  # to shrink an example would take hours
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(SETS)
    def holds(sets: tuple[set[str], set[str]]) -> None:
        every, going = sets
        add(server, every)
        remove(server, going)
        some_went = state(server)
        remove(server, every - going)
        assert_same(bare, state(server), f"after {sorted(every)} had come and gone")
        add(server, every - going)
        only_others = state(server)
        remove(server, every - going)
        assert_same(only_others, some_went, f"{sorted(going)} went of {sorted(every)}")

    holds()
