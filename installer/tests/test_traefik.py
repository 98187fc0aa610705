"""traefik's files say what config.yaml says, and a change of them drops no live route."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from tljh import traefik
from tljh.configurer import with_defaults
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.traefik import (
    dynamic_config,
    ensure_traefik_config,
    parse_toml,
    prepare_rules,
    retarget_rules,
    static_config,
)

TLS = {"https": {"enabled": True, "tls": {"cert": "/c.pem", "key": "/k.pem"}}}
LETSENCRYPT = {
    "https": {"enabled": True, "letsencrypt": {"email": "a@hub.test", "domains": ["hub.test", "www.hub.test"]}}
}
RULES = """\
[http.routers.route_api]
rule = "Host(`127.0.0.1`) && PathPrefix(`/api`)"
entryPoints = [ "auth_api",]
service = "api@internal"
middlewares = [ "auth_api",]

[http.routers.router_user]
service = "service_user"
rule = "PathPrefix(`/user/a/`)"
entryPoints = [ "http",]

[http.middlewares.auth_api.basicAuth]
users = [ "api_admin:old",]

[[http.services.service_user.loadBalancer.servers]]
url = "http://127.0.0.1:5000"

[jupyterhub.routes.router_user]
routespec = "/user/a/"
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "config" / "traefik_config.d").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    return Paths(tmp_path)


def static(settings: dict[str, Any], paths: Paths) -> dict[str, Any]:
    return parse_toml(static_config(with_defaults(settings), paths), "traefik.toml")


def dynamic(settings: dict[str, Any], paths: Paths) -> dict[str, Any]:
    return parse_toml(dynamic_config(with_defaults(settings), paths), "dynamic.toml")


def test_http(paths: Paths) -> None:
    made = static({}, paths)
    assert set(made["entryPoints"]) == {"http", "auth_api"}
    assert made["entryPoints"]["http"]["address"] == ":80"
    assert made["entryPoints"]["auth_api"]["address"] == "127.0.0.1:8099"
    assert made["providers"]["file"] == {"directory": str(paths.rules), "watch": True}
    assert made["api"] == {}
    assert made["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}
    assert dynamic({}, paths) == {}


def test_names_of_files_reach_the_server_as_they_are(paths: Paths) -> None:
    allowed = static({}, paths)["entryPoints"]["http"]["http"]["encodedCharacters"]
    assert allowed["allowEncodedSlash"] is True
    assert allowed["allowEncodedPercent"] is True
    assert allowed["allowEncodedNullCharacter"] is False


def test_nothing_secret_is_logged(paths: Paths) -> None:
    log = static({}, paths)["accessLog"]
    assert log["filters"] == {"statusCodes": ["500-999"]}
    assert set(log["fields"]["headers"]["names"]) == {"Authorization", "Cookie", "Set-Cookie", "X-Xsrftoken"}
    assert set(log["fields"]["headers"]["names"].values()) == {"redact"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [("", ":8000"), ("10.0.0.1", "10.0.0.1:8000"), ("::1", "[::1]:8000"), ("[::1]", "[::1]:8000")],
)
def test_address_and_port(paths: Paths, address: str, shown: str) -> None:
    made = static({"http": {"address": address, "port": 8000}}, paths)
    assert made["entryPoints"]["http"]["address"] == shown


def test_the_api_as_set(paths: Paths) -> None:
    made = static({"traefik_api": {"ip": "127.0.0.9", "port": 9000}}, paths)
    assert made["entryPoints"]["auth_api"]["address"] == "127.0.0.9:9000"


def test_an_own_certificate(paths: Paths) -> None:
    made = static(TLS, paths)
    assert made["entryPoints"]["http"]["http"]["redirections"] == {
        "entryPoint": {"to": "https", "scheme": "https"}
    }
    assert made["entryPoints"]["https"]["address"] == ":443"
    assert made["entryPoints"]["https"]["http"]["tls"] == {"options": "default"}
    assert "certificatesResolvers" not in made
    tls = dynamic(TLS, paths)["tls"]
    assert tls["options"]["default"]["minVersion"] == "VersionTLS12"
    assert tls["stores"]["default"] == {"defaultCertificate": {"certFile": "/c.pem", "keyFile": "/k.pem"}}


def test_letsencrypt(paths: Paths) -> None:
    assert static(LETSENCRYPT, paths)["certificatesResolvers"]["letsencrypt"]["acme"] == {
        "email": "a@hub.test",
        "storage": str(paths.state / "acme.json"),
        "tlsChallenge": {},
    }
    assert dynamic(LETSENCRYPT, paths)["tls"]["stores"]["default"] == {
        "defaultGeneratedCert": {
            "resolver": "letsencrypt",
            "domain": {"main": "hub.test", "sans": ["www.hub.test"]},
        }
    }


def test_letsencrypt_of_the_staging_server(paths: Paths) -> None:
    letsencrypt = {**LETSENCRYPT["https"]["letsencrypt"], "staging": True}  # type: ignore[dict-item]
    made = static({"https": {"enabled": True, "letsencrypt": letsencrypt}}, paths)
    assert made["certificatesResolvers"]["letsencrypt"]["acme"]["caServer"] == traefik.STAGING_SERVER


def test_what_the_admin_adds_is_merged_last_in_the_order_of_names(paths: Paths) -> None:
    folder = paths.traefik_config_d
    (folder / "20.toml").write_text('[log]\nlevel = "DEBUG"\n[tls.options.default]\nminVersion = "VersionTLS13"\n')
    (folder / "10.toml").write_text('[log]\nlevel = "WARN"\n[entryPoints.more]\naddress = ":9999"\n')
    (folder / "30.toml").write_text(
        '[certificatesResolvers.letsencrypt.acme]\ncaServer = "https://acme.test/dir"\n'
    )
    made = static(LETSENCRYPT, paths)
    assert made["log"] == {"level": "DEBUG"}
    assert made["entryPoints"]["more"] == {"address": ":9999"}
    assert made["certificatesResolvers"]["letsencrypt"]["acme"]["caServer"] == "https://acme.test/dir"
    assert made["certificatesResolvers"]["letsencrypt"]["acme"]["email"] == "a@hub.test"
    assert "tls" not in made
    assert dynamic(TLS, paths)["tls"]["options"]["default"]["minVersion"] == "VersionTLS13"


def test_a_broken_file_of_the_admin_is_named(paths: Paths) -> None:
    (paths.traefik_config_d / "mine.toml").write_text("[log\n")
    with pytest.raises(TljhError, match=r"traefik_config.d/mine.toml: broken TOML: "):
        static({}, paths)


def test_live_routes_move_and_the_api_stays() -> None:
    moved = parse_toml(retarget_rules(RULES, "https"), "rules.toml")
    assert moved["http"]["routers"]["router_user"]["entryPoints"] == ["https"]
    assert moved["http"]["routers"]["route_api"]["entryPoints"] == ["auth_api"]
    assert moved["http"]["services"] == parse_toml(RULES, "rules.toml")["http"]["services"]
    assert moved["jupyterhub"] == {"routes": {"router_user": {"routespec": "/user/a/"}}}


def test_routes_that_need_not_move_are_not_rewritten() -> None:
    assert retarget_rules(RULES, "http") is RULES
    assert retarget_rules("", "https") == ""


def test_a_starting_hub_finds_routes_without_old_settings(paths: Paths) -> None:
    paths.rules.mkdir()
    (paths.rules / "rules.toml").write_text(RULES)
    prepare_rules(paths.state, with_defaults(TLS))
    rules = parse_toml((paths.rules / "rules.toml").read_text(), "rules.toml")
    assert set(rules["http"]) == {"routers", "services"}
    assert rules["http"]["routers"]["router_user"]["entryPoints"] == ["https"]
    assert set(rules["http"]["routers"]) == {"router_user"}


def test_a_starting_hub_without_routes(paths: Paths) -> None:
    prepare_rules(paths.state, with_defaults({}))
    assert not paths.rules.exists()
    paths.rules.mkdir()
    (paths.rules / "rules.toml").write_text(RULES[: RULES.index("[http.routers.router_user]")])
    prepare_rules(paths.state, with_defaults({}))
    assert parse_toml((paths.rules / "rules.toml").read_text(), "rules.toml") == {}


def test_files_are_written_for_root_only_and_only_if_they_differ(paths: Paths) -> None:
    written = ensure_traefik_config(str(paths.state))
    assert {path.name for path in written} == {"traefik.toml", "dynamic.toml", "acme.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert ensure_traefik_config(str(paths.state)) == []
    (paths.state / "acme.json").chmod(0o644)
    assert [path.name for path in ensure_traefik_config(paths.state)] == ["acme.json"]


def test_config_yaml_beside_the_state_is_read(paths: Paths) -> None:
    paths.config_file.write_text("http:\n  port: 8888\n")
    ensure_traefik_config(str(paths.state))
    assert 'address = ":8888"' in (paths.state / "traefik.toml").read_text()


def test_a_certificate_that_can_not_be_served_writes_nothing(paths: Paths) -> None:
    with pytest.raises(TljhError, match=r"https.tls.cert \(/c.pem\) can't be used: there is no such file"):
        ensure_traefik_config(paths.state, with_defaults(TLS))
    assert list(paths.state.iterdir()) == []
