"""Debian 13 with its Python 3.13, a shorter run: install, use, again, reboot."""

from collections.abc import Callable

import pytest
from server import PLUGIN, Server


@pytest.fixture(scope="module")
def trixie(make_server: Callable[..., Server]) -> Server:
    server = make_server("trixie", "trixie")
    server.install("--plugin", PLUGIN)
    return server


def test_kernel_runs_on_its_python(trixie: Server) -> None:
    assert trixie.cell("import sys; print(sys.version_info[:2])") == "(3, 13)\n"


def test_again_changes_nothing(trixie: Server) -> None:
    pids = trixie.pids()
    trixie.bootstrap("--plugin", PLUGIN).check()
    assert trixie.pids() == pids
    trixie.assert_converged()


def test_answers_after_a_reboot(trixie: Server) -> None:
    trixie.machine.reboot()
    trixie.wait()
    trixie.assert_converged()
