"""What is set for conda on a machine, made of its configuration, the variables and netrc."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tljh.errors import TljhError
from tljh.resources.conda import reader as conda_reader
from tljh.resources.conda.condarc import merged, of_text, of_variables
from tljh.resources.conda.reader import read, read_netrc, settings_of
from tljh.resources.conda.settings import LOOPBACK, CondaSettings

PLACE = "/etc/conda/.condarc"


def settings(text: str = "", **environment: str) -> CondaSettings:
    return settings_of(merged([of_text(text, PLACE, environment), of_variables(environment)]), environment)


def test_nothing_is_set() -> None:
    found = settings()
    assert found.channels == ()
    assert found.channel_alias == "https://conda.anaconda.org"
    assert (found.connect_timeout, found.read_timeout, found.retries) == (9.15, 60.0, 3)
    assert (found.verify, found.certificates, found.offline, found.proxies) == (True, "", "", {})
    assert found.notes == ()


def test_numbers() -> None:
    text = "remote_connect_timeout_secs: 1.5\nremote_read_timeout_secs: 20\nremote_max_retries: 7\n"
    found = settings(text)
    assert (found.connect_timeout, found.read_timeout, found.retries) == (1.5, 20.0, 7)


# ---- channels


def test_channels_and_their_alias() -> None:
    found = settings("channels: [lab, defaults]\nchannel_alias: https://mirror/conda/\n", CONDA_CHANNELS="first")
    assert found.channels == ("first", "lab", "defaults")
    assert found.channel_url("lab") == "https://mirror/conda/lab"


@pytest.mark.parametrize("key", ["channel_alias: mirror", "custom_channels: {a: mirror}"])
def test_a_place_that_is_no_url(key: str) -> None:
    with pytest.raises(TljhError) as caught:
        settings(f"{key}\n")
    name = key.split(":")[0]
    assert str(caught.value) == f'{PLACE}: {name} has "mirror", where a URL is expected\n  → Correct it.'


def test_the_default_channels() -> None:
    assert settings().channel_urls(["defaults"]) == (
        "https://repo.anaconda.com/pkgs/main",
        "https://repo.anaconda.com/pkgs/r",
    )
    assert settings().channel_url("pkgs/main") == "https://repo.anaconda.com/pkgs/main"
    found = settings("default_channels: [https://host/a/main, other]\nchannel_alias: https://alias\n")
    assert found.channel_urls(["defaults"]) == ("https://host/a/main", "https://alias/other")
    assert found.channel_url("a/main") == "https://host/a/main"


def test_names_for_several_channels() -> None:
    text = "custom_multichannels:\n  ours: [https://host/one, two]\ncustom_channels: {two: https://else}\n"
    assert settings(text).channel_urls(["ours"]) == ("https://host/one", "https://else/two")


def test_former_places_of_channels() -> None:
    found = settings(
        "channel_alias: https://new\n"
        "migrated_channel_aliases: [https://conda.anaconda.org/]\n"
        "custom_channels: {lab: https://lab.host}\n"
        "migrated_custom_channels: {lab: https://old.host/x}\n"
    )
    assert found.channel_url("https://conda.anaconda.org/conda-forge") == "https://new/conda-forge"
    assert found.channel_url("https://old.host/x/lab/label/dev") == "https://lab.host/lab/label/dev"
    assert found.channel_url("https://old.host/x/labour") == "https://old.host/x/labour"


def test_mirrors() -> None:
    found = settings(
        "mirrored_channels:\n"
        "  conda-forge: [https://conda.anaconda.org/conda-forge/, https://other/conda-forge]\n"
        "  alone: [https://conda.anaconda.org/alone]\n"
        "  local: [file:///srv/local]\n"
    )
    assert found.mirrors == {
        "https://conda.anaconda.org/conda-forge": (
            "https://conda.anaconda.org/conda-forge",
            "https://other/conda-forge",
        )
    }
    assert found.notes == (
        "mirrored_channels of local: file:///srv/local is left out, a mirror has an http or https URL; "
        "custom_channels takes any",
    )


def test_channels_that_may_be_used() -> None:
    found = settings("allowlist_channels: [conda-forge]\ndenylist_channels: [defaults]\n")
    assert found.allowed == ("https://conda.anaconda.org/conda-forge",)
    assert found.denied == ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")


# ---- proxies


@pytest.mark.parametrize(
    ("text", "environment", "proxies"),
    [
        ("", {"HTTP_PROXY": "http://a:1"}, {"http": "http://a:1"}),
        ("", {"http_proxy": "http://b:1", "HTTP_PROXY": "http://a:1"}, {"http": "http://b:1"}),
        ("", {"https_proxy": "a:1"}, {"https": "http://a:1"}),
        (
            "",
            {"ALL_PROXY": "http://a/", "https_proxy": "http://b"},
            {"http": "http://a", "https": "http://b"},
        ),
        ("", {"http_proxy": ""}, {}),
        ("proxy_servers: {http: 'http://c'}\n", {"http_proxy": "http://a"}, {"http": "http://c"}),
        (
            "proxy_servers: {https: 'http://u:p@c'}\n",
            {"http_proxy": "http://a"},
            {"http": "http://a", "https": "http://u:p@c"},
        ),
        ("proxy_servers: {http: null}\n", {}, {}),
        ("proxy_servers: {all: 'http://c'}\n", {}, {"http": "http://c", "https": "http://c"}),
    ],
)
def test_proxies(text: str, environment: dict[str, str], proxies: dict[str, str]) -> None:
    found = settings(text, **environment)
    assert found.proxies == proxies
    assert found.notes == ()


def test_proxies_that_cannot_be_used_are_told_without_their_passwords() -> None:
    found = settings("proxy_servers: {'http://10.0.0.1': 'http://c'}\n", ALL_PROXY="socks5://me:s3cr3t@a:1")
    assert found.proxies == {}
    assert found.notes == (
        "socks5://a:1: channels can't be reached through a SOCKS proxy, so it is not used",
        "proxy_servers: a proxy for http://10.0.0.1 alone can't be used, only those for http and https are",
    )


def test_what_is_reached_without_a_proxy() -> None:
    assert settings().direct == LOOPBACK
    found = settings(no_proxy=".lab, host:8080,localhost,10.0.0.0/8,::2,", NO_PROXY="other")
    assert found.direct == (".lab", "host", "10.0.0.0/8", "::2", *LOOPBACK)


# ---- certificates


@pytest.mark.parametrize(
    ("text", "environment", "certificates"),
    [
        ("ssl_verify: /mine.pem\n", {"REQUESTS_CA_BUNDLE": "/r.pem"}, "/mine.pem"),
        ("", {"CONDA_SSL_VERIFY": "/mine.pem"}, "/mine.pem"),
        ("", {"REQUESTS_CA_BUNDLE": "/r.pem", "CURL_CA_BUNDLE": "/c.pem"}, "/r.pem"),
        ("", {"CURL_CA_BUNDLE": "/c.pem", "SSL_CERT_FILE": "/s.pem"}, "/c.pem"),
        ("", {"SSL_CERT_FILE": "/s.pem", "SSL_CERT_DIR": "/d"}, "/s.pem"),
        ("", {"SSL_CERT_DIR": "/d:/e"}, "/d"),
        ("ssl_verify: true\n", {}, ""),
        ("ssl_verify: truststore\n", {"REQUESTS_CA_BUNDLE": "/r.pem"}, ""),
        ("ssl_verify: truststore\n", {"SSL_CERT_FILE": "/s.pem"}, "/s.pem"),
    ],
)
def test_certificates(text: str, environment: dict[str, str], certificates: str) -> None:
    found = settings(text, **environment)
    assert (found.verify, found.certificates) == (True, certificates)


@pytest.mark.parametrize("word", ["false", "no", "'False'", "off", "0"])
def test_not_to_verify_is_told(word: str) -> None:
    found = settings(f"ssl_verify: {word}\n")
    assert not found.verify
    assert found.notes == (f"certificates are not verified: ssl_verify is false in {PLACE}",)


def test_what_is_not_followed_is_told() -> None:
    found = settings("client_ssl_cert: /x\nchannel_settings: [{channel: a, auth: b}]\n")
    assert found.notes == (
        f"client_ssl_cert in {PLACE} is not used: there is no way to",
        f"channel_settings in {PLACE} is not used: it is for conda's own plugins",
    )


# ---- the rest


def test_offline() -> None:
    assert settings("offline: yes\n").offline == PLACE
    assert settings("offline: no\n").offline == ""
    assert settings(CONDA_OFFLINE="1").offline == "the environment"


def test_virtual_packages_of_the_environment_win() -> None:
    text = "override_virtual_packages: {cuda: 11.8, glibc: '2.17'}\n"
    assert settings(text).virtual_packages == {"CUDA": "11.8", "GLIBC": "2.17"}
    assert settings(text, CONDA_OVERRIDE_CUDA="").virtual_packages == {"GLIBC": "2.17"}


def test_netrc_as_python_and_conda_read_it(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "# mine\nmachine host login me password s3cr3t\n"
        "machine other\n  account a\n  password b\n"
        "default login any password thing\n"
    )
    assert read_netrc({}, str(tmp_path)) == (
        {"host": ("me", "s3cr3t"), "other": ("a", "b"), "*": ("any", "thing")},
        (),
    )


def test_another_netrc(tmp_path: Path) -> None:
    (tmp_path / "_netrc").write_text("machine a login b password c\n")
    assert read_netrc({}, str(tmp_path))[0] == {"a": ("b", "c")}
    (tmp_path / "x").write_text("machine d login e password f\n")
    assert read_netrc({"NETRC": str(tmp_path / "x")}, str(tmp_path))[0] == {"d": ("e", "f")}
    assert read_netrc({"NETRC": str(tmp_path / "y")}, str(tmp_path)) == ({}, ())


def test_a_broken_netrc_is_told_without_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine a login b password s3cr3t\nfoo bar\n")
    logins, (note,) = read_netrc({}, str(tmp_path))
    assert logins == {}
    assert note.startswith(f"{tmp_path}/.netrc line 2: ")
    assert note.endswith("nothing of it is used")
    assert "s3cr3t" not in note


def test_reading_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.resources.conda.condarc.SEARCH_PATH", ("~/.condarc", "$CONDA_PREFIX/.condarc"))
    monkeypatch.setattr(conda_reader, "SYSTEM_CERTIFICATES", str(tmp_path / "system.pem"))
    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / ".condarc").write_text("channels: [of-the-environment]\n")
    (tmp_path / ".condarc").write_text("channels: [of-the-admin]\n")
    (tmp_path / ".netrc").write_text("machine a login b password c\n")
    (tmp_path / ".rattler").mkdir()
    (tmp_path / ".rattler" / "credentials.json").write_text(json.dumps({"h": {"BearerToken": "t"}}))
    found = read({}, str(tmp_path), str(tmp_path / "prefix"))
    assert found.channels == ("of-the-environment", "of-the-admin")
    assert found.logins == {"a": ("b", "c")}
    assert found.stored == {"h": {"BearerToken": "t"}}
    assert found.certificates == "", "there is no such file, so those of requests are taken"
    (tmp_path / "system.pem").write_text("")
    assert read({}, str(tmp_path), "/none").certificates == str(tmp_path / "system.pem")
    assert "password" not in repr(found)


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"'])
def test_a_broken_store_of_rattler_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "auth.json").write_text(text)
    assert read({"RATTLER_AUTH_FILE": str(tmp_path / "auth.json")}, str(tmp_path), "/none").stored == {}


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(TljhError) as caught:
        read({"CURL_CA_BUNDLE": "/none.pem"}, str(tmp_path), "/none")
    assert str(caught.value).startswith(
        "there are no certificates in /none.pem\n  → correct ssl_verify in .condarc, "
    )
