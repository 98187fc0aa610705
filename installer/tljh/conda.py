"""The names of TLJH's ``tljh.conda`` that plugins import, for use in ``tljh_post_install``.

Packages that are known beforehand are better asked for with the hooks: then they are in the plan and solved with
all others. The install itself doesn't use this module.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.plugins import recording

if TYPE_CHECKING:
    from tljh.resources.conda.environment import CondaBuilder


def ensure_pip_packages(
    prefix: str | Path, packages: Sequence[str], upgrade: bool = False, *, machine: Machine | None = None
) -> None:
    """Install Python packages into the environment at ``prefix``.

    Args:
        prefix: The environment: ``tljh.config.USER_ENV_PREFIX``.
        packages: Requirements; pip's options are allowed.
        upgrade: Also move what is installed already to the newest version.
        machine: Where; this machine when not given.

    Raises:
        CommandFailed: uv failed; its own words are in the message.
    """
    if packages:
        here = machine or Machine()
        with _noted("pip", prefix, packages, here):
            _pip_install(prefix, list(packages), upgrade, here)


def ensure_pip_requirements(
    prefix: str | Path, requirements_path: str | Path, upgrade: bool = False, *, machine: Machine | None = None
) -> None:
    """Install what a requirements file names into the environment at ``prefix``.

    Args:
        prefix: The environment: ``tljh.config.USER_ENV_PREFIX``.
        requirements_path: A path or a URL.
        upgrade: Also move what is installed already to the newest version.
        machine: Where; this machine when not given.

    Raises:
        CommandFailed: uv failed; its own words are in the message.
    """
    here = machine or Machine()
    with _noted("pip", prefix, _lines(requirements_path), here):
        _pip_install(prefix, ["--requirement", str(requirements_path)], upgrade, here)


def ensure_conda_packages(
    prefix: str | Path,
    packages: Sequence[str],
    channels: Sequence[str] = ("conda-forge",),
    *,
    machine: Machine | None = None,
) -> None:
    """Install conda packages, where the environment is one of conda's.

    Args:
        prefix: The environment: ``tljh.config.USER_ENV_PREFIX``.
        packages: Specs as conda takes them.
        channels: Where to take them from, the most important first.
        machine: Where; this machine when not given.

    Raises:
        TljhError: the environment's packages come from PyPI, or the packages can't be had.
    """
    if not packages:
        return
    here = machine or Machine()
    real = Path(os.path.realpath(prefix))
    if not (real / "conda-meta").is_dir():
        raise TljhError(
            f"conda packages ({', '.join(packages)}) can't be installed in {prefix}: its packages come from PyPI",
            todo="install packages of PyPI instead (tljh.conda.ensure_pip_packages), or let the user environment "
            "be one of conda's: tljh-config set user_environment.provider conda",
        )
    with tempfile.TemporaryDirectory(prefix="tljh-") as private, _noted("conda", prefix, packages, here):
        _conda_builder(here, Path(private)).add(real, packages, channels)


@contextlib.contextmanager
def _noted(kind: str, prefix: str | Path, packages: Sequence[str], machine: Machine) -> Iterator[None]:
    """While a plugin's hook runs: note what comes into the user environment, and with what wish."""
    real = Path(os.path.realpath(prefix))
    if not recording.is_on() or real != Path(os.path.realpath(Paths.from_environment().user)):
        yield
        return
    before = _installed(machine, real)
    yield
    new = sorted(_installed(machine, real) - before)
    for package in packages:
        recording.note(kind, name=package, new=new)


def _installed(machine: Machine, path: Path) -> set[str]:
    """The packages of an environment, as locks name them."""
    found = Facts(machine).environment(path)
    return {*found.packages, *(f"conda:{name}" for name in found.conda)} if found else set()


def _lines(place: str | Path) -> list[str]:
    """What a requirements file says, for the record."""
    if not recording.is_on():
        return []
    from tljh.fetch import fetch_text
    from tljh.stages.wishes import lines_of

    url = str(place)
    text = fetch_text(url, whose=url) if url.startswith(("http://", "https://")) else Path(place).read_text()
    return lines_of(text)


def _conda_builder(machine: Machine, private: Path) -> CondaBuilder:
    from tljh.resources.conda.environment import CondaBuilder
    from tljh.resources.conda.reader import read
    from tljh.resources.environments.python_environment import Builder

    paths = Paths.from_environment()
    pip = Builder(machine, paths.bin / "uv", Path("/usr/bin/python3"), paths.cache / "uv")
    settings = read(os.environ, str(Path.home()), str(paths.user))
    return CondaBuilder(machine, pip, paths.cache / "conda", settings=lambda: settings, private=private)


def fix_permissions(prefix: str | Path, *, machine: Machine | None = None) -> None:
    """Give everything in an environment to us, readable for all and writable for no other.

    Args:
        prefix: The environment.
        machine: Where; this machine when not given.
    """
    here = machine or Machine()
    real = os.path.realpath(prefix)  # chown -R does not follow a link that it is given
    here.run(["chown", "-R", f"{os.getuid()}:{os.getgid()}", real])
    here.run(["chmod", "-R", "o-w,a+rX", real])


def _pip_install(prefix: str | Path, words: list[str], upgrade: bool, machine: Machine) -> None:
    paths = Paths.from_environment()
    uv = os.environ.get("TLJH_UV") or str(paths.bin / "uv")
    real = Path(os.path.realpath(prefix))
    options = ["--python", str(real / "bin" / "python"), "--compile-bytecode", "--link-mode", "copy"]
    env = {} if os.environ.get("UV_CACHE_DIR") else {"UV_CACHE_DIR": str(paths.cache / "uv")}
    machine.run([uv, "pip", "install", *options, *(["--upgrade"] if upgrade else []), *words], env=env)
    fix_permissions(real, machine=machine)
