"""What plugins may state, what is wrong with what they must not, and the data that comes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tljh.declare import (
    KINDS,
    Account,
    Declared,
    Download,
    File,
    Folder,
    Group,
    HealthCheck,
    HubService,
    Link,
    Timer,
    Unit,
)

SHA = "ab" * 32
INSTALLABLE = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
EXAMPLES: list[tuple[Declared, dict[str, Any]]] = [
    (
        File(path="/etc/x.conf", content="a\n"),
        {"kind": "file", "path": "/etc/x.conf", "content": "a\n", "mode": "0644", "owner": "root:root"},
    ),
    (
        Folder(path="/srv/x", mode="2775", owner="ana"),
        {"kind": "folder", "path": "/srv/x", "mode": "2775", "owner": "ana:ana"},
    ),
    (Link(path="/srv/y", target="x"), {"kind": "link", "path": "/srv/y", "target": "x"}),
    (Group(name="graders"), {"kind": "group", "name": "graders"}),
    (
        Account(name="grader", groups=["graders"]),
        {
            "kind": "account",
            "name": "grader",
            "groups": ["graders"],
            "home": None,
            "shell": "/usr/sbin/nologin",
            "system": True,
        },
    ),
    (
        Unit(name="x", text=INSTALLABLE),
        {"kind": "unit", "name": "x.service", "text": INSTALLABLE, "enabled": True, "started": True},
    ),
    (
        Timer(name="nightly", command=["/usr/bin/env", "true"], calendar="daily"),
        {
            "kind": "timer",
            "name": "nightly",
            "command": ["/usr/bin/env", "true"],
            "calendar": "daily",
            "user": "root",
        },
    ),
    (
        Download(path="/srv/z", url="https://example.org/z", sha256=SHA.upper()),
        {
            "kind": "download",
            "path": "/srv/z",
            "url": "https://example.org/z",
            "sha256": SHA,
            "mode": "0644",
            "owner": "root:root",
        },
    ),
]


@pytest.mark.parametrize(("declared", "said"), EXAMPLES, ids=lambda value: getattr(value, "kind", ""))
def test_as_data(declared: Declared, said: dict[str, Any]) -> None:
    assert declared.as_dict() == said
    assert json.loads(json.dumps(said)) == said


def test_every_kind_has_an_example() -> None:
    assert {declared.kind for declared, _ in EXAMPLES} | {"hub service"} == set(KINDS)


def test_a_hub_service() -> None:
    said = HubService(name="announce", command=["/bin/announce"], scopes=["read:users"]).as_dict()
    assert (said["kind"], said["name"], said["command"]) == ("hub service", "announce", ["/bin/announce"])
    assert said["scopes"] == ["read:users"]
    assert said["api_token"] is None


def test_a_token_is_not_shown() -> None:
    service = HubService(name="outside", api_token="s3cr3t", admin=True)
    assert "s3cr3t" not in repr(service)
    assert service.as_dict()["api_token"] == "s3cr3t"


def test_bytes_that_are_no_text() -> None:
    assert File(path="/x/y", content=b"\xff").as_dict()["content"] == {"base64": "/w=="}
    assert File(path="/x/y", content=b"plain").as_dict()["content"] == "plain"


def test_paths_are_made_plain() -> None:
    assert File(path=Path("/etc/x"), content="").path == "/etc/x"
    assert Folder(path="/srv//./x/").path == "/srv/x"
    assert File(path="/x", content="", mode="644").mode == "0644"


def test_what_is_stated_stays() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Group(name="a").name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (File, {"path": "etc/x", "content": ""}, "must be an absolute path, not 'etc/x'"),
        (File, {"path": "/etc/../x", "content": ""}, "must not contain '..', as '/etc/../x' does"),
        (Folder, {"path": "/"}, "must be the path of a file or folder, not '/'"),
        (File, {"path": "/x\ny", "content": ""}, "must be the path of a file or folder"),
        (File, {"path": "/x", "content": "", "mode": "u+x"}, 'must be octal digits in a text, such as "0644"'),
        (File, {"path": "/x", "content": "", "mode": 0o644}, "Input should be a valid string"),
        (File, {"path": "/x", "content": "", "owner": ":x"}, "must be an account, or an account and a group"),
        (File, {"path": "/x", "content": "", "modes": "0644"}, "modes\n  Extra inputs are not permitted"),
        (Link, {"path": "/x", "target": ""}, "target\n  Value should have at least 1"),
        (Group, {"name": "Bad Name"}, "must be small letters, digits, - and _"),
        (Unit, {"name": "a b", "text": "x"}, "must be the name of a unit, such as 'example.service'"),
        (Unit, {"name": "../x", "text": "x"}, "must be the name of a unit"),
        (
            Unit,
            {"name": "x", "text": "[Service]\n"},
            r"x.service can't be enabled without an \[Install\] section: add one",
        ),
        (Unit, {"name": "x@.service", "text": INSTALLABLE}, "is a template, which can't be started"),
        (Timer, {"name": "x", "command": ["true"], "calendar": "daily"}, "must begin with an absolute path"),
        (Timer, {"name": "x", "command": [], "calendar": "daily"}, "at least 1 item"),
        (Timer, {"name": "x", "command": ["/b"], "calendar": "daily\nUser=x"}, "should match pattern"),
        (HubService, {"name": "x"}, "the hub service x needs a command that the hub starts, or the api_token"),
        (HubService, {"name": "x", "api_token": "t"}, "the hub service x may do nothing: give it scopes"),
        (HubService, {"name": "x/", "command": ["a"]}, "should match pattern"),
        (Download, {"path": "/x", "url": "http://h/x", "sha256": SHA}, "should match pattern"),
        (Download, {"path": "/x", "url": "https://h/x", "sha256": "12"}, "should match pattern"),
    ],
)
def test_what_is_refused(kind: type[Declared], values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind(**values)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (True, ""),
        (None, ""),
        ("", ""),
        ("the disk is full", "the disk is full"),
        (False, "this is not so: there is room"),
    ],
)
def test_a_health_check(answer: bool | str | None, problem: str) -> None:
    assert HealthCheck("disk", "there is room", lambda: answer).problem() == problem


# ---- the documentation

PAGE = Path(__file__).parents[2] / "docs/plugins/resources.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks(), ids=range(len(blocks())))
def test_what_the_documentation_shows_works(block: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    if "tljh_resources" in names:
        declared = list(names["tljh_resources"]({}))
        assert declared
        assert all(isinstance(item, Declared) and item.as_dict() for item in declared)
    else:
        assert [check.problem() for check in names["tljh_health_checks"]()] == [""]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.kind)
def test_every_key_is_documented(kind: type[Declared]) -> None:
    text = PAGE.read_text()
    section = text.split(f"\n### {kind.__name__}\n", 1)[1].split("\n## ")[0].split("\n### ")[0]
    missing = [name for name in kind.model_fields if f"`{name}`" not in section]
    assert not missing, f"docs/plugins/resources.md does not tell {missing} of {kind.__name__}"
