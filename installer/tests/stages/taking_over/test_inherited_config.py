"""A config.yaml of TLJH's that ours would refuse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tljh.plugins.values import ABSENT
from tljh.resources.predecessor import Predecessor
from tljh.settings.document import Document
from tljh.settings.validation import check
from tljh.stages.taking_over import inherited_config as module


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("http:\n  port: '8080'\n", "http.port", 8080),
        ("https:\n  enabled: 'yes'\n", "https.enabled", True),
        ("users:\n  admin: ann\n", "users.admin", ["ann"]),
        ("users:\n  admin: ann, bob\n", "users.admin", ["ann", "bob"]),
        ("users:\n  allowed:\n  - 1234\n", "users.allowed", ["1234"]),
        ("services:\n  cull:\n    timeout: 600.0\n", "services.cull.timeout", 600),
        ("auth:\n  typ: x\n", "auth.typ", ABSENT),
        ("limits:\n  memory: lots\n", "limits.memory", ABSENT),
    ],
)
def test_what_it_says_is_kept_as_far_as_possible(text: str, key: str, value: object) -> None:
    settings, said = module.mended(f"# mine\n{text}", "config.yaml")
    assert [(".".join(row.path), row.value) for row in settings] == [(key, value)]
    assert said[0].startswith("config.yaml line "), "each is told with its place"
    assert said[0].endswith("left out" if value is ABSENT else said[0].rpartition("; ")[2])
    document = Document(f"# mine\n{text}")
    module.inherit(document, settings)
    check(document)
    assert document.dumps().startswith("# mine\n")


def test_what_is_right_stays(tmp_path: Path) -> None:
    assert module.mended("limits:\n  memory: 1G\nmine: 1\n", "config.yaml") == ([], [])
    assert module.mended("a: [\n", "config.yaml") == ([], []), "no YAML: told by whoever reads it"


def allowed(version: str, text: str) -> tuple[list[Any], list[str]]:
    before = cast("Predecessor", SimpleNamespace(versions={"jupyterhub": version}))
    return module.keep_who_may_come(before, Document(text))


def test_those_who_came_with_jupyterhub_4_may_come() -> None:
    settings, said = allowed("4.1.6", "auth:\n  type: github\n")
    assert [(row.path, row.value) for row in settings] == [
        (("auth", "Authenticator", "allow_existing_users"), True)
    ]
    assert "tljh-config set auth.Authenticator.allow_all true" in said[0]


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("5.2.1", "auth:\n  type: github\n"),
        ("4.1.6", ""),
        ("4.1.6", "auth:\n  type: firstuseauthenticator.FirstUseAuthenticator\n"),
        ("4.1.6", "auth:\n  type: github\nusers:\n  allowed: [ann]\n"),
        ("4.1.6", "auth:\n  type: github\n  OAuthenticator:\n    allow_all: true\n"),
    ],
)
def test_nobody_else_is_let_in(version: str, text: str) -> None:
    assert allowed(version, text) == ([], [])
