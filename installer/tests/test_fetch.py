"""Fetching; the network is a fake."""

from __future__ import annotations

import io

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from tljh import fetch
from tljh.errors import TljhError

URL = "https://me:s3cr3t@host/requirements.txt"


def answer(monkeypatch: pytest.MonkeyPatch, result: bytes | Exception, status: int = 200) -> list[str]:
    """What ``requests`` is made to answer; returns the addresses that it is asked for."""
    asked: list[str] = []

    def get(session: requests.Session, url: str, timeout: float) -> requests.Response:
        asked.append(url)
        if isinstance(result, Exception):
            raise result
        found = requests.Response()
        found.status_code, found._content, found.url, found.reason = status, result, url, "Not Found"
        return found

    monkeypatch.setattr(requests.Session, "get", get)
    return asked


def failure(monkeypatch: pytest.MonkeyPatch, result: bytes | Exception, status: int = 200) -> str:
    answer(monkeypatch, result, status)
    with pytest.raises(TljhError) as caught:
        fetch.fetch_text(URL, whose="--user-requirements-txt-url")
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:s3cr3t@host:8443/x?a=b#c", "https://host:8443/x?a=b#c"),
        ("https://token@host/x", "https://host/x"),
        ("https://me:p@ss@host/x", "https://host/x"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_an_address_without_credentials(url: str, shown: str) -> None:
    assert fetch.without_credentials(url) == shown


@given(st.text("abcXYZ09!$&*+-_.~@", min_size=1, max_size=8))
def test_no_password_is_left_in_an_address(password: str) -> None:
    assert fetch.without_credentials(f"https://me:{password}@host/x") == "https://host/x"


def test_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, b"numpy\n")
    assert fetch.fetch_text(URL, whose="x") == "numpy\n"
    assert asked == [URL], "the server gets the credentials"


def test_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    said = failure(monkeypatch, b"", 404)
    assert said.startswith("--user-requirements-txt-url: https://host/requirements.txt could not be fetched: 404")
    assert said.endswith("→ check the address, the network and the proxy settings (https_proxy)")


def test_no_credentials_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cr3t" not in failure(monkeypatch, b"", 404)


def test_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib3.exceptions import MaxRetryError

    inner = MaxRetryError(None, "/requirements.txt", OSError("Name or service not known"))  # type: ignore[arg-type]
    said = failure(monkeypatch, requests.ConnectionError(inner))
    assert "https://host/requirements.txt could not be fetched: Name or service not known\n" in said


def test_an_error_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "could not be fetched: ReadTimeout\n" in failure(monkeypatch, requests.ReadTimeout())


# ---- of any size


def test_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed: list[bool] = []

    def get(session: requests.Session, url: str, timeout: float, stream: bool) -> requests.Response:
        streamed.append(stream)
        found = requests.Response()
        found.status_code, found.url, found.raw = 200, url, io.BytesIO(b"abc")
        return found

    monkeypatch.setattr(requests.Session, "get", get)
    assert b"".join(fetch.blocks_of(URL, whose="plugin a")) == b"abc"
    assert streamed == [True]


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(session: requests.Session, url: str, timeout: float, stream: bool) -> requests.Response:
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests.Session, "get", get)
    with pytest.raises(TljhError) as caught:
        list(fetch.blocks_of(URL, whose="plugin a"))
    assert str(caught.value) == (
        "plugin a: https://host/requirements.txt could not be fetched: no route to host\n"
        "  → check the address, the network and the proxy settings (https_proxy)"
    )


# ---- only where nobody on the way can change what comes


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://host/x", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://localhost/x", True),
        ("http://[::1]/x", True),
        ("http://host/x", False),
        ("http://127.evil.example/x", False),
        ("http://127.0.0.1.example/x", False),
        ("http://localhost.example/x", False),
        ("ftp://host/x", False),
        ("//host/x", False),
    ],
)
def test_what_is_safe(url: str, safe: bool) -> None:
    assert fetch.is_safe(url) is safe


def test_nothing_is_fetched_without_https(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, b"numpy")
    for get in (
        lambda url: fetch.fetch_text(url, whose="--lock"),
        lambda url: list(fetch.blocks_of(url, whose="--lock")),
    ):
        with pytest.raises(TljhError) as caught:
            get("http://me:s3cr3t@host/x")
        assert str(caught.value) == (
            "--lock: http://host/x is not fetched: without https anybody on the way can change what comes\n"
            "  → give its https address, or fetch it yourself and give the path of the file"
        )
    assert asked == []


def test_a_redirect_to_http_is_not_followed() -> None:
    moved = requests.Response()
    moved.status_code, moved.url, moved.headers["location"] = 302, URL, "http://elsewhere/x"
    with (
        fetch._session() as session,
        pytest.raises(requests.RequestException, match="http://elsewhere/x, which is not"),
    ):
        session.get_redirect_target(moved)
    moved.headers["location"] = "/another"
    with fetch._session() as session:
        assert session.get_redirect_target(moved) == "/another"
