"""conda-lock.yml: what a real one says, and every way in which one can't be trusted."""

from __future__ import annotations

import re

import pytest
from fakes import recorded
from lock_fakes import package, text_of
from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.conda_lock_environment import Locked, document
from tljh.resources.locks.lock import Requested
from tljh.resources.locks.lock_file import LockFile, PlatformLock, digest_of, parse

REAL = recorded("resources/conda-lock.yml")
"""What conda-lock 4.0.3 wrote."""


def refused(text: str) -> str:
    with pytest.raises(TljhError) as caught:
        parse(text, "x.yml")
    return str(caught.value)


# ---- a good one


def test_what_conda_lock_wrote() -> None:
    lock = parse(REAL, "x.yml")
    assert lock.channels == ("conda-forge", "https://conda.example.org/forge")
    assert set(lock.platforms) == {"linux-64", "linux-aarch64"}
    part = lock.part("linux-64", "x.yml")
    assert [p.name for p in part.conda] == ["humanize", "python", "python-fastjsonschema", "python_abi", "tzdata"]
    assert part.provider == "conda" and part.python_version == "3.13"
    humanize, python, _, _, tzdata = part.conda
    assert (humanize.noarch, tzdata.noarch, python.noarch) == ("python", "generic", None)
    assert (humanize.build, humanize.build_number, humanize.subdir) == ("pyhd8ed1ab_1", 1, "noarch")
    assert humanize.depends == ("python >=3.8",)
    assert humanize.sha256.startswith("c72e9350") and humanize.md5.startswith("e98b5596")
    assert "bzip2 >=1.0.8,<2.0a0" in python.depends
    assert part.brings == {"python-fastjsonschema": {"fastjsonschema": "2.22.3"}}


def test_what_the_format_cannot_say_is_there_all_the_same() -> None:
    python = parse(REAL, "x.yml").platforms["linux-aarch64"].conda[1]
    assert python.constrains == ("python_abi 3.13.* *_cp313t",)
    assert python.size == 33000000
    assert python.python_site_packages_path == "lib/python3.13t/site-packages"
    assert python.build_number == 5


def test_pips_part() -> None:
    part = parse(REAL, "x.yml").platforms["linux-64"]
    cowsay, direct, gitty = part.lines
    assert cowsay.startswith("cowsay==6.1 --hash=sha256:05b720a1"), "any index may give it"
    assert direct.startswith(
        "direct @ https://host.example.org/direct-1.0-py3-none-any.whl --hash=sha256:d15690f0"
    )
    assert gitty == "gitty @ git+https://host.example.org/gitty@a4aa242dc43ae106e8c7de56ee03d15c7fa0b21f"


def test_only_the_main_category_counts() -> None:
    begin, first, rest = REAL.partition("- name: cowsay")
    other = first + rest.replace("category: main", "category: dev", 1)
    lines = parse(begin + other, "x.yml").platforms["linux-64"].lines
    assert not any(line.startswith("cowsay") for line in lines)


def test_without_what_is_ours_it_is_derived() -> None:
    begin, _, rest = REAL.partition("  custom_metadata:")
    part = parse(begin + rest[rest.index("package:\n") :], "x.yml").platforms["linux-64"]
    python = part.conda[1]
    assert (python.constrains, python.size, python.build_number) == ((), None, 5)
    assert python.python_site_packages_path == "lib/python3.13t/site-packages"
    assert part.brings == {}


def test_what_is_written_is_what_is_read() -> None:
    mine = PlatformLock(
        (
            package("merged", depends=["python >=3.8", "python <3.14", "abi 3.11.* *_cp311", "abi >=3"]),
            package("numbered", build="py311_7", build_number=2, size=3, constrains=["numpy <2"]),
        ),
        (PipPackage("cowsay", "6.0", "https://files.example.org/cowsay-6.0-py3-none-any.whl", "a" * 64),),
        brings={"merged": {"Merged": "1.0"}},
    )
    text = text_of(document({"linux-64": Locked(mine)}, ["forge"], ["config.yaml"]))
    assert parse(text, "x.yml") == LockFile(("forge",), {"linux-64": mine})


def test_a_lock_of_pypis_packages() -> None:
    mine = PlatformLock((), (PipPackage("cowsay", "6.0", "https://files.example.org/c.whl", "a" * 64),), "3.11")
    read = parse(text_of(document({"linux-64": Locked(mine)}, [], [])), "x.yml").platforms["linux-64"]
    assert read == mine
    assert (read.provider, read.python_version) == ("pypi", "3.11")


def test_several_wishes_for_a_version_are_one_entry() -> None:
    mine = PlatformLock((package("a", depends=["b >=1", "b <2", "c 1.* *_x", "c >=1", "d", "e *", "e *"]),))
    (entry,) = document({"linux-64": Locked(mine)}, [], [])["packages"]
    assert entry["dependencies"] == {"b": ">=1,<2", "c": "1.* *_x", "d": "", "e": "*"}


def test_the_same_wishes_have_the_same_digest() -> None:
    part = PlatformLock((package("a"),))
    rows = [Requested("a", "x", "conda"), Requested("b", "y")]
    hashes = [
        document({"linux-64": Locked(part, listed)}, [], [])["content_hash"]["linux-64"]
        for listed in (rows, rows[::-1], rows[:1])
    ]
    assert hashes[0] == hashes[1] != hashes[2]


# ---- what can't be used


def test_another_platform() -> None:
    with pytest.raises(TljhError) as caught:
        parse(REAL, "x.yml").part("linux-ppc64le", "/root/x.yml")
    assert str(caught.value) == (
        "/root/x.yml: this lock is for linux-64 and linux-aarch64; this machine is linux-ppc64le\n"
        "  → where it was made, run: tljh lock --platform linux-ppc64le; nothing was changed"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 6\npackages: []\n", "it has version 6 at line 1; expected version 1"),
        ("package: []\n", "it has no version"),
        ("version: 1\npackage: {}\n", "with a list of packages"),
        ("", "x.yml: this is not a lock: it holds nothing"),
        ("- a\n- b\n", "x.yml: this is not a lock: it holds no keys"),
        ("a: 1\n b: [\n", "x.yml line 2, column"),
        ("version: 1\npackage: []\n", "x.yml line 2: there is no package in it"),
        ("a: \x00", "broken YAML"),
    ],
)
def test_no_lock(text: str, words: str) -> None:
    assert words in refused(text)


FAULTS = {
    "no sha256": ("    sha256: c72e9350[0-9a-f]*\n", "", "line 28: humanize has no sha256"),
    "no hash": ("c72e9350[0-9a-f]{20}", "zz", "line 28: humanize has a sha256 that is none: zz"),
    "no url": ("  url: https://conda.example.org/forge/noarch/humanize.*\n", "", "line 28: humanize has no url"),
    "ftp": (
        "https://conda.example.org/forge/noarch/humanize",
        "ftp://me:secret@x/noarch/humanize",
        "has the url ftp",
    ),
    "another manager": (
        "manager: conda",
        "manager: mamba",
        "humanize has the manager mamba; there are conda and pip",
    ),
    "another package": (
        "name: humanize",
        "name: humanise",
        "humanise 4.9.0 has the url of another package: humanize-",
    ),
    "another version": ("version: 4.9.0", "version: 4.9.1", "humanize 4.9.1 has the url of another package"),
    "no package": ("humanize-4.9.0-pyhd8ed1ab_1.conda", "humanize.zip", "which is not that of a conda package"),
    "no JSON": ("tljh: '", "tljh: '{{", "line 22: tljh is not JSON"),
    "other JSON": (r"tljh: '(.|\n)*?'\n", "tljh: '[1]'\n", "line 22: tljh is not what tljh lock writes"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_an_entry_that_cannot_be_trusted(kind: str) -> None:
    pattern, text, words = FAULTS[kind]
    changed, count = re.subn(pattern, text, REAL, count=1)
    assert count == 1
    said = refused(changed)
    assert words in said and said.startswith("x.yml line ")
    assert "secret" not in said
    assert said.endswith("nothing was changed")


def test_a_package_twice() -> None:
    entry = REAL[REAL.index("- name: humanize") : REAL.index("- name: python\n")]
    entry = entry[: entry.index("- name", 5)]
    assert parse(REAL + entry, "x.yml") == parse(REAL, "x.yml"), "conda-lock does that for several categories"
    other = entry.replace("forge/noarch", "other/noarch")
    assert "line 232: humanize is in the lock twice" in refused(REAL + other)


def test_many_faults_are_not_all_told() -> None:
    said = refused(REAL.replace("    sha256: ", "    sha512: "))
    assert len(said.splitlines()) == 10 and "… and 8 more" in said


def test_a_commit_needs_no_hash() -> None:
    branch = REAL.replace("gitty@a4aa242dc43ae106e8c7de56ee03d15c7fa0b21f", "gitty@main")
    said = refused(branch)
    assert "gitty has the url git+https://host.example.org/gitty@main; expected https, http or file" in said


def test_a_digest() -> None:
    assert digest_of("x") == digest_of("x") != digest_of("y")
    assert digest_of("x").startswith("sha256:2d711642")
