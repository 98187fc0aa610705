"""config.yaml as it was: shown key by key, written whole, and what was in it and not in effect is kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.facts import Facts
from tljh.engine.resource import Diff, difference
from tljh.stages.going_back.earlier_config import KEPT, TEXT, EarlierConfig

THEN = "# ours\nlimits:\n  memory: 1G\nusers:\n  admin: [ana]\n"
APPLIED = "limits:\n  memory: 2G\n  cpu: 1\nusers:\n  admin: [ana]\n"


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def config(folder: Path, now: str | None, then: str = THEN, applied: str = APPLIED) -> EarlierConfig:
    path = folder / "config.yaml"
    if now is not None:
        path.write_text(now)
        path.chmod(0o640)
    return EarlierConfig("config.yaml", path=path, text=then, now=now or "", applied=applied)


def diff_of(resource: EarlierConfig, machine: FakeMachine) -> Diff:
    return difference(resource, Facts(machine), set())


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"config.yaml.{KEPT}-*"))


def test_each_key_that_is_another(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, APPLIED)
    diff = diff_of(resource, machine)
    assert {key: (diff.before.get(key), value) for key, value in diff.put.items() if key != TEXT} == {
        "limits.memory": ('"2G"', '"1G"'),
        "limits.cpu": ("1", "removed"),
    }
    assert diff.drop == {}
    assert resource.effect(diff) == ""


def test_it_is_written_whole_with_the_mode_that_it_has(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, APPLIED)
    diff = diff_of(resource, machine)
    assert resource.saved(machine) == APPLIED.encode()
    resource.change(diff, machine)
    assert resource.path.read_text() == THEN, "with its comments"
    assert stat.S_IMODE(resource.path.stat().st_mode) == 0o640
    assert not diff_of(resource, machine)
    assert (kept(tmp_path), resource.kept) == ([], []), "what was in it, the last generation has"


def test_what_was_not_in_effect_is_kept(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, "limits:\n  memory: 4G\n")
    diff = diff_of(resource, machine)
    assert resource.effect(diff) == "what is in it and not in effect is kept as config.yaml.before-rollback-…"
    resource.change(diff, machine)
    (copy,) = kept(tmp_path)
    assert resource.kept == [copy]
    assert copy.read_text() == "limits:\n  memory: 4G\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_run_that_was_cut_off_has_kept_it_already(tmp_path: Path, machine: FakeMachine) -> None:
    (tmp_path / f"config.yaml.{KEPT}-1").write_text("limits:\n  memory: 4G\n")
    (tmp_path / f"config.yaml.{KEPT}-0").write_text("something else")
    resource = config(tmp_path, "limits:\n  memory: 4G\n")
    resource.change(diff_of(resource, machine), machine)
    assert [path.name for path in resource.kept] == [f"config.yaml.{KEPT}-1"]
    assert len(kept(tmp_path)) == 2


def test_a_broken_file(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, "limits: [\n")
    diff = diff_of(resource, machine)
    assert set(diff.put) == {TEXT, "limits.memory", "users.admin"}
    resource.change(diff, machine)
    assert resource.path.read_text() == THEN
    assert kept(tmp_path)[0].read_text() == "limits: [\n"


def test_only_a_comment_is_another(tmp_path: Path, machine: FakeMachine) -> None:
    assert set(diff_of(config(tmp_path, THEN.replace("ours", "mine")), machine).put) == {TEXT}


def test_a_file_that_is_gone(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, None)
    diff = diff_of(resource, machine)
    assert diff.before == {}
    resource.change(diff, machine)
    assert resource.path.read_text() == THEN
    assert stat.S_IMODE(resource.path.stat().st_mode) == 0o600
    assert not diff_of(config(tmp_path / "none", None, then=""), machine), "no file and none then"


def test_a_link_of_the_admins_stays(tmp_path: Path, machine: FakeMachine) -> None:
    resource = config(tmp_path, None)
    (tmp_path / "elsewhere.yaml").write_text(APPLIED)
    resource.path.symlink_to("elsewhere.yaml")
    resource.change(diff_of(resource, machine), machine)
    assert resource.path.is_symlink()
    assert (tmp_path / "elsewhere.yaml").read_text() == THEN


def test_no_secret_is_shown(tmp_path: Path, machine: FakeMachine) -> None:
    secret = "auth:\n  GitHubOAuthenticator:\n    client_secret: hush-hush\n"
    diff = diff_of(config(tmp_path, secret), machine)
    assert "hush" not in str(diff)
    assert diff.before["auth.GitHubOAuthenticator.client_secret"].startswith("a secret (")
