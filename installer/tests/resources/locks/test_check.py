"""Whether a lock has what is asked for: in conda's words, in pip's, and of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine, make_context, real
from lock_fakes import LockConda, package
from tljh.errors import TljhError
from tljh.resources.conda.environment import CondaBuilder
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.check import same_files, unmet
from tljh.resources.locks.lock import Lock, Manager, Requested
from tljh.resources.locks.lock_file import PlatformLock


def pip(name: str, version: str, url: str = "") -> PipPackage:
    return PipPackage(name, version, url or f"https://f/{name}.whl", "a" * 64, direct=bool(url))


PART = PlatformLock(
    (package("python", "3.11.2"), package("jupyterhub-base", "6.1.1"), package("jupyter_client", "8.0")),
    (
        pip("cowsay", "6.0"),
        pip("mine", "1", "git+https://h/mine@" + "a" * 40),
        pip("local", "1", "https://h/l.whl"),
    ),
    brings={"jupyterhub-base": {"jupyterhub": "6.1.1"}},
)


@pytest.fixture
def builder(tmp_path: Path) -> CondaBuilder:
    return make_context(real(tmp_path)).conda


@pytest.fixture
def conda(builder: CondaBuilder) -> LockConda:
    assert isinstance(builder.machine, FakeMachine)
    return LockConda(builder.machine)


GOOD: list[tuple[str, Manager]] = [
    ("forge", "channel"),
    ("python >=3.10", "conda"),
    ("mamba", "if there"),
    ("jupyterhub==6.1.1", "either"),
    ("jupyter-client>=7", "either"),
    ("cowsay>=5,<7", "either"),
    ("cowsay[all]==6.0", "pip"),
    ("jupyterhub>=5", "pip"),
    ("mine @ git+https://h/mine@main", "pip"),
    ("local @ https://h/l.whl#sha256=12", "pip"),
    ("absent; python_version < '3'", "pip"),
    ("--extra-index-url https://i", "pip"),
    ("https://h/no-name.whl", "pip"),
]


@pytest.mark.parametrize(("requirement", "manager"), GOOD)
def test_what_it_has(builder: CondaBuilder, conda: LockConda, requirement: str, manager: Manager) -> None:
    assert unmet(builder, PART, [Requested(requirement, "x", manager)], "3.11") == []


BAD: list[tuple[str, Manager, str]] = [
    ("numpy", "conda", "the lock does not have it"),
    ("python >=3.12", "conda", "the lock has python 3.11.2"),
    ("cowsay>=7", "pip", "the lock has cowsay 6.0"),
    ("cowsay>=7", "either", "the lock has cowsay 6.0"),
    ("sheep", "pip", "the lock does not have it"),
    ("jupyterhub>=7", "pip", "the lock has jupyterhub 6.1.1"),
    ("mine @ git+https://other/mine@main", "pip", "the lock has mine 1"),
    ("local @ https://h/other.whl", "pip", "the lock has local 1"),
]


@pytest.mark.parametrize(("requirement", "manager", "words"), BAD)
def test_what_it_lacks(
    builder: CondaBuilder, conda: LockConda, requirement: str, manager: Manager, words: str
) -> None:
    said = unmet(builder, PART, [Requested(requirement, "plugin-x", manager)], "3.11")
    assert said == [f"plugin-x asks for {requirement}; {words}"]


def test_a_hub_of_another_minor_version_does(builder: CondaBuilder, conda: LockConda) -> None:
    assert unmet(builder, PART, [Requested("jupyterhub==6.2.0", "core", "either")], "3.11") == []
    assert unmet(builder, PART, [Requested("jupyterhub==7.0.0", "core", "either")], "3.11") == [
        "core asks for jupyterhub==7.0.0; the lock has jupyterhub 6.1.1"
    ]


def test_what_it_asks_of_the_machine(builder: CondaBuilder, conda: LockConda) -> None:
    conda.lacks = [
        ["python", "__glibc >=2.50", "2.36"],
        ["zlib", "__glibc >=2.50", "2.36"],
        ["torch", "__cuda", ""],
    ]
    assert unmet(builder, PART, [], "3.11") == [
        "python and 1 more ask for __glibc >=2.50; this machine has 2.36",
        "torch asks for __cuda; this machine has none",
    ]


def test_pypis_packages_need_no_rattler(builder: CondaBuilder) -> None:
    part = PlatformLock((), (pip("cowsay", "6.0"),), "3.11")
    assert unmet(builder, part, [Requested("cowsay", "x"), Requested("sheep", "y")], "3.11") == [
        "y asks for sheep; the lock does not have it"
    ]


def test_no_spec(builder: CondaBuilder, conda: LockConda) -> None:
    conda.fault = {"fault": "spec", "text": "no", "about": "a b c"}
    with pytest.raises(TljhError, match="this is not a conda spec: a b c"):
        unmet(builder, PART, [Requested("a b c", "config.yaml", "conda")], "3.11")


def test_other_files_of_the_same_versions() -> None:
    one = Lock((), ("a==1 --hash=sha256:1 --hash=sha256:2", "b==1"), conda=(package("c"), package("d")))
    assert same_files(one, Lock((), ("a==1 --hash=sha256:2", "b==1 --hash=sha256:3"), conda=(package("c"),)))
    assert same_files(one, Lock((), ("a==2 --hash=sha256:9",), conda=(package("c", "2.0", sha256="9"),)))
    assert not same_files(one, Lock((), ("a==1 --hash=sha256:3",)))
    assert not same_files(one, Lock((), (), conda=(package("d", sha256="9"),)))
