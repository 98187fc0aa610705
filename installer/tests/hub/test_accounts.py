from __future__ import annotations

import pytest
from tljh.hub import accounts


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    for name in ("ensure_user", "ensure_group", "ensure_user_group", "remove_user_group"):
        monkeypatch.setattr(accounts.user, name, lambda *args, name=name: calls.append(" ".join((name, *args))))
    return calls


def test_a_user_is_in_the_groups_of_users(done: list[str]) -> None:
    accounts.Account("jupyter-alice", admin=False, groups=("staff",)).ensure()
    assert done == [
        "ensure_user jupyter-alice",
        "ensure_group jupyterhub-users",
        "ensure_user_group jupyter-alice jupyterhub-users",
        "ensure_group staff",
        "ensure_user_group jupyter-alice staff",
        "remove_user_group jupyter-alice jupyterhub-admins",
    ]


def test_an_admin_may_use_sudo(done: list[str]) -> None:
    accounts.Account("jupyter-boss", admin=True).ensure()
    assert "ensure_user_group jupyter-boss jupyterhub-admins" in done
    assert not any(call.startswith("remove") for call in done)


def test_names_and_groups() -> None:
    assert accounts.system_name("alice") == "jupyter-alice"
    assert len(accounts.system_name("a" * 60)) == 32
    assert accounts.extra_groups("alice", {"staff": ["alice"], "other": ["bob"]}) == ("staff",)
