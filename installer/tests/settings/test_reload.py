"""Reload refuses before it restarts, waits until there is an answer, and ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tljh.configurer import DEFAULT_AUTHENTICATOR
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.settings import reload
from tljh.settings.reload import Answer, Endpoint, Reloader

OK = Answer(200, b'{"version": "6.1.1"}')


@dataclass
class Services:
    started: list[str] = field(default_factory=list)

    def start(self, name: str) -> None:
        self.started.append(name)

    def log_tail(self, name: str) -> str:
        return f"{name} says why\nfor two lines\n"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "config").mkdir()
    (tmp_path / "state" / "rules").mkdir(parents=True)
    return Paths(tmp_path)


def check(name: str) -> None:
    """As the real one, without importing the default authenticator (which starts a process)."""
    if name != DEFAULT_AUTHENTICATOR:
        reload.check_authenticator(name)


def reloader(paths: Paths, answers: list[Answer | Exception]) -> tuple[Reloader, Services, list[str]]:
    asked: list[str] = []
    now = [0.0]

    def get(endpoint: Endpoint, path: str) -> Answer:
        asked.append(endpoint.url + path)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(seconds: float) -> None:
        now[0] += seconds

    services = Services()
    found = Reloader(services, paths, get=get, sleep=sleep, clock=lambda: now[0], check_authenticator=check)
    return found, services, asked


def test_the_hub_is_restarted_and_waited_for(paths: Paths) -> None:
    made, services, asked = reloader(paths, [ConnectionRefusedError("refused"), Answer(502, b""), OK])
    made.hub()
    assert services.started == ["jupyterhub"]
    assert asked == ["http://127.0.0.1:80/hub/api"] * 3


def test_a_hub_that_never_answers_ends_with_its_log(paths: Paths) -> None:
    made, _, _ = reloader(paths, [Answer(503, b"")])
    with pytest.raises(TljhError) as error:
        made.hub()
    assert str(error.value).splitlines() == [
        "jupyterhub was restarted, but did not answer at http://127.0.0.1:80/ within 60 seconds: the answer was "
        "503 Service Unavailable; it last said:",
        "    jupyterhub says why",
        "    for two lines",
        "  → Mend what it complains of, then reload again. User servers were not touched.",
    ]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "fine"}'])
def test_another_program_on_the_port_is_not_taken_for_the_hub(paths: Paths, body: bytes) -> None:
    made, _, _ = reloader(paths, [Answer(200, body)])
    with pytest.raises(TljhError, match="something else than the hub answered"):
        made.hub()


def test_a_hub_that_ends_again_and_again_is_not_waited_for(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paths, "run", tmp_path)
    made, _, asked = reloader(paths, [ConnectionRefusedError("refused")])
    sleep, starts = made.sleep, iter(range(1, 100))

    def start_again(seconds: float) -> None:
        paths.started("jupyterhub").touch()
        os.utime(paths.started("jupyterhub"), ns=(0, next(starts)))
        sleep(seconds)

    made.sleep = start_again
    with pytest.raises(TljhError) as caught:
        made.hub()
    assert str(caught.value).splitlines()[:2] == [
        "jupyterhub was restarted, but ended as soon as it was started, 3 times; it last said:",
        "    jupyterhub says why",
    ]
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits:\n  cpu: x\n", 'config.yaml line 2: limits.cpu is the text "x"'),
        ("limits: [\n", "broken YAML"),
        (
            "auth:\n  type: no_such_package.Authenticator\n",
            "auth.type is no_such_package.Authenticator, which can't be",
        ),
        ("auth:\n  type: tljh.errors.Nobody\n", "auth.type is tljh.errors.Nobody, which can't be imported"),
        ("auth:\n  type: nobody\n", "auth.type is nobody, which can't be imported"),
    ],
)
def test_a_configuration_that_can_not_work_restarts_nothing(paths: Paths, text: str, words: str) -> None:
    paths.config_file.write_text(text)
    made, services, asked = reloader(paths, [OK])
    with pytest.raises(TljhError, match=words):
        made.hub()
    assert services.started == []
    assert asked == []


def test_a_file_that_is_no_python_restarts_nothing(paths: Paths) -> None:
    paths.hub_config_d.mkdir()
    (paths.hub_config_d / "mine.py").write_text("c.JupyterHub.")
    made, services, _ = reloader(paths, [OK])
    with pytest.raises(TljhError, match=r"jupyterhub_config\.d/mine\.py line 1: this is not Python"):
        made.hub()
    assert services.started == []


def test_the_proxy_is_written_restarted_and_waited_for(paths: Paths) -> None:
    paths.config_file.write_text("http:\n  port: 8971\n")
    made, services, asked = reloader(paths, [ConnectionRefusedError("refused"), Answer(404, b"")])
    made.proxy()
    assert services.started == ["traefik"]
    assert asked == ["http://127.0.0.1:8971/"] * 2
    assert 'address = ":8971"' in (paths.state / "traefik.toml").read_text()


def test_a_proxy_that_can_not_work_is_not_restarted(paths: Paths) -> None:
    paths.config_file.write_text("https:\n  enabled: true\n")
    made, services, _ = reloader(paths, [OK])
    with pytest.raises(TljhError, match="there is no certificate to serve"):
        made.proxy()
    assert services.started == []
    assert not (paths.state / "traefik.toml").exists()


def test_moved_routes_take_the_hub_along(paths: Paths) -> None:
    rules = paths.rules / "rules.toml"
    rules.write_text('[http.routers.a]\nentryPoints = ["https"]\nservice = "a"\n')
    made, services, asked = reloader(paths, [Answer(404, b""), OK])
    made.proxy()
    assert services.started == ["traefik", "jupyterhub"]
    assert asked[-1].endswith("/hub/api")
    assert 'entryPoints = [ "http",]' in rules.read_text()


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:80/"),
        ({"base_url": "lab"}, "http://127.0.0.1:80/lab/"),
        ({"http": {"address": "10.0.0.1", "port": 8000}}, "http://10.0.0.1:8000/"),
        ({"http": {"address": "::"}}, "http://[::1]:80/"),
        ({"https": {"enabled": True, "port": 8443, "address": "0.0.0.0"}}, "https://127.0.0.1:8443/"),
    ],
)
def test_where_the_hub_is_asked(settings: dict[str, object], url: str) -> None:
    from tljh.configurer import with_defaults

    assert Endpoint.of(with_defaults(settings)).url == url


def test_a_registered_authenticator_is_found() -> None:
    reload.check_authenticator("dummy")


def test_an_unknown_component(paths: Paths) -> None:
    with pytest.raises(UsageError, match="there is no component users"):
        reload.reload_component("users", paths, Services())
