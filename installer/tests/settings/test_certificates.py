"""A certificate that can't be served is refused with the key that names it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tljh import systemd
from tljh.errors import TljhError
from tljh.settings.certificates import check_https

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def make(folder: Path, password: bytes = b"") -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7).not_valid_before(NOW - timedelta(days=5))
    certificate = builder.not_valid_after(NOW + timedelta(days=5)).sign(key, hashes.SHA256())
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


def https(tls: dict[str, str] | None = None, **letsencrypt: Any) -> dict[str, Any]:
    empty = {"email": "", "domains": [], "staging": False}
    return {"enabled": True, "tls": tls or {"cert": "", "key": ""}, "letsencrypt": {**empty, **letsencrypt}}


def test_a_good_certificate(tmp_path: Path) -> None:
    check_https(https(make(tmp_path)), NOW)


def test_a_certificate_that_the_proxy_cannot_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "is_running", lambda: True)
    with pytest.raises(TljhError) as caught:
        check_https(https({"cert": "/etc/ssl/hub.pem", "key": "/root/hub.key"}))
    assert str(caught.value) == (
        "config.yaml: https.tls.key is /root/hub.key, "
        "which the proxy cannot see: it runs without access to homes\n"
        "  → Move it elsewhere, such as /etc/ssl, and set https.tls.key."
    )


def test_nothing_is_looked_at_while_https_is_off() -> None:
    check_https({**https({"cert": "/nowhere", "key": ""}), "enabled": False})


def test_letsencrypt_needs_a_name_and_an_address() -> None:
    check_https(https(email="a@hub.test", domains=["hub.test"]))
    with pytest.raises(TljhError, match=r"https.letsencrypt.email is not set"):
        check_https(https(domains=["hub.test"]))
    with pytest.raises(TljhError, match=r"https.letsencrypt.domains is not set"):
        check_https(https(email="a@hub.test"))


def test_no_certificate_at_all() -> None:
    with pytest.raises(TljhError, match=r"https.enabled is true, but there is no certificate to serve"):
        check_https(https())


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    with pytest.raises(TljhError, match=r"https.tls.key \(.*\) doesn't belong to https.tls.cert"):
        check_https(https({"cert": one["cert"], "key": other["key"]}), NOW)


@pytest.mark.parametrize(
    ("days", "words"),
    [(6, "can't be used: it ended on 2026-01-06"), (-6, "can't be used: it begins on 2025-12-27")],
)
def test_the_wrong_time(tmp_path: Path, days: int, words: str) -> None:
    with pytest.raises(TljhError, match=words):
        check_https(https(make(tmp_path)), NOW + timedelta(days=days))


def test_what_is_missing_or_no_pem_is_named(tmp_path: Path) -> None:
    good = make(tmp_path)
    broken = tmp_path / "broken.pem"
    broken.write_text("hello")
    protected = make(tmp_path / "protected", b"secret")
    for tls, words in (
        (
            {**good, "cert": "/nowhere.pem"},
            r"https.tls.cert \(/nowhere.pem\) can't be used: there is no such file",
        ),
        ({**good, "key": ""}, "https.tls.cert is set, but https.tls.key is not"),
        ({**good, "cert": ""}, "https.tls.key is set, but https.tls.cert is not"),
        ({**good, "cert": "cert.pem"}, "it is not an absolute path"),
        ({**good, "cert": str(broken)}, "it holds no certificate in PEM format"),
        ({**good, "key": str(broken)}, "it holds no private key in PEM format"),
        ({**good, "key": str(tmp_path)}, "it can't be read: Is a directory"),
        ({**good, "key": protected["key"]}, "it is protected by a password"),
    ):
        with pytest.raises(TljhError, match=words):
            check_https(https(tls), NOW)
