from __future__ import annotations

import datetime
import itertools
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tljh.plugins.values import ABSENT, WrongValue, environments, leaves, lenient, plain, same, shown, texts


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (None, ()),
        ([], ()),
        (["b", "a", "b"], ("b", "a", "b")),
        (("a",), ("a",)),
        ((x for x in "ab"), ("a", "b")),
        ({"b", "a"}, ("a", "b")),
        ({"a": 1}.keys(), ("a",)),
    ],
)
def test_lists_of_texts(returned: object, expected: tuple[str, ...]) -> None:
    assert texts(returned) == expected


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("numpy", "returned the text 'numpy' instead of a list of texts"),
        (b"numpy", "returned the text b'numpy' instead of a list of texts"),
        ({"numpy": 1}, "returned a mapping ({'numpy': 1}) instead of a list of texts"),
        (5, "returned 5 instead of a list of texts"),
        (["a", 5], "returned a list with 5 in it, which is not a text"),
        (["a", Path("b")], "returned a list with PosixPath('b') (PosixPath) in it, which is not a text"),
        (["a", " "], "returned a list with an empty text in it"),
        (itertools.repeat("a"), "returned more than 10000 items"),
    ],
)
def test_anything_else_is_refused(returned: object, words: str) -> None:
    with pytest.raises(WrongValue) as error:
        texts(returned)
    assert str(error.value) == words


def test_environments_with_their_defaults() -> None:
    assert environments(None) == environments({}) == []
    assert environments({"b": {"python": 3.12, "packages": {"pip": ("numpy",)}}, "a": None}) == [
        {
            "name": "a",
            "title": "a",
            "python": "",
            "channels": [],
            "file": "",
            "packages": {"conda": [], "pip": []},
        },
        {
            "name": "b",
            "title": "b",
            "python": "3.12",
            "channels": [],
            "file": "",
            "packages": {"conda": [], "pip": ["numpy"]},
        },
    ]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (["gis"], "returned ['gis'] instead of a mapping of names"),
        (
            {"gis": Path("e.yml")},
            "returned a mapping with PosixPath('e.yml') (PosixPath), which config.yaml can't hold",
        ),
        (
            {"GIS": {}},
            'returned what can\'t be used: no environment can be called "GIS": a name is lower-case letters, '
            "digits, - and _, and begins with a letter",
        ),
        (
            {5: {}},
            'returned what can\'t be used: no environment can be called "5": a name is lower-case letters, '
            "digits, - and _, and begins with a letter",
        ),
        (
            {"hub": {}},
            'returned what can\'t be used: no environment can be called "hub": hub, user and base are taken',
        ),
        (
            {"gis": {"pyton": "3.12"}},
            "returned what can't be used: there is no setting environments.gis.pyton; "
            "did you mean environments.gis.python?",
        ),
        (
            {"gis": ["numpy"], "x": {"python": "2"}},
            "returned what can't be used: environments.gis is a list; expected a mapping; "
            'environments.x.python is the text "2"; expected text like "3.12"',
        ),
        (
            {"gis": {"packages": {"pip": [5]}}},
            "returned what can't be used: item 1 of environments.gis.packages.pip is the number 5; "
            "environments.gis.packages.pip is expected to be a list of requirements, as pip takes them "
            '(write "5" in quotes)',
        ),
    ],
)
def test_environments_that_cannot_be_used(returned: object, words: str) -> None:
    with pytest.raises(WrongValue) as error:
        environments(returned)
    assert str(error.value) == words


def test_a_value_that_cannot_be_shown() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    assert shown(Odd()) == "(Odd)"
    assert shown("x" * 100).endswith("…")


def test_plain_values_of_yaml() -> None:
    config = YAML().load("a: &x true\nb: 0x1F\nc: 1.50\nd: 'text'\ne: [1, {f: ~}]\n")
    assert plain(config) == {"a": True, "b": 31, "c": 1.5, "d": "text", "e": [1, {"f": None}]}
    assert type(plain(config)["a"]) is bool
    assert type(plain(config)["d"]) is str


def test_what_the_file_cannot_hold() -> None:
    with pytest.raises(WrongValue, match=r"which config\.yaml can't hold"):
        plain({"a": Path("b")})
    today = datetime.date(2024, 1, 1)
    assert lenient(today) is today


def test_values_are_the_same_when_written_alike() -> None:
    assert same({"a": [1]}, {"a": [1]})
    assert not same(1, True)
    assert not same(None, ABSENT)
    assert same(ABSENT, ABSENT)


def test_leaves() -> None:
    assert leaves({"a": {"b": 1, "c": {}}, "d": [{"e": 2}]}) == {
        ("a", "b"): 1,
        ("a", "c"): {},
        ("d",): [{"e": 2}],
    }
