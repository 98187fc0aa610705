"""requirements-hub.lock: read, compared with what the hub environment is asked to hold, and written."""

from __future__ import annotations

import pytest
from tljh.errors import TljhError
from tljh.resources.locks.hub_lock import HubLock, parse, text_of
from tljh.resources.locks.lock import Lock, Requested

TEXT = """\
# a comment
--index-url https://index.example.org/simple
jupyterhub==6.1.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Tornado==6.5 --hash=sha256:cc

gitty @ git+https://host/gitty@0123
"""


def test_what_it_says() -> None:
    lock = parse(TEXT, "/root/r.lock")
    assert lock.pins == {"jupyterhub": "==6.1.1", "tornado": "==6.5", "gitty": "@ git+https://host/gitty@0123"}
    assert lock.lines["jupyterhub"] == "jupyterhub==6.1.1 --hash=sha256:aa --hash=sha256:bb"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a==1 --hash=sha256:aa\nb>=2 --hash=sha256:aa\n", "r.lock line 2: 'b>=2' is not name==version"),
        ("# x\na==1 \\\n  --hash=md5:aa\n", "r.lock line 2: a has no sha256; it can be tampered with unseen"),
        ("a==1\n", "r.lock line 1: a has no sha256"),
        ("https://host/x.whl\n", "r.lock line 1: 'https://host/x.whl' is not name==version"),
        ("# nothing\n", "r.lock: there is no package in it"),
    ],
)
def test_one_that_cannot_be_trusted(text: str, words: str) -> None:
    with pytest.raises(TljhError) as caught:
        parse(text, "r.lock")
    assert words in str(caught.value)
    assert str(caught.value).endswith("nothing was changed")


def test_what_agrees() -> None:
    lock = parse(TEXT, "r.lock")
    assert lock.agrees_with({"jupyterhub": "==6.1.1"})
    assert lock.agrees_with(
        {"jupyterhub": "==6.1.1", "tljh-x": "@ file:///opt/x.whl", "the-littlest-jupyterhub": "==9"}
    )
    assert not lock.agrees_with({"jupyterhub": "==6.1.2"})
    assert not lock.agrees_with({"other": "==1"})


def test_a_resolve_gets_its_hashes() -> None:
    lines = (
        "--index-url https://i",
        "jupyterhub==6.1.1",
        "tljh-x @ file:///opt/x.whl",
        "the-littlest-jupyterhub==9",
    )
    applied = parse(TEXT, "r.lock").applied(Lock((), lines))
    assert applied.lines == (lines[0], "jupyterhub==6.1.1 --hash=sha256:aa --hash=sha256:bb", *lines[2:])


def test_a_resolve_that_comes_to_something_else() -> None:
    asked = (Requested("jupyterhub>=6.2", "core"), Requested("tljh-y", "--plugin"))
    with pytest.raises(TljhError) as caught:
        parse(TEXT, "r.lock").applied(Lock(asked, ("jupyterhub==6.2", "tljh-y==1.0", "tornado==6.5", "dep==3")))
    said = str(caught.value)
    assert "jupyterhub 6.2, the lock has 6.1.1 (core asks for jupyterhub>=6.2)" in said
    assert "tljh-y 1.0, which is not in it (--plugin asks for tljh-y)" in said
    assert "dep 3, which is not in it" in said and "tornado" not in said
    assert said.startswith("r.lock: ") and "tljh lock --upgrade" in said


def test_what_is_written_is_what_is_read() -> None:
    lines = ["a==1 --hash=sha256:aa --hash=sha256:bb", "c @ https://h/c.whl --hash=sha256:dd"]
    text = text_of(lines, {"tljh-x": "0.1"})
    assert "# not in it, because it is no package of an index: tljh-x 0.1\n" in text
    assert "a==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n" in text
    assert parse(text, "p") == HubLock("p", {"a": lines[0], "c": lines[1]})
