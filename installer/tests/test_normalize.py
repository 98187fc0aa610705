"""The rule is TLJH's: accounts that it made must be found again."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tljh.normalize import generate_system_username


@pytest.mark.parametrize("name", ["jupyter-alice", "x" * 26, "jupyter-a.b@c.org"])
def test_a_short_name_stays(name: str) -> None:
    assert generate_system_username(name) == name


def test_a_long_name_is_cut_and_hashed() -> None:
    name = "jupyter-" + "a" * 40
    digest = hashlib.sha256(name.encode()).hexdigest()
    assert generate_system_username(name) == f"jupyter-{'a' * 18}-{digest[:5]}"


@given(st.text(min_size=1, max_size=200))
def test_no_name_is_longer_than_useradd_takes(name: str) -> None:
    assert len(generate_system_username(name)) <= 32


def test_names_that_begin_alike_differ() -> None:
    names = {generate_system_username("jupyter-" + "a" * 30 + end) for end in "abcdef"}
    assert len(names) == 6
