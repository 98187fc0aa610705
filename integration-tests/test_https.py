"""HTTPS by ``tljh-config``: with an own certificate, and with Let's Encrypt against Debian's ``pebble``."""

from __future__ import annotations

import json
import time

import pytest
from server import Server

NAME = "hub.example.com"
OWN = "/etc/ssl/own"
PEBBLE = "/etc/pebble"


def curl(hub: Server, *words: str) -> str:
    """What curl says in the machine, where ``NAME`` is the machine itself."""
    resolve = [word for port in (80, 443) for word in ("--resolve", f"{NAME}:{port}:127.0.0.1")]
    return hub.machine.run("curl", "-sS", "--max-time", "20", *resolve, *words).output


def issuer(hub: Server) -> str:
    """Who signed the certificate that the proxy shows."""
    shown = f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} </dev/null 2>/dev/null"
    return hub.machine.sh(f"{shown} | openssl x509 -noout -issuer", timeout=30).output


@pytest.fixture(scope="module")
def plain(hub: Server) -> Server:
    hub.machine.sh("apt-get update -qq && apt-get install -yqq openssl pebble >/dev/null 2>&1").check()
    return hub


def make_certificate(hub: Server, folder: str, *names: str) -> None:
    subject = ",".join(names)
    hub.machine.sh(
        f"mkdir -p {folder} && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={NAME} "
        f"-addext subjectAltName={subject} -keyout {folder}/key.pem -out {folder}/cert.pem 2>/dev/null"
    ).check()


def test_own_certificate(plain: Server) -> None:
    make_certificate(plain, OWN, f"DNS:{NAME}")
    plain.config("set", "https.tls.key", f"{OWN}/key.pem")
    plain.config("set", "https.tls.cert", f"{OWN}/cert.pem")
    plain.config("set", "https.enabled", "true")
    plain.config("reload", "proxy")
    moved = curl(plain, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://{NAME}/hub/login")
    assert moved in [f"{code} https://{NAME}/hub/login" for code in (301, 302, 307, 308)]
    verified = ("--cacert", f"{OWN}/cert.pem")
    page = curl(
        plain, *verified, "-o", "/dev/null", "-w", "%{http_code} %{http_version}", f"https://{NAME}/hub/login"
    )
    assert page == "200 2"
    assert "alert" in curl(plain, *verified, "--tls-max", "1.1", f"https://{NAME}/").lower()


def test_lets_encrypt(plain: Server) -> None:
    make_certificate(plain, PEBBLE, "DNS:localhost", "IP:127.0.0.1")
    listen = {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000"}
    files = {"certificate": f"{PEBBLE}/cert.pem", "privateKey": f"{PEBBLE}/key.pem"}
    ports = {"httpPort": 80, "tlsPort": 443, "ocspResponderURL": "", "externalAccountBindingRequired": False}
    plain.machine.write(f"{PEBBLE}/config.json", json.dumps({"pebble": {**listen, **files, **ports}}))
    # its own name server answers 127.0.0.1 for every name, so that the challenge comes to our proxy
    unused = " ".join(f"-{service} ''" for service in ("defaultIPv6", "http01", "https01", "tlsalpn01"))
    names = f"pebble-challtestsrv -defaultIPv4 127.0.0.1 -dns01 127.0.0.1:8053 -management 127.0.0.1:8055 {unused}"
    server = f"pebble -config {PEBBLE}/config.json -dnsserver 127.0.0.1:8053"
    plain.machine.sh(f"systemd-run -q --unit=names {names}").check()
    plain.machine.sh(f"systemd-run -q --unit=pebble -E PEBBLE_VA_NOSLEEP=1 {server}").check()
    # where the authority is, is traefik's setting: an admin's own file, merged over ours
    authority = (
        "[certificatesResolvers.letsencrypt.acme]\n"
        'caServer = "https://127.0.0.1:14000/dir"\n'
        f'caCertificates = ["{PEBBLE}/cert.pem"]\n'
    )
    plain.machine.write("/opt/tljh/config/traefik_config.d/pebble.toml", authority, 0o600)
    plain.config("unset", "https.tls")
    plain.config("set", "https.letsencrypt.email", f"admin@{NAME}")
    plain.config("add-item", "https.letsencrypt.domains", NAME)
    plain.config("set", "https.enabled", "true")
    plain.config("reload", "proxy")
    deadline = time.monotonic() + 60
    while "pebble" not in issuer(plain).lower():
        assert time.monotonic() < deadline, plain.machine.run("journalctl", "-u", "pebble").output[-2000:]
        time.sleep(1)
    assert plain.machine.run("stat", "-c", "%a", "/opt/tljh/state/acme.json").stdout.strip() == "600"


def test_back_to_http(plain: Server) -> None:
    plain.config("unset", "https")
    plain.machine.run("rm", "-f", "/opt/tljh/config/traefik_config.d/pebble.toml")
    plain.config("reload", "proxy")
    plain.config("reload")
    plain.tljh("install").check()  # a plugin that looks at config.yaml sees the new one
    plain.wait()
    assert plain.cell("print(6 * 7)") == "42\n"
    plain.assert_converged()
