"""The common part of the spawner over a base that starts nothing; the bases themselves are in their own tests."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tljh.errors import TljhError
from tljh.hub import accounts, spawner
from tljh.hub.spawner import AccountsAndQueue, StartFailed
from tljh.plugins import moments
from tornado import web
from traitlets import Integer
from traitlets.config import Config, Configurable


class Servers(Configurable):
    """What a spawner of JupyterHub offers to the part that is tested."""

    start_timeout = Integer(60).tag(config=True)
    log_hint = "journalctl -u jupyter-alice"
    log = SimpleNamespace(error=lambda *words: None)
    environment: ClassVar[dict[str, str]] = {}
    _spawn_pending = True

    def __init__(self, name: str = "alice", admin: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.user = SimpleNamespace(name=name, admin=admin)
        self.used: list[tuple[str, bool]] = []
        self.timeout_seen_by_the_hub = 0
        self.answer: Any = ("127.0.0.1", 1234)
        self.takes = 0.0
        self.status: int | None = None
        self.hooked = 0

    def get_env(self) -> dict[str, str]:
        return dict(self.environment)

    def run_pre_spawn_hook(self) -> None:
        self.hooked += 1

    def use_account(self, name: str, admin: bool) -> None:
        self.used.append((name, admin))

    async def start(self) -> Any:
        await asyncio.sleep(self.takes)
        return self.answer

    async def poll(self) -> int | None:
        return self.status


class Spawner(AccountsAndQueue, Servers):
    pass


@pytest.fixture(autouse=True)
def ensured(monkeypatch: pytest.MonkeyPatch) -> list[accounts.Account]:
    """Accounts that were asked for; ports always answer."""
    asked: list[accounts.Account] = []
    monkeypatch.setattr(accounts.Account, "ensure", lambda self: asked.append(self))
    monkeypatch.setattr(AccountsAndQueue, "_queue", None)
    monkeypatch.setattr(moments, "before_start", lambda spawner, running: None)

    async def answers(host: str, port: int) -> Any:
        return None, SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(asyncio, "open_connection", answers)
    return asked


def as_the_hub_does(one: Spawner) -> Any:
    async def spawn() -> Any:
        await one.run_pre_spawn_hook()
        one.timeout_seen_by_the_hub = one.start_timeout
        return await asyncio.wait_for(one.start(), one.start_timeout)

    return spawn()


def test_a_start_makes_the_account_with_its_groups(ensured: list[accounts.Account]) -> None:
    one = Spawner(admin=True, user_groups={"staff": ["alice", "bob"], "other": ["bob"]})
    assert asyncio.run(as_the_hub_does(one)) == ("127.0.0.1", 1234)
    assert ensured == [accounts.Account("jupyter-alice", True, ("staff",))]
    assert one.used == [("jupyter-alice", True)]
    assert one.hooked == 1


def test_the_hub_is_given_time_for_the_queue_and_the_setting_comes_back() -> None:
    one = Spawner(start_timeout=60, queue_timeout=500)
    asyncio.run(as_the_hub_does(one))
    assert one.timeout_seen_by_the_hub == 560
    assert one.start_timeout == 60
    asyncio.run(as_the_hub_does(one))
    assert one.timeout_seen_by_the_hub == 560


def test_no_more_start_at_once_than_the_queue_lets() -> None:
    inside: list[int] = [0, 0]

    class Counting(Spawner):
        async def _wait_for_answer(self, address: Any) -> None:
            inside[0] += 1
            inside[1] = max(inside)
            await asyncio.sleep(0.001)
            inside[0] -= 1

    config = Config({"AccountsAndQueue": {"start_queue": 3}})

    async def scenario() -> None:
        await asyncio.gather(*(as_the_hub_does(Counting(f"u{n}", config=config)) for n in range(12)))

    asyncio.run(scenario())
    assert inside[1] == 3


def test_time_in_the_queue_is_not_start_time() -> None:
    config = Config({"AccountsAndQueue": {"start_queue": 1}, "Servers": {"start_timeout": 1}})

    async def scenario() -> list[Any]:
        many = [Spawner(f"u{n}", config=config) for n in range(4)]
        for one in many:
            one.takes = 0.4  # together more than start_timeout
        return await asyncio.gather(*(as_the_hub_does(one) for one in many))

    assert asyncio.run(scenario()) == [("127.0.0.1", 1234)] * 4


def test_a_server_that_does_not_answer_in_time_is_told_to_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(host: str, port: int) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refuses)
    monkeypatch.setattr(AccountsAndQueue, "_timeout", lambda self: 0)
    one = Spawner()
    with pytest.raises(StartFailed) as caught:
        asyncio.run(one.start())
    assert "did not answer within 0 seconds" in caught.value.jupyterhub_message
    assert "journalctl -u jupyter-alice" in caught.value.jupyterhub_message


@pytest.mark.parametrize("how", ["never there", "gone while it started"])
def test_a_server_that_ends_early_is_noticed(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(host: str, port: int) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refuses)
    monkeypatch.setattr(spawner, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(spawner, "_KNOCK_EVERY", 0.0)
    one = Spawner()
    one.status = 3
    if how == "never there":
        one.answer = None
    with pytest.raises(StartFailed, match="Your server ended while it was starting") as caught:
        asyncio.run(as_the_hub_does(one))
    assert caught.value.status_code == 500


def test_an_account_that_cannot_be_made_is_told_to_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: accounts.Account) -> None:
        raise TljhError("useradd: cannot lock /etc/passwd")

    monkeypatch.setattr(accounts.Account, "ensure", fails)
    with pytest.raises(StartFailed, match="Your account jupyter-alice could not be made"):
        asyncio.run(as_the_hub_does(Spawner()))


def test_whoever_waits_too_long_is_told_so() -> None:
    config = Config({"AccountsAndQueue": {"start_queue": 1, "queue_timeout": 1}})

    async def scenario() -> None:
        first, second = Spawner("a", config=config), Spawner("b", config=config)
        first.takes = 30.0
        running = asyncio.create_task(first.start())
        await asyncio.sleep(0.01)
        try:
            await second.start()
        finally:
            running.cancel()

    with pytest.raises(StartFailed, match="Too many servers are starting: yours waited 1 seconds"):
        asyncio.run(scenario())


def test_progress_tells_the_place_in_the_queue() -> None:
    config = Config({"AccountsAndQueue": {"start_queue": 1}})

    async def scenario() -> list[str]:
        first, second, third = (Spawner(name, config=config) for name in "abc")
        first.takes = 0.2
        tasks = [asyncio.create_task(one.start()) for one in (first, second, third)]
        await asyncio.sleep(0.01)
        said = [event["message"] async for event in third.progress()]
        await asyncio.gather(*tasks)
        return said

    assert asyncio.run(scenario()) == ["Waiting in the queue, 1 before you", "Starting your server"]


def test_the_environment_has_the_systems_path_but_not_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", "/opt/tljh")
    assert Spawner().get_env()["PATH"].split(":")[0] == "/usr/local/sbin"
    monkeypatch.setattr(Servers, "environment", {"PATH": "/opt/tljh/hub/bin:/opt/tljh/envs/hub-3/bin:/x/bin"})
    assert Spawner().get_env()["PATH"] == "/x/bin"
    monkeypatch.setattr(Servers, "environment", {"PATH": "/opt/tljh/envs/user-2/bin:/bin", "LANG": "de_DE.UTF-8"})
    assert Spawner().get_env() == {"PATH": "/opt/tljh/envs/user-2/bin:/bin", "LANG": "de_DE.UTF-8"}


def test_what_start_returns_is_understood_in_both_forms() -> None:
    assert spawner._host_and_port("http://127.0.0.1:8888") == ("127.0.0.1", 8888)
    assert spawner._host_and_port(("::1", 99)) == ("::1", 99)


def test_plugins_find_it_under_its_name() -> None:
    from tljh.user_creating_spawner import UserCreatingSpawner

    assert UserCreatingSpawner is spawner.UserCreatingSpawner
    assert "user_groups" in UserCreatingSpawner.class_trait_names(config=True)


# ---- plugins


def test_plugins_are_asked_before_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Spawner()
    asked: list[Any] = []
    monkeypatch.setattr(moments, "before_start", lambda spawner, running: asked.append((spawner, list(one.used))))
    asyncio.run(as_the_hub_does(one))
    assert asked == [(one, [("jupyter-alice", False)])], "when the account is there"


def test_a_plugin_may_refuse_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(spawner: Any, running: list[str]) -> None:
        raise web.HTTPError(403, "not today")

    monkeypatch.setattr(moments, "before_start", refuses)
    with pytest.raises(StartFailed) as caught:
        asyncio.run(as_the_hub_does(Spawner()))
    assert caught.value.jupyterhub_message == "not today"


def test_a_plugin_that_hangs_is_named_and_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()

    def hangs(spawner: Any, running: list[str]) -> None:
        running[:] = ["slow"]
        free.wait(10)

    one, said = Spawner(), []
    monkeypatch.setattr(one, "log", SimpleNamespace(error=lambda text, *words: said.append(text % words)))
    monkeypatch.setattr(moments, "before_start", hangs)
    monkeypatch.setattr(spawner, "PLUGINS_LIMIT", 0.05)
    try:
        assert asyncio.run(as_the_hub_does(one)) == ("127.0.0.1", 1234)
    finally:
        free.set()
    assert said == [
        "plugin slow: its tljh_pre_spawn did not end within 0.05 s; the server of alice starts without it"
    ]
