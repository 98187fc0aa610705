"""A channel whose index is of conda-forge's size, for measuring what a solve costs there in time and memory.

The packages don't exist, but for those of another channel that are merged into it: these can be installed. Their
names get older versions that don't exist either, so that as many records are read for a solve as on conda-forge.
The rest follows it too: 25,000 names, a few with very many records; two thirds for any platform; what is compiled
for Python is there for several versions of it; dependencies are on a few hundred names that are used a lot.
Keys of a record: https://docs.conda.io/projects/conda-build/en/stable/concepts/generating-index.html
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

from conda_package import BUILT, SUBDIR

NAMES = 25_000
USED_A_LOT = 300  # names that others depend on
OLDER = 100  # records that a real name gets, in the middle
PYTHONS = ("3.8", "3.9", "3.10", "3.11")
SUBDIRS = ("noarch", SUBDIR)
ENDINGS = {"packages": ".tar.bz2", "packages.conda": ".conda"}  # the sections of an index
SYLLABLES = [consonant + vowel for consonant in "bcdfgjklmnprstvwxz" for vowel in "aeiou"]
PREFIXES = ("", "", "", "", "py-", "r-", "lib")
LICENSES = (("MIT", "MIT"), ("BSD-3-Clause", "BSD"), ("Apache-2.0", "Apache"), ("GPL-3.0-or-later", "GPL"))
Records = Mapping[str, Mapping[str, Any]]  # by file name


class Name(NamedTuple):
    """A package: how many records it is to have, where, up to which version (not included), needing what."""

    name: str
    records: int
    subdir: str
    below: tuple[int, ...]
    depends: Sequence[str]
    compiled: bool


def write(folder: Path, records: int = 500_000, real: Path | None = None, seed: int = 1) -> int:
    """Write the channel into an empty folder, record by record.

    Args:
        records: How many it is to have, about.
        real: The folder of a channel whose packages are merged into it; the files are linked where that can be.
        seed: The same one gives the same channel.

    Returns:
        How many records it has.
    """
    chance = random.Random(seed)
    existing = {subdir: _index(real / subdir) if real else {} for subdir in SUBDIRS}
    names = sorted(_names(chance, records, existing))
    total = 0
    for subdir in SUBDIRS:
        (folder / subdir).mkdir(parents=True)
        with ExitStack() as opened:
            # both sections get theirs by turns: each is a file until all are known
            sections = {section: folder / subdir / f".{section}" for section in ENDINGS}
            files = {name: opened.enter_context(path.open("w+")) for name, path in sections.items()}
            for file_name, record in existing[subdir].items():
                _put(files, file_name, record)
                _link(Path(real or "", subdir, file_name), folder / subdir / file_name)
                total += 1
            for name in names:
                if name.subdir == subdir:
                    for file_name, record in _records(chance, name):
                        _put(files, file_name, record)
                        total += 1
            _join(folder / subdir, files)
        for path in sections.values():
            path.unlink()
    return total


# ---- files


def _index(folder: Path) -> Records:
    return dict(json.loads((folder / "repodata.json").read_text())["packages.conda"])


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copyfile(source, target)


def _put(files: Mapping[str, IO[str]], file_name: str, record: Mapping[str, Any]) -> None:
    section = next(section for section, ending in ENDINGS.items() if file_name.endswith(ending))
    begin = "," if files[section].tell() else ""
    files[section].write(f"{begin}\n{json.dumps(file_name)}:{json.dumps(record, separators=(',', ':'))}")


def _join(folder: Path, files: Mapping[str, IO[str]]) -> None:
    """The index of a subdir, plain and compressed."""
    import zstandard

    index = folder / "repodata.json"
    with index.open("w") as whole:
        whole.write(json.dumps({"info": {"subdir": folder.name}}).removesuffix("}"))
        for section, file in files.items():
            whole.write(f',\n"{section}":{{')
            file.seek(0)
            shutil.copyfileobj(file, whole)
            whole.write("}")
        whole.write(',\n"removed":[],"repodata_version":1}\n')
    with index.open("rb") as plain, index.with_name("repodata.json.zst").open("wb") as compressed:
        zstandard.ZstdCompressor(3).copy_stream(plain, compressed)


# ---- names


def _names(chance: random.Random, records: int, existing: Mapping[str, Records]) -> Iterator[Name]:
    """As many names as conda-forge has, which together have so many records."""
    real = {record["name"]: record for part in existing.values() for record in part.values()}
    made = _made_names(chance, NAMES - len(real), real)
    used = made[:USED_A_LOT]
    for name, record in real.items():
        needs = [line.split()[0] for line in record["depends"]]
        older = chance.randint(OLDER // 2, OLDER * 2)
        records -= older
        compiled = any(line.startswith("python_abi ") for line in record["depends"])
        numbers = tuple(map(int, re.findall(r"\d+", record["version"])))
        yield Name(name, older, record["subdir"], numbers, [*needs, *chance.sample(used, 2)], compiled)
    subdirs = chance.choices(("noarch", SUBDIR), (2, 1), k=len(made))
    # what is used a lot is released a lot, and what is compiled is there several times
    weights = [
        chance.lognormvariate(0, 1.3) * (4 if number < USED_A_LOT else 1) * (1 if subdir == "noarch" else 4)
        for number, subdir in enumerate(subdirs)
    ]
    share = (records - sum(map(len, existing.values()))) / sum(weights)
    for number, (name, subdir) in enumerate(zip(made, subdirs, strict=True)):
        # what is used a lot needs only what comes before it: a solve reads these, not all names
        candidates = made[:number] if number < USED_A_LOT else [*used, *real]
        needs = chance.sample(candidates, min(len(candidates), chance.choice((2, 3, 4, 5, 6, 8, 12, 18))))
        below = (chance.choice((0, 1, 1, 2, 5, 2026)), chance.randrange(30), chance.randrange(12))
        compiled = subdir != "noarch" and chance.random() < 0.6
        yield Name(name, max(1, round(weights[number] * share)), subdir, below, needs, compiled)


def _made_names(chance: random.Random, count: int, taken: Mapping[str, object]) -> list[str]:
    made: dict[str, None] = {}
    while len(made) < count:
        name = chance.choice(PREFIXES) + "".join(chance.choices(SYLLABLES, k=chance.choice((2, 3, 3, 4))))
        if name not in taken:
            made[name] = None
    return list(made)


# ---- records


def _records(chance: random.Random, name: Name) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a name and the names of their files, the newest first."""
    license, family = chance.choice(LICENSES)
    pythons: Sequence[str | None] = PYTHONS if name.compiled else [None]
    for number in range(name.records):
        version = _earlier(name.below, number // len(pythons) + 1)
        python = pythons[number % len(pythons)]
        mark = hashlib.md5(f"{name.name} {version} {python}".encode()).hexdigest()
        kind = f"py{python.replace('.', '')}" if python else "py" if name.subdir == "noarch" else ""
        build = f"{kind}h{mark[:7]}_0"
        # a third, the oldest, is in the format of before 2020
        ending = ENDINGS["packages.conda" if number < name.records * 2 / 3 else "packages"]
        file_name = f"{name.name}-{version}-{build}{ending}"
        record: dict[str, Any] = {
            "build": build,
            "build_number": 0,
            "depends": _needs(name, python, number),
            "license": license,
            "license_family": family,
            "md5": mark,
            "name": name.name,
            "sha256": hashlib.sha256(file_name.encode()).hexdigest(),
            "size": chance.randrange(5_000, 5_000_000),
            "subdir": name.subdir,
            "timestamp": (BUILT - 86_400 * (number + 30)) * 1000,
            "version": version,
        }
        if name.subdir == "noarch":
            record["noarch"] = "python"
        yield file_name, record


def _earlier(below: tuple[int, ...], steps: int) -> str:
    """The version that is so many steps before ``below``: twelve patches to a minor, thirty minors to a major."""
    major, minor, patch = (*below, 0, 0, 0)[:3]
    place = ((major * 30) + min(minor, 29)) * 12 + min(patch, 11) - steps
    if place < 0:  # nothing is before 0.0.0 but what is called otherwise
        return f"0.0.0.dev{10_000 + place}"
    return f"{place // 360}.{place // 12 % 30}.{place % 12}"


def _needs(name: Name, python: str | None, number: int) -> list[str]:
    """What the record depends on: as long as in reality, other ones in other versions, and always to be had."""
    own = [
        f"{need} >=0.0.{number // 8},!=0.0.{number // 8 + place}.*" if place % 2 else need
        for place, need in enumerate(name.depends)
        if python is None or need not in ("python", "python_abi")
    ]
    if python is None:
        return own
    after = f"3.{int(python.partition('.')[2]) + 1}"
    return [*own, f"python >={python},<{after}.0a0", f"python_abi {python}.* *_cp{python.replace('.', '')}"]
