"""A change is checked before it is written, and what was wrong before doesn't stand in its way."""

from __future__ import annotations

from pathlib import Path

import pytest
from tljh.errors import TljhError
from tljh.settings.change import add_items, change, parse_value, reload_command, value_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("none", None),
        ("None", None),
        (None, None),
        ("12", 12),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("true", True),
        ("FALSE", False),
        ("1G", "1G"),
        ("-1", "-1"),
        ("", ""),
        ("1.2.3", "1.2.3"),
    ],
)
def test_words_are_read_as_tljh_reads_them(word: str | None, value: object) -> None:
    parsed = parse_value(word)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("key", "word", "value"),
    [
        ("users.admin", "1234", "1234"),
        ("users.admin", "none", "none"),
        ("users.extra_user_groups.lab", "1234", "1234"),
        ("traefik_api.password", "1234", "1234"),
        ("https.tls.cert", "none", None),
        ("limits.memory", "1234", 1234),
        ("auth.Foo.port", "1234", 1234),
        ("quota.size", "true", True),
    ],
)
def test_where_text_is_wanted_digits_stay_text(key: str, word: str, value: object) -> None:
    assert value_for(key, word) == value


def test_a_wrong_change_is_refused_and_nothing_is_written(path: Path) -> None:
    path.write_text("# mine\n")
    with pytest.raises(
        TljhError, match=r"config.yaml: there is no setting limits.memroy; did you mean limits.memory"
    ):
        change(path, lambda document: document.set("limits.memroy", "1G"))
    assert path.read_text() == "# mine\n"


def test_without_validation_anything_is_written(path: Path) -> None:
    change(path, lambda document: document.set("limits.memroy", "1G"), validate=False)
    assert path.read_text() == "limits:\n  memroy: 1G\n"


def test_one_of_two_errors_can_be_mended(path: Path) -> None:
    path.write_text("http:\n  port: x\nlimits:\n  cpu: y\n")
    warnings = change(path, lambda document: document.set("limits.cpu", 2))
    assert warnings == ['config.yaml line 2: http.port is the text "x"; expected a port number from 1 to 65535']
    assert change(path, lambda document: document.unset("http.port")) == []


def test_an_unknown_key_at_the_top_is_written_and_doubted(path: Path) -> None:
    (warning,) = change(path, lambda document: document.set("limit.cpu", 2))
    assert "did you mean limits?" in warning
    assert change(path, lambda document: document.set("quota.default", "1G")) == []


def test_add_items_adds_and_never_replaces(path: Path) -> None:
    path.write_text("users:\n  admin:\n  - alice  # since 2019\n")
    assert add_items(path, "users.admin", ["bob", "alice", "bob"]) == ["bob"]
    assert path.read_text() == "users:\n  admin:\n  - alice  # since 2019\n  - bob\n"
    before = path.stat().st_ino
    assert add_items(path, "users.admin", ["alice"]) == []
    assert path.stat().st_ino == before


def test_which_reload_a_key_needs() -> None:
    assert reload_command("https.tls.cert") == "tljh-config reload proxy"
    assert reload_command("limits.cpu") == "tljh-config reload"
    assert reload_command("traefik_api.port") == "tljh-config reload proxy; tljh-config reload"
