"""What packages say of their own files: real records of rattler, conda, pip and uv."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import recorded
from installed_fakes import SITE, add_conda_package, add_distribution, put
from tljh.resources.environments.installed_files import (
    Expected,
    distributions,
    parse_prefix_record,
    parse_record,
    read_records,
)

# ---- conda


def test_a_record_of_rattler() -> None:
    found = parse_prefix_record(recorded("resources/conda-meta-readline.json"), "conda:readline")
    assert list(found) == [
        "lib/libhistory.so.8",
        "lib/libhistory.so.8.2",
        "lib/libreadline.so.8",
        "lib/libreadline.so.8.2",
    ]
    text = "b2deb22741c2750621986bf175549c890d130cb5c8616ecad7961918bf24550a"
    content = "d98438a0b677a2ab4514b8faaa2e43e16d8bd3e346265e574da1a4b54e67b2d6"
    assert found["lib/libhistory.so.8"] == Expected(
        "conda:readline", "link", (("sha256", text), ("sha256", content)), strict=True
    )
    assert found["lib/libhistory.so.8.2"] == Expected("conda:readline", "file", (("sha256", content),))


def test_a_file_that_the_prefix_was_written_into_has_the_hash_that_it_has_then() -> None:
    found = parse_prefix_record(recorded("resources/conda-meta-jsonpointer.json"), "conda:jsonpointer")
    digest = "600f9736ec971dd1987d41989330e004b5eb208712b2b2fff07d5d4c91d9290e"
    assert found["bin/jsonpointer"].digests == (("sha256", digest),)
    assert found["bin/jsonpointer"].manager == "conda"
    assert len(found) == 11


@pytest.mark.parametrize(
    ("row", "kind", "digests", "runs"),
    [
        ({"path_type": "hardlink", "sha256": "a", "sha256_in_prefix": "a"}, "file", 1, False),
        ({"path_type": "hardlink", "sha256": "a", "prefix_placeholder": "/p"}, "there", 0, False),
        ({"path_type": "hardlink"}, "there", 0, False),
        ({"path_type": "directory"}, "directory", 0, False),
        ({"path_type": "unix_python_entry_point"}, "there", 0, True),
        ({"path_type": "unix_python_entry_point", "sha256": "a"}, "file", 1, True),
        ({"path_type": "softlink", "sha256": "a", "sha256_in_prefix": "a"}, "link", 2, False),
    ],
)
def test_kinds_of_paths_that_conda_writes(row: dict[str, str], kind: str, digests: int, runs: bool) -> None:
    text = json.dumps({"name": "x", "paths_data": {"paths": [{"_path": "p", **row}]}})
    (found,) = parse_prefix_record(text, "conda:x").values()
    assert (found.kind, len(found.digests), found.runs) == (kind, digests, runs)
    assert not found.strict, "conda's hash of a link is of what it leads to"


def test_byte_code_is_not_compared() -> None:
    path = f"{SITE}/__pycache__/x.cpython-311.pyc"
    text = json.dumps({"name": "x", "paths_data": {"paths": [{"_path": path, "sha256": "a"}]}})
    assert parse_prefix_record(text, "conda:x")[path] == Expected("conda:x", "byte code")


def test_a_record_without_hashes() -> None:
    assert parse_prefix_record('{"name": "x", "files": ["a"]}', "conda:x") == {"a": Expected("conda:x", "there")}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"paths_data": {"paths": [{}]}}', '{"paths_data": []}']
)
def test_no_record_of_a_conda_package(text: str) -> None:
    with pytest.raises(ValueError):
        parse_prefix_record(text, "conda:x")


# ---- pip and uv


def test_a_record_of_uv() -> None:
    found = parse_record(recorded("resources/RECORD-uv"), "send2trash", SITE)
    assert len(found) == 22
    program = found["bin/send2trash"]
    assert (program.kind, program.runs, program.manager) == ("file", True, "pip")
    # what sha256sum said of the file
    digest = "6e89e6a708cc2c0e152c913dd260d64023bd016b791edba26d316b1974a39110"
    assert program.digests == (("sha256", digest),)
    assert found[f"{SITE}/send2trash-2.2.0.dist-info/RECORD"].kind == "there"


def test_a_record_of_pip() -> None:
    found = parse_record(recorded("resources/RECORD-pip"), "cowsay", SITE)
    assert found[f"{SITE}/cowsay/main.py"].kind == "file"
    assert found[f"{SITE}/cowsay/__pycache__/main.cpython-311.pyc"] == Expected("cowsay", "byte code")


def test_rows_of_a_record() -> None:
    text = '"a,b.py",sha256=AAAA,1\n/etc/x,,\n../../../../../outside,,\n\nc.py,md5=x,1\nd.py,sha512=AAAA,1\n'
    found = parse_record(text, "x", SITE)
    assert {path: row.kind for path, row in found.items()} == {
        f"{SITE}/a,b.py": "file",
        f"{SITE}/c.py": "there",
        f"{SITE}/d.py": "file",
    }
    assert found[f"{SITE}/d.py"].digests == (("sha512", "000000"),)


@pytest.mark.parametrize("text", ["", "a.py,sha256=AA", "a.py,sha256=AAAA,1\nb.py\n", "\0\0\n", 'a,"b\n'])
def test_no_record_of_a_distribution(text: str) -> None:
    with pytest.raises(ValueError):
        parse_record(text, "x", SITE)


# ---- an environment


def test_all_records_of_an_environment(tmp_path: Path) -> None:
    add_conda_package(tmp_path, "zlib", files={"lib/libz.so": "z"})
    # conda's own distributions are in conda's records
    add_distribution(tmp_path, "numpy", installer="conda")
    add_distribution(tmp_path, "cowsay", installer="pip")
    records = read_records(tmp_path)
    assert records.packages == {"conda:zlib", "cowsay"}
    assert [row.package for row in records.expected["lib/libz.so"]] == ["conda:zlib"]
    assert f"{SITE}/numpy.py" not in records.expected
    assert (records.unreadable, records.replaced) == ({}, [])


def test_without_conda_every_distribution_counts(tmp_path: Path) -> None:
    add_distribution(tmp_path, "numpy", installer="")
    assert list(distributions(tmp_path)) == ["numpy"]


def test_records_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path, "conda-meta/zlib-1.3-h0.json", "")
    put(add_distribution(tmp_path, "a", installer="pip"), "RECORD", "cut")
    (add_distribution(tmp_path, "b", installer="uv") / "RECORD").unlink()
    assert read_records(tmp_path).unreadable == {
        "conda-meta/zlib-1.3-h0.json": "conda:zlib",
        f"{SITE}/a-1.0.dist-info/RECORD": "a",
        f"{SITE}/b-1.0.dist-info/RECORD": "b",
    }


def test_what_is_left_of_an_uninstalled_distribution_is_none(tmp_path: Path) -> None:
    folder = add_distribution(tmp_path, "a")
    for name in ("METADATA", "RECORD"):
        (folder / name).unlink()
    folder.rename(folder.with_name("~a-1.0.dist-info"))
    put(tmp_path, f"{SITE}/b-1.0.dist-info/INSTALLER", "pip\n")
    assert distributions(tmp_path) == {}


def test_what_pip_put_in_the_place_of_a_conda_package_is_pips(tmp_path: Path) -> None:
    files = {f"{SITE}/six.py": "1.16", f"{SITE}/six-1.16.0.dist-info/METADATA": "Name: six\n"}
    add_conda_package(tmp_path, "six", "1.16.0=pyh0", files=files)
    for path in files:
        (tmp_path / path).unlink()
    add_distribution(tmp_path, "six", "1.17.0", installer="pip")
    records = read_records(tmp_path)
    assert records.replaced == ["conda:six"]
    assert [row.package for row in records.expected[f"{SITE}/six.py"]] == ["six"]
    assert f"{SITE}/six-1.16.0.dist-info/METADATA" not in records.expected
