"""The one way to fetch a URL: requests, with its retries, proxies, netrc and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

from tljh.engine.machine import redact
from tljh.errors import TljhError

if TYPE_CHECKING:
    from requests import Session

TIMEOUT = 30.0  # seconds without an answer
TRIES = 3


def fetch_text(url: str, *, whose: str) -> str:
    """The text behind an http or https URL.

    Args:
        whose: The flag or key that named it, for the error.

    Raises:
        TljhError: it could not be had; the message names the URL, without credentials, and the cause.
    """
    import requests

    _refuse_plain(url, whose)
    with _session() as session:
        try:
            answer = session.get(url, timeout=TIMEOUT)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise _not_fetched(url, error, whose) from error
    return answer.text


def blocks_of(url: str, *, whose: str) -> Iterator[bytes]:
    """What is behind an http or https URL, of any size, piece by piece.

    Args:
        whose: As for ``fetch_text``.

    Raises:
        TljhError: as for ``fetch_text``; also in the middle.
    """
    import requests

    _refuse_plain(url, whose)
    with _session() as session:
        try:
            with session.get(url, timeout=TIMEOUT, stream=True) as answer:
                answer.raise_for_status()
                yield from answer.iter_content(1 << 20)
        except requests.RequestException as error:
            raise _not_fetched(url, error, whose) from error


def _session() -> Session:
    from requests import Response, Session
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidURL
    from urllib3.util import Retry

    retries = Retry(TRIES, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))

    class Careful(Session):
        """Doesn't follow from https to where anybody on the way can change what comes."""

        def get_redirect_target(self, resp: Response) -> str | None:
            target: str | None = super().get_redirect_target(resp)
            if target and not is_safe(urljoin(resp.url, target)):
                raise InvalidURL(f"it leads to {without_credentials(target)}, which is not https")
            return target

    session = Careful()
    session.mount("http://", HTTPAdapter(max_retries=retries))
    session.mount("https://", HTTPAdapter(max_retries=retries))
    return session


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what comes: https, or a server on this machine."""
    parts = urlsplit(url)
    here = bool(re.fullmatch(r"localhost|::1|127(\.\d{1,3}){3}", parts.hostname or ""))
    return parts.scheme == "https" or (parts.scheme == "http" and here)


def _refuse_plain(url: str, whose: str) -> None:
    if not is_safe(url):
        raise TljhError(
            f"{without_credentials(url)} is not fetched: without https anybody on the way can change what comes",
            whose=whose,
            todo="give its https address, or fetch it yourself and give the path of the file",
        )


def _not_fetched(url: str, error: Exception, whose: str) -> TljhError:
    return TljhError(
        f"{without_credentials(url)} could not be fetched: {_cause(error)}",
        whose=whose,
        todo="check the address, the network and the proxy settings (https_proxy)",
    )


def without_credentials(url: str) -> str:
    """``url`` without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _cause(error: Exception) -> str:
    """The innermost reason, in its own words."""
    reason = error.args[0] if error.args else ""
    inner = getattr(reason, "reason", reason)
    return redact(str(inner)) or type(error).__name__
