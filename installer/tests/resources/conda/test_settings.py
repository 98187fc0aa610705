"""Channels, proxies, credentials and certificates, as rattler and requests get them; the network is a fake."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
import toml
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from tljh.errors import TljhError
from tljh.resources.conda.settings import CondaSettings, answer_of, is_below, public

FORGE = "https://conda.anaconda.org/conda-forge"


# ---- channels


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("conda-forge", FORGE),
        ("conda-forge/", FORGE),
        ("conda-forge/label/dev", f"{FORGE}/label/dev"),
        ("conda-forge/linux-64", FORGE),
        ("https://host/c/", "https://host/c"),
        ("https://host/c/noarch", "https://host/c"),
        ("https://host/c/linux-aarch64/", "https://host/c"),
        ("http://127.0.0.1:8000/c", "http://127.0.0.1:8000/c"),
        ("file:///srv/c", "file:///srv/c"),
        ("/srv/c", "file:///srv/c"),
        ("/srv/my c", "file:///srv/my%20c"),
        ("lab", "https://lab.host/x/lab"),
        ("lab/label/dev", "https://lab.host/x/lab/label/dev"),
        ("laboratory", "https://conda.anaconda.org/laboratory"),
    ],
)
def test_where_a_channel_is(name: str, url: str) -> None:
    settings = CondaSettings(custom_channels={"lab": "https://lab.host/x"})
    assert settings.channel_url(name) == url


@pytest.mark.parametrize("name", ["", " ", "a b", "./c", "~/c", "/"])
def test_what_is_no_channel(name: str) -> None:
    with pytest.raises(TljhError, match="is no channel\n  → give a name, a URL or a full path"):
        CondaSettings().channel_url(name)


def test_a_name_for_several_channels_is_not_one() -> None:
    with pytest.raises(
        TljhError, match=r"defaults stands for several channels: https://repo\.anaconda\.com/pkgs/main,"
    ):
        CondaSettings().channel_url("defaults")


def test_each_channel_is_there_once_in_its_place() -> None:
    settings = CondaSettings(multichannels={"ours": ("b", FORGE)})
    assert settings.channel_urls(["conda-forge", "ours", FORGE, "a"]) == (
        FORGE,
        "https://conda.anaconda.org/b",
        "https://conda.anaconda.org/a",
    )


def test_channels_that_may_not_be_used() -> None:
    settings = CondaSettings(denied=(f"{FORGE}/label",), allowed=(FORGE,))
    assert settings.channel_urls(["conda-forge"]) == (FORGE,)
    with pytest.raises(TljhError) as caught:
        settings.channel_urls(["conda-forge", "conda-forge/label/dev"])
    assert (
        str(caught.value) == f".condarc: the channel {FORGE}/label/dev may not be used: denylist_channels has it"
    )
    with pytest.raises(TljhError, match="bioconda may not be used: allowlist_channels does not have it"):
        settings.channel_urls(["bioconda"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:s3cr3t@host:1/c", "https://host:1/c"),
        ("https://host/t/TOK-1/c/label/x", "https://host/c/label/x"),
        ("https://me:s3cr3t@host/t/TOK-1/c", "https://host/c"),
        ("https://host/t/TOK-1", "https://host"),
        ("https://host/t-shirts/c", "https://host/t-shirts/c"),
        ("https://host/c/t/x", "https://host/c/t/x"),
        ("file:///t/x/c", "file:///t/x/c"),
    ],
)
def test_a_url_without_secrets(url: str, shown: str) -> None:
    assert public(url) == shown
    assert CondaSettings().channel_url(url) == shown


@given(st.text("abcXYZ09-_.~!$", min_size=4, max_size=12).map(lambda text: f"s3cr3t{text}"))
def test_no_secret_is_left_in_a_channel(secret: str) -> None:
    settings = CondaSettings(channel_alias=f"https://me:{secret}@host/t/{secret}")
    for channel in ("c", f"https://u:{secret}@host/c", f"https://host/t/{secret}/c"):
        assert secret not in settings.channel_url(channel)
        assert secret not in settings.rattler_config()


def test_below() -> None:
    assert is_below("https://h/a", "https://h/a")
    assert is_below("https://h/a/b", "https://h/a")
    assert not is_below("https://h/ab", "https://h/a")


# ---- for rattler


def test_nothing_is_set_for_rattler() -> None:
    assert toml.loads(CondaSettings().rattler_config()) == {}


def test_all_is_set_for_rattler() -> None:
    settings = CondaSettings(
        verify=False,
        proxies={"http": "http://p:1", "https": "http://me:s3cr3t@p:2"},
        direct=("localhost",),
        mirrors={FORGE: ("https://a/conda-forge", "https://b/c")},
    )
    assert toml.loads(settings.rattler_config(Path("/tmp/x y/auth.json"))) == {
        "tls-no-verify": True,
        "authentication-override-file": "/tmp/x y/auth.json",
        "proxy-config": {
            "http": "http://p:1",
            "https": "http://me:s3cr3t@p:2",
            "non-proxy-hosts": ["localhost"],
        },
        "mirrors": {f"{FORGE}/": ["https://a/conda-forge/", "https://b/c/"]},
    }


def test_the_variables_of_rattlers_process(tmp_path: Path) -> None:
    found = CondaSettings(certificates="/ca.pem", proxies={"http": "http://p"}, virtual_packages={"CUDA": "12.4"})
    assert found.environment() == {"SSL_CERT_FILE": "/ca.pem", "CONDA_OVERRIDE_CUDA": "12.4"}
    assert CondaSettings(certificates=str(tmp_path), proxies={"http": "http://p"}).environment() == {
        "SSL_CERT_DIR": str(tmp_path)
    }


def test_rattler_always_has_certificates_and_no_proxy_but_ours() -> None:
    assert CondaSettings().environment() == {"SSL_CERT_FILE": certifi.where(), "NO_PROXY": "*", "no_proxy": "*"}


# ---- credentials


def entries(settings: CondaSettings, *channels: str) -> Any:
    return json.loads(settings.authentication(channels) or "null")


def basic(user: str, password: str) -> dict[str, Any]:
    return {"BasicHTTP": {"username": user, "password": password}}


def test_without_credentials_there_is_no_file() -> None:
    assert CondaSettings(stored={"h": basic("a", "b")}).authentication(["conda-forge", "/srv/c"]) == ""


def test_credentials_of_urls() -> None:
    settings = CondaSettings(channel_alias="https://alias.host/t/TOK-1")
    assert entries(settings, "https://me:p%40ss%20word@host:8443/c", "conda-forge", "/srv/c") == {
        "host": basic("me", "p@ss word"),
        "alias.host": {"CondaToken": "TOK-1"},
    }


def test_credentials_of_netrc() -> None:
    settings = CondaSettings(logins={"host": ("me", "s3cr3t"), "unused": ("a", "b")})
    assert entries(settings, "https://host/c", "conda-forge") == {"host": basic("me", "s3cr3t")}
    assert entries(settings, "conda-forge") == {}, "rattler is not to read netrc itself"
    default = CondaSettings(logins={"*": ("any", "thing"), "host": ("me", "s3cr3t")})
    assert entries(default, "conda-forge", "https://host/c") == {
        "conda.anaconda.org": basic("any", "thing"),
        "host": basic("me", "s3cr3t"),
    }


def test_a_package_of_a_channel_does_not_bring_the_credentials_of_netrc() -> None:
    settings = CondaSettings(logins={"host": ("netrc", "n")})
    assert entries(settings, "https://host/c/noarch/x-1-0.conda", "https://url:u@host/c", "https://host/d") == {
        "host": basic("url", "u")
    }


def test_a_urls_own_credentials_win_over_netrc_and_both_over_rattlers_store() -> None:
    settings = CondaSettings(
        logins={"host": ("netrc", "n"), "other": ("netrc", "n")},
        stored={"host": basic("store", "s"), "third": basic("store", "s")},
    )
    assert entries(settings, "https://url:u@host/c", "https://other/c") == {
        "host": basic("url", "u"),
        "other": basic("netrc", "n"),
        "third": basic("store", "s"),
    }


def test_a_host_cannot_have_two_credentials() -> None:
    with pytest.raises(TljhError) as caught:
        CondaSettings().authentication(["https://a:s3cr3t@host/x", "https://host/y", "https://host/t/TOK/z"])
    assert str(caught.value) == (
        "the channels https://host/x and https://host/z are on one host, with different credentials\n"
        "  → give all the same: a host can have one user or token only"
    )
    assert entries(CondaSettings(), "https://a:b@host/x", "https://a:b@host/y") == {"host": basic("a", "b")}


def test_credentials_go_to_the_host_that_is_really_asked() -> None:
    logins = {"conda.anaconda.org": ("origin", "o"), "mirror": ("mirror", "m")}
    one = CondaSettings(mirrors={FORGE: ("https://mirror/a", "https://mirror/b")}, logins=logins)
    assert entries(one, "conda-forge") == {"conda.anaconda.org": basic("mirror", "m")}
    own = CondaSettings(mirrors={FORGE: ("https://me:s3cr3t@mirror/a",)}, logins=logins)
    assert entries(own, "conda-forge/label/dev") == {"conda.anaconda.org": basic("me", "s3cr3t")}
    several = CondaSettings(mirrors={FORGE: (FORGE, "https://mirror/a")}, logins=logins)
    assert entries(several, "conda-forge") == {}, "one of them would get those of the other"
    assert entries(one, "conda-forge", "other") == {}, "the origin is asked for the other channel"
    alias = CondaSettings(channel_alias="https://a:s3cr3t@host", mirrors={"https://host/c": ("https://mirror/c",)})
    assert entries(alias, "c") == {}, "the mirror is not to get the credentials of the origin"
    assert entries(alias, "d") == {"host": basic("a", "s3cr3t")}
    token = CondaSettings(mirrors={FORGE: ("https://mirror/t/TOK/c",)}, logins={"mirror": ("me", "m")})
    assert entries(token, "conda-forge") == {"conda.anaconda.org": basic("me", "m")}, "its token is in its URL"
    none = CondaSettings(mirrors={FORGE: ("https://mirror/a",)})
    assert entries(none, "conda-forge") == {}, "rattler is not to look for those of the origin"


def test_what_is_asked_instead() -> None:
    settings = CondaSettings(mirrors={FORGE: ("https://a/x", "https://b/y"), f"{FORGE}/label": ("https://c/z",)})
    assert settings.asked_instead(f"{FORGE}/noarch/x.conda") == (
        "https://a/x/noarch/x.conda",
        "https://b/y/noarch/x.conda",
    )
    assert settings.asked_instead(f"{FORGE}/label/dev") == ("https://c/z/dev",)
    assert settings.asked_instead(f"{FORGE}s/x") == (f"{FORGE}s/x",)


# ---- does it answer?

Answer = Callable[[str], Any]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[dict[str, Any]]]:
    """Sets what a URL gives, an error or a status; returns what is asked."""

    def answering(answer: Answer) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def get(session: requests.Session, url: str, **options: Any) -> requests.Response:
            asked.append({"url": url, "trust_env": session.trust_env, **options})
            result = answer(url)
            if isinstance(result, Exception):
                raise result
            status, kind = result if isinstance(result, tuple) else (result, "application/json")
            found = requests.Response()
            found.status_code, found.reason = status, {404: "Not Found", 401: "Unauthorized"}.get(status, "Reason")
            found.headers["Content-Type"] = kind
            found.raw = urllib3.HTTPResponse(status=status)
            return found

        monkeypatch.setattr(requests.Session, "get", get)
        return asked

    return answering


def test_a_channel_answers(network: Callable[[Answer], list[dict[str, Any]]]) -> None:
    asked = network(lambda url: 200)
    settings = CondaSettings(
        certificates="/ca.pem", proxies={"https": "http://p"}, logins={"host": ("me", "s3cr3t")}
    )
    assert answer_of("https://host/c", settings, timeout=2.0) == ""
    assert asked == [
        {
            "url": "https://host/c/noarch/repodata.json",
            "trust_env": False,
            "auth": ("me", "s3cr3t"),
            "proxies": {"https": "http://p"},
            "verify": "/ca.pem",
            "timeout": 2.0,
            "stream": True,
        }
    ]


def test_a_channel_on_this_machine_is_asked_without_a_proxy(network: Any) -> None:
    asked = network(lambda url: 200)
    settings = CondaSettings(proxies={"http": "http://p"}, verify=False)
    for host in ("localhost", "127.0.0.1"):
        assert answer_of(f"http://{host}:8000/c", settings) == ""
    assert [row["proxies"] for row in asked] == [{}, {}]
    assert [row["verify"] for row in asked] == [False, False]


@pytest.mark.parametrize(
    "there", ["noarch/repodata.json.zst", "linux-64/repodata.json", "linux-64/repodata.json.zst"]
)
def test_one_index_is_enough(network: Any, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    network(lambda url: 200 if url == f"{FORGE}/{there}" else 404)
    assert answer_of("conda-forge", CondaSettings()) == ""


def test_a_token_is_sent(network: Any) -> None:
    asked = network(lambda url: 200)
    assert answer_of("https://host/t/TOK/c", CondaSettings()) == ""
    assert asked[0]["url"] == "https://host/t/TOK/c/noarch/repodata.json"


def caused(inner: Exception) -> requests.ConnectionError:
    pool: Any = None
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/c", inner))


def certificate_error() -> Exception:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return requests.exceptions.SSLError(urllib3.exceptions.SSLError(error))


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (404, "there is no channel (404 Not Found)"),
        (401, "401 Unauthorized"),
        (503, "503 Reason"),
        ((200, "text/html; charset=utf-8"), "it is a web page"),
        (requests.ConnectTimeout(), "no answer within 5 seconds"),
        (requests.ReadTimeout(), "no answer within 5 seconds"),
        (caused(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (caused(OSError("Name or service not known")), "Name or service not known"),
        (
            requests.exceptions.ProxyError(OSError("Tunnel connection failed: 407 http://me:s3cr3t@p")),
            "the proxy can't be used: Tunnel connection failed: 407 http://me:***@p",
        ),
        (
            certificate_error(),
            "its certificate is not trusted (self-signed certificate); name its CA with ssl_verify in .condarc",
        ),
        (requests.ConnectionError(), "ConnectionError"),
    ],
)
def test_why_a_channel_does_not_answer(network: Any, result: Any, cause: str) -> None:
    network(lambda url: result)
    assert answer_of("https://me:s3cr3t@host/t/TOK/c", CondaSettings()) == cause


def test_rattler_may_have_credentials_that_we_do_not_know(network: Any) -> None:
    network(lambda url: 401)
    assert answer_of("https://host/c", CondaSettings(stored={"host": {"BearerToken": "x"}})) == ""


def test_one_mirror_is_enough(network: Any) -> None:
    asked = network(lambda url: 200 if url.startswith("https://b/") else 503)
    settings = CondaSettings(mirrors={FORGE: ("https://me:s3cr3t@a/x", "https://b/y")})
    assert answer_of("conda-forge", settings) == ""
    assert [row["url"].partition("/noarch")[0] for row in asked] == ["https://me:s3cr3t@a/x", "https://b/y"]
    network(lambda url: 503)
    assert answer_of("conda-forge", settings) == "https://a/x: 503 Reason; https://b/y: 503 Reason"


def test_all_channels_of_a_name_must_answer(network: Any) -> None:
    network(lambda url: 503 if "/pkgs/r/" in url else 200)
    assert answer_of("defaults", CondaSettings()) == "https://repo.anaconda.com/pkgs/r: 503 Reason"


def test_no_wait_is_longer_than_it_may_be(network: Any) -> None:
    released = threading.Event()
    network(lambda url: released.wait(20) and 200)
    assert answer_of("https://me:s3cr3t@host/c", CondaSettings(), timeout=0.05) == "no answer within 0.05 seconds"
    released.set()


def test_a_mistake_of_ours_is_not_taken_for_an_answer(network: Any) -> None:
    network(lambda url: ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        answer_of("conda-forge", CondaSettings())


def test_no_network_is_to_be_used(network: Any, tmp_path: Path) -> None:
    asked = network(lambda url: 200)
    settings = CondaSettings(offline="/root/.condarc")
    assert answer_of("conda-forge", settings) == "no network is to be used (offline in /root/.condarc)"
    assert asked == []


def test_a_channel_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my channel"
    (folder / "noarch").mkdir(parents=True)
    settings = CondaSettings(offline="/root/.condarc")
    for channel in (str(folder), folder.as_uri()):
        assert answer_of(channel, settings) == f"there is no noarch/repodata.json in {folder}"
    (folder / "noarch" / "repodata.json").write_text("{}")
    assert answer_of(str(folder), settings) == answer_of(folder.as_uri(), settings) == ""


def test_what_is_no_channel_is_not_asked() -> None:
    with pytest.raises(TljhError, match='"a b" is no channel'):
        answer_of("a b", CondaSettings())
    with pytest.raises(TljhError, match="may not be used"):
        answer_of("conda-forge", CondaSettings(denied=(FORGE,)))
