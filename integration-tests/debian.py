"""The base file system that every test machine starts from, and the host's settings that it takes over.

A base is built once for each Debian release with ``mmdebstrap`` and never changed afterwards: machines lay a
writable layer over it (``machine.py``). It holds what the smallest useful server has, and nothing that would
hide a missing dependency of the installer: no sudo, git, pip, make or compiler.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "ca-certificates", "curl", "procps", "iproute2")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# Settings of pip, uv and of everything that speaks TLS or goes through a proxy. Nothing else of the caller's
# environment gets in: no cache folders, no PYTHON* variables, no paths of the caller's tools.
_SETTINGS = re.compile(
    r"^(PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|CLIENT_CERT|PROXY|FIND_LINKS|DEFAULT_TIMEOUT|TIMEOUT"
    r"|RETRIES|NO_INDEX|DISABLE_PIP_VERSION_CHECK)"
    r"|UV_(DEFAULT_INDEX|INDEX|INDEX_\w+|EXTRA_INDEX_URL|FIND_LINKS|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST"
    r"|HTTP_TIMEOUT|NO_INDEX|KEYRING_PROVIDER)"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(https?|no|all|ftp)_proxy))$"
)
_FOLDERS = ("PIP_FIND_LINKS", "UV_FIND_LINKS")


def home() -> Path:
    """Where bases and machines are kept: ``TLJH_MACHINES``, by default ``/var/tmp/tljh-machines``."""
    return Path(os.environ.get("TLJH_MACHINES") or os.environ.get("MACHINE_HOME") or "/var/tmp/tljh-machines")


def settings() -> dict[str, str]:
    """The caller's registry, proxy and certificate settings, as far as they mean something elsewhere.

    A local folder of wheels is left out: it isn't there in the machine, and pip and uv stop at a missing one.
    """
    found = {name: value for name, value in os.environ.items() if _SETTINGS.match(name)}
    for name in _FOLDERS:
        links = [word for word in found.get(name, "").split() if "://" in word and not word.startswith("file:")]
        found.pop(name, None)
        if links:
            found[name] = " ".join(links)
    return found


def base(suite: str) -> Path:
    """The base of a Debian release (``bookworm``, ``trixie``), built at its first use.

    Raises:
        subprocess.CalledProcessError: mmdebstrap failed; its own words are on standard error.
    """
    root = home() / f"base-{suite}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (home() / f"base-{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may want it at the same moment
        if (home() / f"base-{suite}.ready").exists():
            return root
        if root.exists():  # an earlier build was interrupted
            shutil.rmtree(root)
        _bootstrap(suite, root)
        (home() / f"base-{suite}.ready").touch()
    return root


def _bootstrap(suite: str, root: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise SystemExit("mmdebstrap is missing: apt-get install mmdebstrap")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--aptopt={line}" for line in apt_proxies()]
    subprocess.run([*command, suite, str(root)], check=True)
    # an empty machine-id makes systemd treat each boot of a copy as that machine's first one
    (root / "etc/machine-id").write_text("")
    # the harness gives it its network, its clock and its console: what would wait for them is switched off
    units = ("systemd-networkd", "systemd-resolved", "systemd-timesyncd", "getty.target", "console-getty")
    for unit in units:
        name = unit if "." in unit else f"{unit}.service"
        link = root / "etc/systemd/system" / name
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


def apt_proxies() -> list[str]:
    """The host's proxies for apt, as lines of an apt.conf."""
    if not shutil.which("apt-config"):
        return []
    shown = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    return [line for line in shown.splitlines() if re.match(r"Acquire::https?::(\S+::)?Proxy ", line)]


def adopt_settings(root: Path) -> None:
    """Give a machine's file system the host's certificates and its clients' settings.

    Done at each boot, so that a base which was built yesterday works with today's certificates.
    """
    bundles = [CERTIFICATES] + [
        Path(settings()[name])
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
        if settings().get(name, "").startswith("/")
    ]
    for bundle in bundles:
        if bundle.is_file():
            target = root / bundle.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle, target)
    if Path("/etc/pip.conf").is_file():
        lines = Path("/etc/pip.conf").read_text().splitlines()
        kept = [line for line in lines if not re.match(r"\s*find-links\s*=\s*(/|file:)", line)]
        (root / "etc/pip.conf").write_text("\n".join(kept) + "\n")
    if apt_proxies():
        (root / "etc/apt/apt.conf.d/50proxy").write_text("\n".join(apt_proxies()) + "\n")
    # services start with these too, as they would on a server whose administrator set them for all
    (root / "etc/systemd/system.conf.d").mkdir(parents=True, exist_ok=True)
    quoted = [f'DefaultEnvironment="{name}={value}"' for name, value in settings().items()]
    (root / "etc/systemd/system.conf.d/50-registries.conf").write_text("\n".join(["[Manager]", *quoted, ""]))
