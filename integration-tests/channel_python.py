"""Debian's Python and its libraries as conda packages.

Debian's Python is a real CPython. It becomes one of a conda prefix when Debian's own rules are taken out: packages
are in ``site-packages``, nothing is looked for in ``/usr``, and libraries are found beside it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from channel_debs import Deb
from conda_package import MACHINE, PLACEHOLDER, CondaPackage, File
from unfreeze import unfreeze

MINOR = "3.11"
TAG = "cp311"
SITE_PACKAGES = f"lib/python{MINOR}/site-packages"
BUILD = "deb12_0"
GLIBC_MINOR = 36  # bookworm has glibc 2.36
GLIBC = f"__glibc >=2.{GLIBC_MINOR}"
LICENSE = "see Debian's copyright file"
MULTIARCH = f"{MACHINE}-linux-gnu"

# conda's name: Debian's package, what it depends on
LIBRARIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "bzip2": ("libbz2-1.0", ()),
    "expat": ("libexpat1", ()),
    "libffi": ("libffi8", ()),
    "libncursesw": ("libncursesw6", ("libtinfo",)),
    "libsqlite": ("libsqlite3-0", ("zlib",)),
    "libtinfo": ("libtinfo6", ()),
    "libuuid": ("libuuid1", ()),
    "openssl": ("libssl3", ("ca-certificates",)),
    "readline": ("libreadline8", ("libtinfo",)),
    "xz": ("liblzma5", ()),
    "zlib": ("zlib1g", ()),
}
PYTHON_DEBS = (
    f"libpython{MINOR}-minimal",
    f"libpython{MINOR}-stdlib",
    f"python{MINOR}-minimal",
    f"python{MINOR}",
    f"python{MINOR}-venv",
    "python3-lib2to3",
)
DEBS = (*PYTHON_DEBS, *(deb for deb, _ in LIBRARIES.values()), "ca-certificates", "tzdata")
# extension modules for libraries that are not here, and files that only mean something on Debian
LEFT_OUT = re.compile(r"/test/|/lib-dynload/(nis|_dbm|_crypt)\.|/(EXTERNALLY-MANAGED|sitecustomize\.py"
                      r"|_distutils_system_mod\.py)$")  # fmt: skip
STDLIB = f"lib/python{MINOR}/"


def packages(debs: Mapping[str, Deb], installers: Mapping[str, bytes]) -> list[CondaPackage]:
    """Python and all that it depends on.

    Args:
        debs: Those of ``DEBS``.
        installers: The wheels of pip and setuptools, by file name, for ``python -m ensurepip``.

    Raises:
        subprocess.CalledProcessError: patchelf failed.
        ValueError: Debian's files are no longer as they were when this was written; the message says which.
    """
    return [
        _python(debs, installers),
        *(_library(name, debs[deb], depends) for name, (deb, depends) in LIBRARIES.items()),
        _certificates(debs["ca-certificates"]),
        _time_zones(debs["tzdata"]),
        _python_abi(),
    ]


# ---- what Python depends on


def _library(name: str, deb: Deb, depends: tuple[str, ...]) -> CondaPackage:
    package = CondaPackage(name, deb.version, BUILD, depends=[GLIBC, *depends], license=LICENSE)
    below = re.compile(rf"(?:usr/)?lib/{MULTIARCH}/(.+)")
    for path, file in deb.files.items():
        if found := below.fullmatch(path):
            target = f"lib/{found[1]}"
            up = "/.." * (target.count("/") - 1)
            package.files[target] = _finds_libraries(file, f"$ORIGIN{up}")
    for path, leads_to in deb.links.items():
        if found := below.fullmatch(path):
            package.link(f"lib/{found[1]}", leads_to)
    return package


def _certificates(deb: Deb) -> CondaPackage:
    package = CondaPackage("ca-certificates", deb.version, BUILD, noarch="generic", license="MPL-2.0")
    trusted = "usr/share/ca-certificates/"
    found = [file.data for path, file in sorted(deb.files.items()) if path.startswith(trusted)]
    package.add("ssl/cert.pem", b"".join(data.rstrip() + b"\n" for data in found))
    package.link("ssl/cacert.pem", "cert.pem")
    return package


def _time_zones(deb: Deb) -> CondaPackage:
    package = CondaPackage("tzdata", deb.version, BUILD, noarch="generic", license="public domain")
    wanted = re.compile(r"usr/(share/zoneinfo/(?!posix/|right/).+)")
    for path, file in deb.files.items():
        if found := wanted.fullmatch(path):
            package.files[found[1]] = file
    for path, target in deb.links.items():
        if (found := wanted.fullmatch(path)) and not target.startswith("/"):
            package.link(found[1], target)
    return package


def _python_abi() -> CondaPackage:
    """No files: what is compiled for this Python depends on it, as on conda-forge."""
    only = [f"python {MINOR}.* *_cpython"]
    return CondaPackage("python_abi", MINOR, f"5_{TAG}", 5, noarch="generic", constrains=only)


# ---- Python


def _python(debs: Mapping[str, Deb], installers: Mapping[str, bytes]) -> CondaPackage:
    package = CondaPackage(
        "python",
        debs[f"python{MINOR}-minimal"].version,
        f"{BUILD}_cpython",
        depends=[GLIBC, *sorted([*LIBRARIES, "ca-certificates", "tzdata"])],
        constrains=[f"python_abi {MINOR}.* *_{TAG}"],
        license="PSF-2.0",
        summary="Debian's CPython as a conda package",
        more={"python_site_packages_path": SITE_PACKAGES},
    )
    program = f"bin/python{MINOR}"
    for name in PYTHON_DEBS:
        for path, file in debs[name].files.items():
            target = path.removeprefix("usr/")
            if target == program:
                package.files[target] = _finds_libraries(file, "$ORIGIN/../lib")
            elif target.startswith(STDLIB) and not LEFT_OUT.search(target):
                package.files[target] = _finds_libraries(file, "$ORIGIN/../..")
    package.edit(program, unfreeze(package.files[program].data))
    for name in ("bin/python", "bin/python3"):
        package.link(name, f"python{MINOR}")
    for name, change in EDITS.items():
        text = package.files[STDLIB + name].data.decode()
        try:
            package.edit(STDLIB + name, change(text).encode())
        except ValueError as error:
            raise ValueError(f"Debian's {STDLIB}{name}: {error}") from None
    _relocate_configuration(package)
    for name, wheel in installers.items():
        package.add(f"{STDLIB}ensurepip/_bundled/{name}", wheel)
    package.add(f"{SITE_PACKAGES}/README.txt", b"The packages of this conda environment.\n")
    return package


def _finds_libraries(file: File, where: str) -> File:
    """The file; when it is a program or library, with ``where`` to find others in (``man 8 ld.so``)."""
    if not file.data.startswith(b"\x7fELF"):
        return file
    beside = Path(sys.executable).with_name("patchelf")
    patchelf = str(beside) if beside.exists() else shutil.which("patchelf") or "patchelf"
    with tempfile.NamedTemporaryFile() as place:
        Path(place.name).write_bytes(file.data)
        subprocess.run([patchelf, "--set-rpath", where, place.name], check=True)
        return File(Path(place.name).read_bytes(), file.mode)


def _relocate_configuration(package: CondaPackage) -> None:
    """Let what Python knows of how it was built (``sysconfig``) name the prefix where it names ``/usr``."""
    (path,) = (path for path in package.files if path.startswith(f"{STDLIB}_sysconfigdata_"))
    text = package.files[path].data.decode()
    text = re.sub(r"(?<![\w.])/usr(?=[/'\s])", lambda _: PLACEHOLDER, text)
    key = f"'WHEEL_PKG_DIR': '{PLACEHOLDER}"
    text = _replaced(text, f"{key}/share/python-wheels/'", f"{key}/{STDLIB}ensurepip/_bundled'")
    package.edit(path, text.encode(), "text")


# ---- what Debian changed, and is changed back


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(f"{old!r} is there {text.count(old)} times, not once")
    return text.replace(old, new)


def _without(text: str, begin: str, end: str) -> str:
    """The text without what is between the two, ``begin`` included and ``end`` not."""
    if text.count(begin) != 1 or end not in text.partition(begin)[2]:
        raise ValueError(f"no part from {begin!r} to {end!r}")
    before, _, after = text.partition(begin)
    return before + after[after.index(end) :]


def _site(text: str) -> str:
    mark = "            if is_virtual_environment:\n"
    text = _without(text, mark, "            for libdir in libdirs:\n")
    return _replaced(text, '"dist-packages")', '"site-packages")')


def _sysconfig(text: str) -> str:
    text = _replaced(text, "os.environ.get('DEB_PYTHON_INSTALL_LAYOUT', 'posix_local')", "None")
    return _replaced(text, "    prefix_scheme = 'posix_local'\n", "    prefix_scheme = 'posix_prefix'\n")


def _ensurepip(text: str) -> str:
    text = _without(text, "def _ensurepip_is_disabled_in_debian_for_system():\n", "__all__ = ")
    return re.sub(r"^ +_ensurepip_is_disabled_in_debian_for_system\(\)\n", "", text, flags=re.M)


def _ssl(text: str) -> str:
    """OpenSSL was built to look below ``/usr/lib/ssl``; a conda prefix has certificates of its own."""
    mark = "        self.set_default_verify_paths()\n"
    own = """\
        bundle = os.path.join(sys.base_prefix, "ssl", "cert.pem")
        if os.path.exists(bundle) and not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
            self.load_verify_locations(bundle)
            return
"""
    return _replaced(text, mark, own + mark)


EDITS: Mapping[str, Callable[[str], str]] = {
    "site.py": _site,
    "sysconfig.py": _sysconfig,
    "ensurepip/__init__.py": _ensurepip,
    "ssl.py": _ssl,
}
