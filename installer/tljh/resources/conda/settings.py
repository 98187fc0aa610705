"""What conda users set on a machine, as rattler and requests take it: channels, proxies, credentials, CAs.

How it is read is in ``reader``. Facts about py-rattler 0.28, found with small servers on loopback:

- ``Config`` takes ``[proxy-config]`` (``http``, ``https``, ``non-proxy-hosts``: hosts, domains, networks, ``*``,
  but no ports), ``[mirrors]``, ``tls-no-verify`` and ``authentication-override-file``. With one proxy there, the
  proxy variables of the environment are not looked at. SOCKS proxies are refused. ``tls-root-certs`` does nothing.
- Certificates come from ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else from the system's store, and nowhere else: not
  from ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE`` or certifi. Without any, not even a ``file://`` channel is read.
- Credentials in a channel's URL, and tokens (``/t/TOKEN/``), work, but are then written into ``conda-meta`` and
  the cache, which all users can read. With an authentication file they are not: so URLs are clean here.
- rattler reads ``~/.netrc`` itself, but nothing of it where it has a comment, no ``default`` entry and no quotes.
  With an authentication file it reads neither netrc nor its own store. That file's entries are for host names.
- Credentials are looked up for the channel's host even where a mirror is asked: they would go to the mirror. Those
  in a mirror's URL are not sent. A mirror that can't be reached is left for the next one, but only by a retry; one
  that answers 404 is not. A mirror can't be a ``file://`` URL.
- The client's ``timeout`` is for a whole request, download included, so it can't tell a connection that stands
  still from a large package. Without one, a silent server is waited for without end.
- ``VirtualPackageOverrides.from_env()`` has ``CONDA_OVERRIDE_CUDA``, ``_GLIBC``, ``_LINUX`` and ``_ARCHSPEC``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tljh.engine.machine import redact
from tljh.errors import TljhError
from tljh.fetch import without_credentials

if TYPE_CHECKING:
    import requests

ALIAS = "https://conda.anaconda.org"
DEFAULTS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
ANSWER_TIMEOUT = 5.0  # seconds
# no proxy leads to this machine
LOOPBACK = ("localhost", "127.0.0.0/8", "::1")

_SUBDIR = re.compile(r"/(noarch|(linux|osx|win|zos|emscripten|wasi)-[a-z0-9]+)$")
_TOKEN = re.compile(r"^(https?://[^/]+)/t/([^/]+)(?=/|$)")


@dataclass(frozen=True)
class CondaSettings:
    """What is set for conda on a machine.

    Attributes:
        channels: Names and URLs to be used where nobody else names a channel; empty where none are set.
        channel_alias: What the name of a channel is put behind.
        custom_channels: Names of channels, each with the URL that it is put behind instead.
        multichannels: Names that stand for several channels, ``defaults`` among them.
        migrated: URLs, each with the one that is used instead of it.
        allowed: Channels of ``allowlist_channels``, as URLs; empty means all.
        denied: Channels of ``denylist_channels``, as URLs.
        mirrors: URLs of channels, each with those that are asked instead (mamba's ``mirrored_channels``).
        proxies: ``http`` and ``https``, each with the URL of the proxy for such URLs.
        direct: Hosts, domains and networks that are reached without a proxy.
        verify: Whether the certificates of servers are verified.
        certificates: The file or folder with the CAs that are trusted; empty means those that come with requests.
        connect_timeout: Seconds for a connection to be made.
        read_timeout: Seconds without a byte after which a connection is given up.
        retries: How often a request is made again.
        offline: Where it is said that no network is to be used; empty where it may be. ``answer_of`` follows it,
            rattler knows no such setting.
        virtual_packages: Versions of virtual packages that win over what is found: ``CUDA`` → ``12.4``.
        logins: Of ``.netrc``: hosts, each with user and password; the host ``*`` is its ``default`` entry.
        stored: Of rattler's own store: hosts, each with an entry in its format.
        notes: What is set and can't be followed, a sentence each.
    """

    channels: tuple[str, ...] = ()
    channel_alias: str = ALIAS
    custom_channels: Mapping[str, str] = field(default_factory=dict)
    multichannels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"defaults": DEFAULTS})
    migrated: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    direct: tuple[str, ...] = LOOPBACK
    verify: bool = True
    certificates: str = ""
    connect_timeout: float = 9.15
    read_timeout: float = 60.0
    retries: int = 3
    offline: str = ""
    virtual_packages: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    stored: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    # ---- channels

    def channel_url(self, name: str) -> str:
        """The URL of a channel, without credentials: what locks, environments and messages may hold.

        Args:
            name: A name, also with a label (``conda-forge/label/dev``), a URL or a full path.

        Raises:
            TljhError: the name stands for several channels, is no name, or the channel may not be used.
        """
        urls = self.channel_urls([name])
        if len(urls) != 1:
            raise TljhError(f"{name} stands for several channels: {', '.join(urls)}", todo="name one of them")
        return urls[0]

    def channel_urls(self, names: Iterable[str]) -> tuple[str, ...]:
        """The URLs of channels in their order, each once, without credentials; see ``channel_url``.

        Raises:
            TljhError: one is no channel, or may not be used.
        """
        urls = dict.fromkeys(public(url) for name in names for url in self.full_urls(name))
        for url in urls:
            if any(is_below(url, one) for one in self.denied):
                fault = "denylist_channels has it"
            elif self.allowed and not any(is_below(url, one) for one in self.allowed):
                fault = "allowlist_channels does not have it"
            else:
                continue
            raise TljhError(f"the channel {url} may not be used: {fault}", whose=".condarc")
        return tuple(urls)

    def full_urls(self, name: str) -> tuple[str, ...]:
        """The URLs of a channel with their credentials: for requests only, never to be shown or written.

        Raises:
            TljhError: it is no channel.
        """
        bare = _SUBDIR.sub("", name.strip().rstrip("/"))
        if bare in self.multichannels:
            return tuple(self._full_url(part) for part in self.multichannels[bare])
        return (self._full_url(bare),)

    def _full_url(self, name: str) -> str:
        if name.startswith("/"):
            return Path(name).as_uri()
        if not name or re.search(r"\s", name) or name.startswith((".", "~")):
            raise TljhError(f'"{name}" is no channel', todo="give a name, a URL or a full path")
        if "://" in name:
            old = next((old for old in self.migrated if is_below(name, old)), "")
            return f"{self.migrated[old]}{name[len(old) :]}" if old else name
        stem = name.strip("/")
        while stem and stem not in self.custom_channels:
            stem = stem.rpartition("/")[0]
        return f"{self.custom_channels.get(stem, self.channel_alias)}/{name.strip('/')}"

    def asked_instead(self, url: str) -> tuple[str, ...]:
        """The URLs that are really asked for something of a channel: those of its mirrors, else ``url`` itself."""
        for channel in sorted(self.mirrors, key=len, reverse=True):
            if is_below(public(url), channel):
                rest = public(url)[len(channel) :]
                return tuple(f"{mirror}{rest}" for mirror in self.mirrors[channel])
        return (url,)

    # ---- for rattler

    def rattler_config(self, authentication_file: Path | None = None) -> str:
        """The text for ``rattler.Config.from_toml``. It may hold the password of a proxy.

        Args:
            authentication_file: Where the text of ``authentication`` was written, with mode 0600.
        """
        import toml

        values: dict[str, Any] = {} if self.verify else {"tls-no-verify": True}
        if authentication_file:
            values["authentication-override-file"] = str(authentication_file)
        if self.proxies:
            values["proxy-config"] = {**self.proxies, "non-proxy-hosts": list(self.direct)}
        if self.mirrors:
            # with a slash at the end: nothing but this channel begins like that
            values["mirrors"] = {f"{url}/": [f"{one}/" for one in urls] for url, urls in self.mirrors.items()}
        return str(toml.dumps(values))

    def environment(self) -> dict[str, str]:
        """The variables that the process in which rattler runs must have besides those that there are."""
        import certifi

        path = self.certificates or certifi.where()
        found = {"SSL_CERT_DIR" if Path(path).is_dir() else "SSL_CERT_FILE": path}
        if not self.proxies:
            # the environment may have one that rattler can't use
            found |= {"NO_PROXY": "*", "no_proxy": "*"}
        return found | {f"CONDA_OVERRIDE_{name}": version for name, version in self.virtual_packages.items()}

    def authentication(self, channels: Iterable[str]) -> str:
        """The text of rattler's authentication file for these channels; empty where none is needed.

        With the file, rattler uses it alone; so it has what rattler's own store has too. Credentials are for one
        host: where the channels of a host are really asked for on several, by mirrors, none of them gets any.

        Args:
            channels: Names and URLs as they were given, with their credentials, or URLs of packages.

        Raises:
            TljhError: two channels on one host have different credentials.
        """
        asked: dict[str, list[str]] = {}
        for url in (url for name in channels for url in self.full_urls(name)):
            if url.startswith("http"):
                asked.setdefault(urlsplit(url).hostname or "", []).extend(self.asked_instead(url))
        found = {host: entry for host, urls in asked.items() if (entry := self._entry(host, urls))}
        if not found and not self.logins and not self.mirrors:
            return ""
        return json.dumps({**self.stored, **found})

    def _entry(self, host: str, asked: Sequence[str]) -> dict[str, Any] | None:
        """What rattler is to know about a host of which these URLs are asked, or those of mirrors instead."""
        if len({urlsplit(url).hostname for url in asked}) > 1:
            return None
        own: dict[str, Any] = {}
        for url in asked:
            token = (
                _TOKEN.match(url) if urlsplit(url).hostname == host else None
            )  # that of a mirror stays where it is
            if token:
                own[public(url)] = {"CondaToken": token[2]}
            elif "@" in urlsplit(url).netloc:
                own[public(url)] = _basic(self.login(url))
        if len({str(entry) for entry in own.values()}) > 1:
            raise TljhError(
                f"the channels {' and '.join(own)} are on one host, with different credentials",
                todo="give all the same: a host can have one user or token only",
            )
        return next(iter(own.values()), None) or _basic(next(map(self.login, asked), None))

    def login(self, url: str) -> tuple[str, str] | None:
        """User and password for a URL: its own, else those of netrc for its host."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            return None
        if parts.username or parts.password:
            return unquote(parts.username or ""), unquote(parts.password or "")
        return self.logins.get(parts.hostname or "") or self.logins.get("*")


def public(url: str) -> str:
    """A URL without user, password and token (``/t/TOKEN``)."""
    return _TOKEN.sub(r"\1", without_credentials(url))


def _basic(login: tuple[str, str] | None) -> dict[str, Any] | None:
    return {"BasicHTTP": {"username": login[0], "password": login[1]}} if login else None


def is_below(url: str, base: str) -> bool:
    """Whether a URL is ``base`` or something in it."""
    return url == base or url.startswith(f"{base}/")


# ---- does it answer?


def answer_of(channel: str, settings: CondaSettings, timeout: float = ANSWER_TIMEOUT) -> str:
    """Why a channel can't be used now; empty if it answers: then its index for any platform or this one is there.

    Args:
        channel: A name or URL as it was given, with its credentials.
        settings: Proxies, certificates, mirrors and credentials.
        timeout: Seconds for all of it, looking up the host included.

    Returns:
        The cause, with the URL where it is that of a mirror or of one of several channels.

    Raises:
        TljhError: it is no channel, or may not be used.
    """
    import threading

    urls = settings.channel_urls([channel])
    found: list[str | Exception] = []

    def ask() -> None:
        try:
            causes = (
                f"{public(url)}: {cause}" if len(urls) > 1 else cause
                for url in settings.full_urls(channel)
                if (cause := _answer_of(url, settings, timeout))
            )
            found.append(next(causes, ""))
        except Exception as error:
            found.append(error)

    # nothing ends a look-up of a host that gets no answer, so it is left behind
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    answer = found[0] if found else f"no answer within {timeout:g} seconds"
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer_of(url: str, settings: CondaSettings, timeout: float) -> str:
    if url.startswith("file://"):
        folder = Path(unquote(urlsplit(url).path))
        there = any((folder / name).is_file() for name in _indexes())
        return "" if there else f"there is no {_indexes()[0]} in {folder}"
    if settings.offline:
        return f"no network is to be used (offline in {settings.offline})"
    causes = []
    for asked in settings.asked_instead(url):
        cause = _http_answer(asked, settings, timeout)
        if not cause:
            return ""
        causes.append(cause if asked == url else f"{public(asked)}: {cause}")
    return "; ".join(causes)


def _indexes() -> list[str]:
    """The files of which a channel has one at least."""
    import platform

    subdir = "linux-aarch64" if platform.machine() == "aarch64" else "linux-64"
    return [f"{each}/{name}" for each in ("noarch", subdir) for name in ("repodata.json", "repodata.json.zst")]


def _http_answer(url: str, settings: CondaSettings, timeout: float) -> str:
    """What is wrong with a channel; empty if it has an index."""
    import warnings

    import requests
    from urllib3.exceptions import InsecureRequestWarning

    status = ""
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)  # the settings' notes tell it
        session.trust_env = False  # all that it would look for is in the settings
        for name in _indexes():
            try:
                with _get(session, f"{url}/{name}", settings, timeout) as answer:
                    if answer.ok and "text/html" not in answer.headers.get("Content-Type", ""):
                        return ""
                    status = f"{answer.status_code} {answer.reason}" if not answer.ok else "it is a web page"
                    if answer.status_code in (401, 403) and urlsplit(url).hostname in settings.stored:
                        return ""  # rattler has credentials that requests does not know
            except requests.RequestException as error:
                return _cause(error, timeout)
            if not status.startswith("404"):
                return status
    return f"there is no channel ({status})"


def _get(session: requests.Session, url: str, settings: CondaSettings, timeout: float) -> requests.Response:
    import requests

    direct = requests.utils.should_bypass_proxies(url, ",".join(settings.direct))
    return session.get(
        url,
        auth=settings.login(url),
        proxies={} if direct else dict(settings.proxies),
        verify=(settings.certificates or True) if settings.verify else False,
        timeout=timeout,
        stream=True,
    )


def _cause(error: Exception, timeout: float) -> str:
    """Why a request failed, in words."""
    import requests

    inner = list(_inner(error))
    words = redact(str(getattr(inner[-1], "strerror", "") or inner[-1])) or type(inner[-1]).__name__
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {timeout:g} seconds"
    if isinstance(error, requests.exceptions.SSLError):
        reason = getattr(inner[-1], "verify_message", "") or words
        return f"its certificate is not trusted ({reason}); name its CA with ssl_verify in .condarc"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy can't be used: {words}"
    return words


def _inner(error: Any) -> Iterator[Any]:
    """An error and those that it was made of, the innermost last."""
    while isinstance(error, BaseException):
        yield error
        below = getattr(error, "reason", None)
        parts = [below, *error.args, error.__cause__, error.__context__]
        error = next((part for part in parts if isinstance(part, BaseException) and part is not error), None)
