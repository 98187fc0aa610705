"""Where the user environment's packages come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.resources.conda import settings as conda_settings
from tljh.resources.locks.lock import RECORD, Lock, Requested, record_of
from tljh.stages.context import Context
from tljh.stages.locks.provider import choose

CHANNEL = [Requested("https://me:secret@host/ours", "--channel", "channel")]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path), config=with_defaults({}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that were asked whether they answer."""
    urls: list[str] = []
    monkeypatch.setattr(conda_settings, "answer_of", lambda url, settings, timeout: urls.append(url) or "")
    return urls


def test_channels_that_answer(context: Context, asked: list[str]) -> None:
    assert choose(context, CHANNEL) == "conda"
    assert asked == ["https://me:secret@host/ours"]
    assert context.conda.channels == {"https://host/ours": "https://me:secret@host/ours"}


def test_channels_that_do_not_answer(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_settings, "answer_of", lambda url, settings, timeout: "timed out")
    assert choose(context, CHANNEL) == "pypi"
    assert context.provider_why == "the conda channel https://host/ours does not answer: timed out"


@pytest.mark.parametrize("provider", ["conda", "pypi"])
def test_config_yaml_says_which(context: Context, asked: list[str], provider: str) -> None:
    context.config = with_defaults({"user_environment": {"provider": provider}})
    assert choose(context, CHANNEL) == provider
    assert asked == []


def test_what_is_there_stays(context: Context, asked: list[str]) -> None:
    path = make_environment(context.paths.envs / "user-1", {"pip": "1"})
    (path / RECORD).write_text(record_of(Lock((), ("pip==1",)), {"pip": "1"}))
    context.paths.user.symlink_to("envs/user-1")
    assert choose(context, CHANNEL) == "pypi"
    assert asked == [], "an install that changes nothing asks nobody"
