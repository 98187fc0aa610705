"""``tljh start|stop|restart|status`` and the end of ``tljh install``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import make_context, real
from tljh import systemd
from tljh.cli import install, services
from tljh.configurer import with_defaults
from tljh.engine.plan import Change
from tljh.errors import TljhError
from tljh.resources.supervisor import Supervisor
from tljh.stages import verification
from tljh.stages.context import Options
from tljh.stages.run import Outcome


class Manager:
    """Two services in memory."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.fails: dict[str, str] = {}
        self.done: list[str] = []

    def state(self, facts: object, name: str) -> Mapping[str, str]:
        return {"enabled": "yes", "active": self.states[name]} if name in self.states else {}

    def failing(self, name: str) -> str:
        return self.fails.get(name, "")

    def start(self, name: str) -> None:
        self.done.append(f"start {name}")

    def stop(self, name: str) -> None:
        self.done.append(f"stop {name}")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager(traefik="yes", jupyterhub="yes")
    monkeypatch.setattr(services, "_manager", lambda: made)
    monkeypatch.setattr("tljh.configurer.load_config", lambda *file: with_defaults({}))
    monkeypatch.setattr(verification, "hub_answer", lambda config: {"version": "5.2.1"})
    monkeypatch.setattr(systemd, "is_running", lambda: True)
    return made


def run(command: Any, *words: str) -> Result:
    return CliRunner().invoke(command, list(words))


def test_start_only_what_does_not_run(manager: Manager) -> None:
    manager.states["jupyterhub"] = "failed (failed)"
    result = run(services.start)
    assert manager.done == ["start jupyterhub"]
    assert result.output == "JupyterHub 5.2.1 answers.\n"


def test_the_proxy_is_started_first_and_stopped_last(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.settings.reload.check_hub", lambda paths: manager.done.append("look"))
    run(services.restart)
    run(services.stop)
    assert manager.done == ["look", "start traefik", "start jupyterhub", "stop jupyterhub", "stop traefik"]


def test_what_could_not_start_again_is_not_stopped(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(paths: object) -> None:
        raise TljhError("no")

    monkeypatch.setattr("tljh.settings.reload.check_hub", wrong)
    assert str(run(services.restart).exception) == "no"
    assert manager.done == []


def test_the_foreground_is_for_containers(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(services.start, "--foreground")
    assert str(result.exception) == (
        "--foreground is for hosts without systemd\n  → run 'tljh start': systemd keeps it running"
    )
    supervisor = Supervisor(Path("/hub"), Path("/state"))
    monkeypatch.setattr(services, "_manager", lambda: supervisor)
    monkeypatch.setattr(Supervisor, "runs", True)
    result = run(services.start, "--foreground")
    assert isinstance(result.exception, TljhError)
    assert str(result.exception).startswith("the services run already\n  → 'tljh stop' first")


def test_all_is_well(manager: Manager) -> None:
    result = run(services.status)
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[:2] == [["traefik", "running"], ["jupyterhub", "running"]]
    assert lines[2][:4] == ["hub", "JupyterHub", "5.2.1", "at"]


@pytest.mark.parametrize("what", ["a service", "the hub"])
def test_something_is_wrong(manager: Manager, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    if what == "a service":
        del manager.states["traefik"]
    else:
        monkeypatch.setattr(verification, "hub_answer", lambda config: {"error": "http://x answers 503"})
    result = run(services.status)
    assert result.exit_code == 1
    assert ("not installed" if what == "a service" else "http://x answers 503") in result.output
    result = run(services.status, "--json")
    assert result.exit_code == 1
    assert set(json.loads(result.output)) >= {"services", "url", "hub"}


def test_a_hub_that_fails_each_time_it_starts_is_not_shown_as_running(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.fails["jupyterhub"] = "it has ended 4 times since it was started"
    assert ["jupyterhub", "running"] in [line.split() for line in run(services.status).output.splitlines()]
    monkeypatch.setattr(verification, "hub_answer", lambda config: {"error": "http://x answers 503"})
    result = run(services.status)
    assert [line.split(maxsplit=1) for line in result.output.splitlines()[:3]] == [
        ["traefik", "running"],
        ["jupyterhub", "it has ended 4 times since it was started"],
        ["hub", "http://x answers 503"],
    ]


# ---- the end of an install


def outcome(tmp_path: Path, **more: Any) -> Outcome:
    context = make_context(real(tmp_path), config=with_defaults({}))
    context.generated["ana"] = "made-up-word"
    line = Change("s", "r", "k", "create", None, "1", "core", "removed")
    return Outcome(context, **{"changes": [line], **more})


def test_the_end_of_an_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = outcome(tmp_path, failed_hooks=["plugin x 1.0: tljh_post_install raised KeyError"])
    options = Options(admins=("ana", "bo"), passwords={"bo": "given-word"})
    install.tell(made, options, made.context.paths, 61.4)
    out, err = capsys.readouterr()
    assert "JupyterHub is ready after 61 s: http://" in out
    assert "  admin ana, password: made-up-word\n" in out
    assert "  admin bo\n" in out
    assert "given-word" not in out
    assert "A password is shown this once" in out
    assert f"log: {made.context.paths.log}" in out
    assert "! plugin x 1.0: tljh_post_install raised KeyError; the hub serves all the same" in err


def test_nothing_to_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = outcome(tmp_path, changes=())
    install.tell(made, Options(), made.context.paths, 0.81)
    assert capsys.readouterr().out == "Nothing to change (0.8 s).\n"


def test_an_interrupt_is_a_signal_with_its_number() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        install._interrupt(15, None)
    assert caught.value.args == (143,)
