"""Plugins are told of users that are gone from the hub's database, and of no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session
from tljh.hub import deletions
from tljh.plugins import moments


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The system names that plugins were told, at once."""
    found: list[str] = []
    monkeypatch.setattr(moments, "user_deleted", found.append)

    class Now:
        def submit(self, function: Any, *words: Any) -> None:
            function(*words)

    monkeypatch.setattr(deletions, "_telling", Now())
    deletions.watch()
    deletions.watch()  # the second time changes nothing
    return found


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    orm.Base.metadata.create_all(engine)
    with Session(engine) as found:
        found.add_all([orm.User(name="ana"), orm.User(name="b" * 40)])
        found.commit()
        yield found


def of(session: Session, name: str) -> orm.User:
    return session.query(orm.User).filter_by(name=name).one()


def test_who_is_deleted_is_told_once_it_is_certain(session: Session, told: list[str]) -> None:
    session.delete(of(session, "ana"))
    session.flush()
    assert told == []
    session.commit()
    assert told == ["jupyter-ana"]
    session.delete(of(session, "b" * 40))
    session.commit()
    assert len(told) == 2 and len(told[1]) <= 32, "the system's name, which is shortened"


def test_a_deletion_that_is_taken_back_is_none(session: Session, told: list[str]) -> None:
    session.delete(of(session, "ana"))
    session.flush()
    session.rollback()
    session.commit()
    assert told == []


def test_other_deletions_are_nobodys_business(session: Session, told: list[str]) -> None:
    group = orm.Group(name="g")
    session.add(group)
    session.commit()
    session.delete(group)
    session.commit()
    assert told == []


def test_a_failure_stays_here(session: Session, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(moments, "user_deleted", fails)
    session.delete(of(session, "ana"))
    session.commit()
    assert event.contains(Session, "after_commit", deletions._committed)
