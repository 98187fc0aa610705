"""Whether HTTPS can be served with what config.yaml says: an own certificate, or Let's Encrypt's.

Reads the admin's certificate and key; writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tljh.errors import TljhError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

WHOSE = "config.yaml"
HIDDEN = ("/home", "/root", "/run/user")


def check_https(https: Mapping[str, Any], now: datetime | None = None) -> None:
    """Raise what keeps HTTPS from being served; nothing is looked at while it is not enabled.

    Args:
        https: The section ``https`` of the settings.
        now: The time to compare the certificate's validity with.

    Raises:
        TljhError: there is no certificate to serve, or it can't be used.
    """
    if not https["enabled"]:
        return
    tls, letsencrypt = https["tls"], https["letsencrypt"]
    if tls["cert"] or tls["key"]:
        for key in ("cert", "key"):
            check_place(f"https.tls.{key}", tls[key])
        check_certificate(tls["cert"], tls["key"], now)
    elif letsencrypt["domains"] or letsencrypt["email"]:
        for key, what in (("domains", "which names"), ("email", "whom to write to")):
            if not letsencrypt[key]:
                raise TljhError(
                    f"https.letsencrypt.{key} is not set: Let's Encrypt must know {what}",
                    whose=WHOSE,
                    todo=f"Set https.letsencrypt.{key}.",
                )
    else:
        raise TljhError(
            "https.enabled is true, but there is no certificate to serve",
            whose=WHOSE,
            todo="Set https.tls.key and https.tls.cert, or https.letsencrypt.email and https.letsencrypt.domains.",
        )


def check_place(key: str, path: str) -> None:
    """Raise when traefik could not see a file: its unit has ``ProtectHome=yes`` (systemd.exec(5)).

    Raises:
        TljhError: the file is below a home.
    """
    from tljh import systemd

    real = Path(path).resolve()
    if systemd.is_running() and any(real.is_relative_to(home) for home in HIDDEN):
        raise TljhError(
            f"{key} is {path}, which the proxy cannot see: it runs without access to homes",
            whose=WHOSE,
            todo=f"Move it elsewhere, such as /etc/ssl, and set {key}.",
        )


def check_certificate(cert: str, key: str, now: datetime | None = None) -> None:
    """Raise what is wrong with a certificate and its private key, both files in PEM format.

    Raises:
        TljhError: one is missing, unreadable, no PEM, doesn't belong to the other, or the certificate is over.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    content = _read("https.tls.cert", cert)
    secret = _read("https.tls.key", key)
    try:
        certificate = x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise _wrong("https.tls.cert", cert, "it holds no certificate in PEM format") from error
    try:
        private = load_pem_private_key(secret, password=None)
    except TypeError as error:
        raise _wrong("https.tls.key", key, "it is protected by a password, which traefik can't give") from error
    except ValueError as error:
        raise _wrong("https.tls.key", key, "it holds no private key in PEM format") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise TljhError(
            f"https.tls.key ({key}) doesn't belong to https.tls.cert ({cert})",
            whose=WHOSE,
            todo="Name the key that the certificate was made for; the certificate comes first in its file.",
        )
    _check_validity(cert, certificate, now or datetime.now(timezone.utc))


def _check_validity(path: str, certificate: Certificate, now: datetime) -> None:
    # cryptography < 42 has only the names without a time zone
    end = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after.replace(
        tzinfo=timezone.utc
    )
    start = getattr(certificate, "not_valid_before_utc", None) or certificate.not_valid_before.replace(
        tzinfo=timezone.utc
    )
    if now > end:
        raise _wrong("https.tls.cert", path, f"it ended on {end:%Y-%m-%d}", "Put a new certificate there.")
    if now < start:
        raise _wrong("https.tls.cert", path, f"it begins on {start:%Y-%m-%d}", "Check this machine's clock.")


def _read(key: str, path: str) -> bytes:
    if not path:
        other = "https.tls.key" if key.endswith("cert") else "https.tls.cert"
        raise TljhError(f"{other} is set, but {key} is not", whose=WHOSE, todo=f"Set {key} too.")
    if not Path(path).is_absolute():
        raise _wrong(key, path, "it is not an absolute path", "Write the whole path, beginning with /.")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise _wrong(key, path, "there is no such file") from error
    except OSError as error:
        raise _wrong(key, path, f"it can't be read: {error.strerror}") from error


def _wrong(key: str, path: str, what: str, todo: str = "Name a file in PEM format.") -> TljhError:
    return TljhError(f"{key} ({path}) can't be used: {what}", whose=WHOSE, todo=todo)
