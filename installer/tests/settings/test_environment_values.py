"""What the settings of an environment may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tljh.settings import environment_values as values
from tljh.settings.change import value_for
from tljh.settings.document import Document
from tljh.settings.validation import validate


@pytest.mark.parametrize("minor", [*range(8, 20), *range(21, 30)])
def test_a_version_that_yaml_reads_as_a_number_is_the_same_version(minor: int) -> None:
    if minor % 10:  # 3.10 and 3.20 lose their zero
        assert values.version(float(f"3.{minor}")) == f"3.{minor}"
    assert values.version(f"3.{minor}") == f"3.{minor}"
    assert values.python_version(values.version(f"3.{minor}")) == f"3.{minor}"


@pytest.mark.parametrize("value", ["2.7", "3", "3.x", "3.12.", "3.12rc1", "python3.12", "3.12.1.1", " 3.12", 2.7])
def test_what_is_no_version(value: Any) -> None:
    with pytest.raises(ValueError, match="not a version"):
        values.version(value)


@pytest.mark.parametrize("number", [3.1, 3.2])
def test_a_lost_zero_is_not_guessed(number: float) -> None:
    assert values.version(number) == number, "it stays a number, which is no text"
    assert values.version_hint(number).endswith(f'"{number}0"')
    assert values.version_hint("3.x") == values.version_hint(2.7) == ""


def test_a_version_that_a_command_sets_stays_text() -> None:
    for key in ("user_environment.python", "environments.gpu.python"):
        document = Document("environments: {gpu: {}}\n")
        document.set(key, value_for(key, "3.10"))
        assert document.get(key) == "3.10"
        assert validate(document) == []


@given(
    st.from_regex(r"[a-z][a-z0-9_]{0,29}", fullmatch=True).filter(lambda name: name not in values.RESERVED_NAMES)
)
def test_a_name_without_hyphens_is_good(name: str) -> None:
    assert values.name_fault(name) == ""


@given(st.text(max_size=40))
def test_a_good_name_can_be_a_folder_beside_its_number(name: str) -> None:
    if not values.name_fault(name):
        stem, _, number = f"{name}-7".rpartition("-")
        assert (stem, number) == (name, "7")
        assert len(name) <= 30
        assert not set(name) & set("/ .\n")


@pytest.mark.parametrize("name", ["gpu\n", "", "-a", "_a", "1a", "ä", "a b", "a.b", "a/b", None, 3, True])
def test_what_is_no_name(name: Any) -> None:
    assert values.name_fault(name).startswith("a name is lower-case letters")


@pytest.mark.parametrize("name", ["gpu-1x", "gpu-", "a-1-b", "hub-x", "users"])
def test_what_only_looks_like_a_folder_of_ours(name: str) -> None:
    assert values.name_fault(name) == ""
