"""Environments of conda's packages: what rattler is asked, what becomes of its answers, and of its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeConda, FakeMachine, FakeUv, add_conda_packages, conda_package, make_context, real
from tljh.errors import TljhError
from tljh.resources.conda.environment import (
    CondaBuilder,
    conda_distributions,
    specs_of_history,
    specs_of_record,
)
from tljh.resources.conda.faults import explained
from tljh.resources.conda.settings import CondaSettings
from tljh.resources.locks.lock import BY_HAND, RECORD, CondaPackage, Lock, Requested

ROWS = [
    Requested("forge", "config.yaml", "channel"),
    Requested("python >=3.10", "core", "conda"),
    Requested("jupyterlab>=4.2,<5", "core", "either"),
    Requested("jupyterhub==6.1.1", "core", "either"),
    Requested("mamba", "core", "if there"),
    Requested("numpy <2", "x", "conda"),
]
CHANNEL = {"python": ["3.11"], "jupyterlab": ["4.4"], "jupyterhub": ["6.1.1"], "numpy": ["1.26"]}


@pytest.fixture
def builder(tmp_path: Path) -> CondaBuilder:
    return make_context(real(tmp_path), uv=FakeUv()).conda


@pytest.fixture
def conda(builder: CondaBuilder) -> FakeConda:
    assert isinstance(builder.machine, FakeMachine)
    return FakeConda(builder.machine, dict(CHANNEL))


def test_what_is_asked_of_rattler(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    lock = builder.resolve(ROWS, {}, place=tmp_path / "envs/user-1")
    (asked,) = conda.asked
    assert asked["channels"] == ["https://conda.anaconda.org/forge"]
    assert asked["specs"] == ["python >=3.10", "numpy <2"]
    assert asked["preferred"] == [["jupyterlab >=4.2,<5"], ["jupyterhub-base ==6.1.1", "jupyterhub ==6.1.1"]]
    assert asked["optional"] == ["mamba"]
    assert lock.pins["conda:jupyterlab"] == "4.4=h1_0"
    assert lock.origins["conda:jupyterlab"] == "core"
    assert lock.lines == (), "nothing is left for pip"
    assert not builder.begun, "and so nothing had to be linked"


def test_pips_part_is_solved_around_condas_packages(
    builder: CondaBuilder, conda: FakeConda, tmp_path: Path
) -> None:
    del conda.channel["jupyterhub"]  # type: ignore[union-attr, attr-defined]
    place = tmp_path / "envs/user-1"
    lock = builder.resolve([*ROWS, Requested("numpy", "y"), Requested("emoji", "y")], {}, place=place)
    assert lock.lines == ("jupyterhub==6.1.1", "emoji==1.0"), "numpy is conda's"
    assert builder.begun == {place}


def test_what_an_admins_pip_put_in_condas_place_stays(
    builder: CondaBuilder, conda: FakeConda, tmp_path: Path
) -> None:
    mine = Requested("numpy==2.3", BY_HAND)
    lock = builder.resolve([*ROWS, mine], {}, place=tmp_path / "envs/user-1")
    assert lock.lines == ("numpy==2.3",)
    assert lock.pins["conda:numpy"] == "1.26=h1_0"


def test_a_build(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    path = real(tmp_path) / "envs/user-1"
    lock = builder.resolve([*ROWS, Requested("emoji", "y")], {}, place=path)
    checked: list[bool] = []
    builder.build(lock, path, check=lambda: checked.append((path / RECORD).exists()))
    assert checked == [False], "the record is written last"
    record = json.loads((path / RECORD).read_text())
    assert Lock.of_record(record) == lock
    assert record["packages"] == {"emoji": "1.0"}, "what conda brought is conda's"
    assert (path / "conda-meta/history").exists(), "conda and mamba know an environment by it"
    assert not builder.begun


def test_what_the_admin_told_conda_about_an_environment_is_kept(
    builder: CondaBuilder, conda: FakeConda, tmp_path: Path
) -> None:
    base, path = tmp_path / "envs/user-1", tmp_path / "envs/user-2"
    (base / "conda-meta").mkdir(parents=True)
    (base / ".condarc").write_text("channels: [bioconda]\n")
    (base / "conda-meta/pinned").write_text("numpy 1.*\n")
    builder.build(builder.resolve(ROWS, {}, place=path), path, base=base)
    assert (path / ".condarc").read_text() == "channels: [bioconda]\n"
    assert (path / "conda-meta/pinned").read_text() == "numpy 1.*\n"


def test_what_was_begun_and_came_to_nothing(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    place = tmp_path / "envs/user-1"
    builder.resolve([*ROWS, Requested("emoji", "y")], {}, place=place)
    assert place.exists()
    builder.forget()
    assert not place.exists()


def test_packages_are_added_in_place(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    path = tmp_path / "envs/user-1"
    python = conda_package("python", "3.11", requested_specs=["python >=3.10"])
    add_conda_packages(path, [python, conda_package("zlib")])
    builder.add(path, ["numpy"], ["forge"])
    solve, install = conda.asked
    assert solve["specs"] == ["python >=3.10", "numpy"], "what was asked for before holds"
    assert {said["name"] for said in solve["locked"]} == {"python", "zlib"}
    assert install["prefix"] == str(path)


def test_credentials_are_in_a_file_that_only_we_can_read(
    builder: CondaBuilder, conda: FakeConda, tmp_path: Path
) -> None:
    builder.channels["https://host/ours"] = "https://me:secret@host/ours"
    rows = [Requested("https://host/ours", "--channel", "channel"), *ROWS[1:]]
    builder.resolve(rows, {}, place=tmp_path / "x")
    assert conda.asked[0]["channels"] == ["https://host/ours"]
    file = builder.private / "rattler-credentials.json"
    assert "secret" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert str(file) in conda.asked[0]["config"]


def test_rattler_gets_the_settings_of_conda(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    settings = CondaSettings(channel_alias="https://mirror.example.org", retries=7)
    builder.settings = lambda: settings
    builder.resolve(ROWS, {}, place=tmp_path / "x")
    assert conda.asked[0]["channels"] == ["https://mirror.example.org/forge"]
    assert conda.asked[0]["retries"] == 7
    assert isinstance(builder.machine, FakeMachine)
    assert "SSL_CERT_FILE" in builder.machine.options[0]["env"]


def test_the_cache_keeps_what_an_environment_is_linked_from(builder: CondaBuilder, tmp_path: Path) -> None:
    add_conda_packages(tmp_path / "user-1", [conda_package("numpy")])
    for name in ("numpy-1.0-h1_0", "numpy-1.0-h1_0.lock", "old-1.0-h1_0", "old-1.0-h1_0.lock"):
        (builder.cache / "pkgs" / name).mkdir(parents=True)
    builder.prune([tmp_path / "user-1"])
    assert {path.name for path in (builder.cache / "pkgs").iterdir()} == {"numpy-1.0-h1_0", "numpy-1.0-h1_0.lock"}


def test_distributions_of_conda(tmp_path: Path) -> None:
    add_conda_packages(tmp_path, [conda_package("numpy", "1.26"), conda_package("nameless")])
    (tmp_path / "lib/python3.11/site-packages/nameless-1.0.dist-info/INSTALLER").unlink()
    assert conda_distributions(tmp_path) == {"numpy": "1.26", "nameless": "1.0"}, "some recipes say nothing"


# ---- faults


def fault(kind: str, text: str, about: str = "") -> str:
    return str(explained({"fault": kind, "text": text, "about": about}, ROWS))


FAULTS: dict[str, tuple[Any, list[str]]] = {
    "spec": (("spec", "unable to parse version spec: >>3", "numpy <2"), ["not a conda spec: numpy <2 (x asks"]),
    "solve": (("solve", "numpy <2 cannot be installed because"), ["together (x asks for numpy <2)"]),
    "channel": (("channel", "tcp connect error\nConnection refused"), ["channel cannot be used", "provider pypi"]),
    "hash": (("hash", "/srv/x.conda has the sha256 1 instead of 2", "x"), ["not the one that the"]),
    "hash at download": (("install", "hash mismatch: 1 != 2"), ["not the one that the"]),
    "room": (("install", "No space left on device (os error 28)"), ["no room left on the disk", "make room"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_in_words(kind: str) -> None:
    arguments, words = FAULTS[kind]
    said = fault(*arguments)
    assert all(word in said for word in words), said
    assert "what serves now was not changed" in said
    assert f"    {arguments[1].splitlines()[0]}" in said, "rattler's own words are there too"


def test_a_fault_stops_the_resolve(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    conda.fault = {"fault": "solve", "text": "no", "about": ""}
    with pytest.raises(TljhError, match="cannot be installed together"):
        builder.resolve(ROWS, {}, place=tmp_path / "x")


def test_a_rattler_that_crashes(builder: CondaBuilder, conda: FakeConda, tmp_path: Path) -> None:
    assert isinstance(builder.machine, FakeMachine)
    for name in list(builder.machine.answers):
        builder.machine.answers[name] = "not JSON"
    with pytest.raises(TljhError, match="rattler failed"):
        builder.resolve(ROWS, {}, place=tmp_path / "x")


# ---- what admins did


def test_specs_of_history() -> None:
    text = """==> 2026-01-01 00:00:00 <==
# cmd: /opt/tljh/user/bin/conda install numpy
# update specs: ['numpy >=2', "conda-forge::r-base"]
==> 2026-01-02 00:00:00 <==
# install specs: six,idna
# remove specs: ['six']
"""
    assert specs_of_history(text) == {"numpy": "numpy >=2", "r-base": "conda-forge::r-base", "idna": "idna"}
    assert specs_of_history("") == {}


def test_specs_of_a_record() -> None:
    assert specs_of_record({"requested_spec": "six"}) == ["six"]
    assert specs_of_record({"requested_specs": ["six >1", "six"], "requested_spec": "None"}) == ["six >1", "six"]
    assert specs_of_record({"requested_spec": "None"}) == []
    assert specs_of_record({}) == []


def test_a_package_of_json() -> None:
    package = CondaPackage.of(conda_package("numpy", "1.26", depends=["python"], timestamp=5))
    assert package.file_name == "numpy-1.26-h1_0.conda"
    assert package.channel == "https://conda.example.org/forge"
    assert package.depends == ("python",)
