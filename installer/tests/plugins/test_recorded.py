"""Reports as they are recorded with a generation."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record, from_record

FULL = PluginReport(
    name="a",
    distribution="tljh-a",
    version="1.0",
    hooks=("tljh_post_install",),
    contributions={"tljh_extra_apt_packages": ("x", "y"), "tljh_environments": ({"name": "gis"},)},
    problems=("p",),
    warnings=("w",),
    label="plugin a",
    ranks={"tljh_post_install": -1},
    wrappers=("tljh_new_user_create",),
    source="file",
    origin_path="/x.py",
    state="failed",
    resources=({"kind": "file", "path": "/x"},),
    stages=({"name": "s", "has": ["deploy"]},),
    commands=({"name": "c", "help": "h"},),
    settings={"properties": {}},
    values={"a": [1]},
    checks=({"name": "c", "fixable": True},),
    seconds={"": 0.1},
)


def test_all_of_a_report_comes_back() -> None:
    empty = PluginReport("", "", "")
    assert [
        field.name for field in fields(PluginReport) if getattr(FULL, field.name) == getattr(empty, field.name)
    ] == []
    assert from_record(json.loads(json.dumps(as_record(FULL)))) == FULL


def test_what_says_nothing_is_left_out() -> None:
    assert as_record(PluginReport("a", "tljh-a", "1.0")) == {
        "name": "a",
        "distribution": "tljh-a",
        "version": "1.0",
    }


def test_records_of_other_releases() -> None:
    assert from_record({"name": "a", "version": "1", "of a newer one": 3}) == PluginReport("a", "", "1")


@given(st.dictionaries(st.text(), st.lists(st.text())), st.lists(st.text()))
def test_it_is_the_inverse(contributions: dict[str, Any], problems: list[str]) -> None:
    report = PluginReport(
        "a", "b", "c", contributions={k: tuple(v) for k, v in contributions.items()}, problems=tuple(problems)
    )
    assert from_record(json.loads(json.dumps(as_record(report)))) == report
