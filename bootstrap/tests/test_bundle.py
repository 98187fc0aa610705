"""Bundles: written as `tljh bundle create` writes them, read as bootstrap does; damaged in every way."""

import io
import json
import os
import tarfile
from pathlib import Path

import bootstrap_file as b
import pytest
import zstandard
from tljh.resources.archives import bundle

DEBIAN = 'ID=debian\nVERSION_ID="12"\n'
WHEEL = "wheels/the_littlest_jupyterhub-3.0-py3-none-any.whl"
FILES = {
    "bootstrap.py": b"# starts\n",
    "lock/requirements-hub.lock": b"# a word\nclick==8.1 \\\n    --hash=sha256:aa\nrich==13.7 --hash=sha256:bb\n",
    "uv/uv-0.1-py3-none-any.whl": os.urandom(300_000),  # more than one block of the decoder
    WHEEL: b"ours",
    "wheels/tljh_x-1.0-py3-none-any.whl": b"theirs",
}


def make(tmp_path, files=FILES, **changed):
    """A bundle of these files, as the installer writes it."""
    folder = tmp_path / "made"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    said = {
        "version": "3.0",
        "system": "debian 12",
        "machine": "x86_64",
        "python": "3.11",
        "project": WHEEL,
        "plugins": ["wheels/tljh_x-1.0-py3-none-any.whl", "tljh-y>=1"],
        "files": bundle.entries(folder, lambda size: None),
    }
    target = tmp_path / "hub.tar.zst"
    bundle.write(target, folder, bundle.Manifest(**{**said, **changed}), lambda size: None)
    return target


def rewritten(path, change):
    """The bundle after ``change``, a function of a list of (name, content), has been at it."""
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes())
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry in change(members):
            name, content, *kind = entry
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if kind:
                member.type, member.linkname, member.size = kind[0], "/etc/passwd", 0
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.ZstdCompressor(write_checksum=True).compress(out.getvalue()))
    return path


def fits(manifest):
    """Any will do."""


def refused(path, target=None):
    with pytest.raises(b.Stop) as caught:
        b.read_bundle(path, fits, target)
    return str(caught.value)


# ---- zstd


@pytest.mark.parametrize("size", [0, 1, b.BLOCK - 1, b.BLOCK, 5 * b.BLOCK + 7])
@pytest.mark.parametrize("at_once", [1 << 10, 1 << 20])
def test_zstd_gives_back_what_was_compressed(tmp_path, size, at_once):
    content = (os.urandom(1000) * (size // 1000 + 1))[:size]
    path = tmp_path / "x.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(content))
    with b.ZstdFile(path) as file:
        assert b"".join(iter(lambda: file.read(at_once), b"")) == content


def test_frames_follow_each_other(tmp_path):
    path = tmp_path / "x.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"one ") + zstandard.ZstdCompressor().compress(b"two"))
    with b.ZstdFile(path) as file:
        assert file.read(100) + file.read(100) == b"one two"


@pytest.mark.parametrize("cut", [1, 10, 1000])
def test_zstd_that_ends_too_early_is_said(tmp_path, cut):
    path = tmp_path / "x.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(os.urandom(5000))[:-cut])
    with pytest.raises(b.Damaged, match="ends too early"), b.ZstdFile(path) as file:
        while file.read(1 << 20):
            pass


def test_without_the_library_the_package_is_named(tmp_path, monkeypatch):
    import ctypes

    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(b.Stop, match=r"(?s)libzstd.so.1: cannot open.*install the package libzstd1"):
        b.ZstdFile(make(tmp_path))


# ---- reading


def test_what_was_written_is_unpacked(tmp_path):
    manifest = b.read_bundle(make(tmp_path), fits, tmp_path / "out")
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    text = found.pop("manifest.json")
    assert found == FILES
    assert json.loads(text) == manifest
    assert bundle.manifest_of(tmp_path / "out").files.keys() == FILES.keys()


def test_a_look_writes_nothing(tmp_path):
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert b.read_bundle(path, fits)["version"] == "3.0"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_changed_file_is_named(tmp_path):
    path = rewritten(
        make(tmp_path), lambda members: [(n, b"evil" if n == WHEEL else content) for n, content in members]
    )
    said = refused(path)
    assert f"{WHEEL}: its sha256 is " in said and " instead of " in said
    assert str(path) in said and "sha256sum" in said


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_a_bundle_that_is_cut_off_names_the_file(tmp_path, share):
    path = make(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "uv/uv-0.1-py3-none-any.whl: " in refused(path)


def test_the_last_bytes_count(tmp_path):
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:-2])
    assert "its end: the file ends too early" in refused(path)


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    path = make(tmp_path)
    content = path.read_bytes()
    for place in range(0, len(content), 9973):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(b.Stop):
            b.read_bundle(path, fits)


def test_a_missing_file_is_named(tmp_path):
    path = rewritten(make(tmp_path), lambda members: [row for row in members if row[0] != WHEEL])
    assert f"{WHEEL}: the bundle ends before it" in refused(path)


@pytest.mark.parametrize("name", ["extra", "../outside", "/etc/evil", "wheels/../../x"])
def test_a_file_too_much_is_refused_and_not_written(tmp_path, name):
    path = rewritten(make(tmp_path), lambda members: [members[0], (name, b"x"), *members[1:]])
    assert f"{name}: it is not in the manifest" in refused(path, tmp_path / "a" / "out")
    assert not (tmp_path / "outside").exists() and not (tmp_path / "a" / "x").exists()


def test_a_file_outside_is_refused_even_if_the_manifest_has_it(tmp_path):
    def change(members):
        manifest = json.loads(members[0][1])
        manifest["files"]["../outside"] = {
            "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        }
        return [(members[0][0], json.dumps(manifest).encode()), ("../outside", b"x"), *members[1:]]

    assert "../outside: it is not in the manifest" in refused(
        rewritten(make(tmp_path), change), tmp_path / "a" / "b"
    )
    assert not (tmp_path / "a" / "outside").exists()


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path):
    path = rewritten(
        make(tmp_path),
        lambda members: [(n, content, tarfile.SYMTYPE) if n == WHEEL else (n, content) for n, content in members],
    )
    assert f"{WHEEL}: it is not in the manifest" in refused(path)


def test_another_archive_is_no_bundle(tmp_path):
    path = rewritten(make(tmp_path), lambda members: members[1:])
    assert "is no bundle" in refused(path)
    path.write_text("not compressed at all")
    assert "manifest.json: Unknown frame descriptor" in refused(path)
    path.write_bytes(b"")
    assert "manifest.json: the file ends too early" in refused(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"format": 9}', "format 9 instead of 1"),
        (b"{", "JSONDecodeError"),
        (b"[]", "TypeError"),
        (b"{}", "KeyError"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_said(tmp_path, text, words):
    path = rewritten(make(tmp_path), lambda members: [("manifest.json", text), *members[1:]])
    said = refused(path)
    assert words in said and "bootstrap.py that was made with the bundle" in said


# ---- which machine it is for


@pytest.mark.parametrize(
    ("machine", "python", "release", "found"),
    [
        ("aarch64", "3.11.2", DEBIAN, "debian 12, aarch64, Python 3.11"),
        ("x86_64", "3.13.1", DEBIAN, "debian 12, x86_64, Python 3.13"),
        ("x86_64", "3.11.2", "ID=ubuntu\nVERSION_ID=22.04\n", "ubuntu 22.04, x86_64, Python 3.11"),
    ],
)
def test_a_bundle_for_another_machine_says_both(machine, python, release, found):
    manifest = {"system": "debian 12", "machine": "x86_64", "python": "3.11"}
    said = str(b.bundle_problem(manifest, machine, python, release))
    assert f"found:  {found}" in said
    assert "needed: debian 12, x86_64, Python 3.11" in said


def test_a_bundle_for_this_machine_fits():
    manifest = {"system": "debian 12", "machine": "x86_64", "python": "3.11"}
    assert b.bundle_problem(manifest, "x86_64", "3.11.9", DEBIAN) is None


def test_the_manifest_is_looked_at_before_the_rest(tmp_path):
    path = make(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])

    def never(manifest):
        raise b.Stop("not for this machine")

    with pytest.raises(b.Stop, match="not for this machine"):
        b.read_bundle(path, never)


# ---- the command line


def test_the_path_is_made_absolute_and_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    wishes = b.parse_arguments(["--bundle", "hub.tar.zst", "--admin", "ada"])
    assert wishes.bundle == tmp_path / "hub.tar.zst"
    assert wishes.arguments == ["--admin", "ada"]


def test_a_missing_bundle_is_a_wrong_command_line():
    with pytest.raises(b.Stop, match=r"--bundle /nowhere: there is no such file") as caught:
        b.parse_arguments(["--bundle", "/nowhere"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--version", "3.0"], "--version chooses a release"),
        (["--lock", "x"], "--lock names a lock"),
        (["--lock=x"], "--lock names a lock"),
    ],
)
def test_what_a_bundle_brings_itself_cannot_be_asked_for(tmp_path, more, said):
    with pytest.raises(b.Stop, match=f"{said}, but --bundle holds one already"):
        b.parse_arguments(["--bundle", str(make(tmp_path)), *more])


# ---- keeping it


def run_at(tmp_path):
    """A run with its prefix here, of a machine whose settings name indexes."""
    env = {"HOME": str(tmp_path), "PATH": "", "UV_INDEX": "https://one", "UV_DEFAULT_INDEX": "https://two"}
    run = b.Run(tmp_path / "tljh", env, b.Console())
    run.state.mkdir(parents=True)
    return run


def keep(run, path):
    return b.keep_bundle(run, path, b.read_bundle(path, fits))


def test_a_bundle_is_kept_closed_and_replaces_the_one_before(tmp_path):
    run = run_at(tmp_path)
    keep(run, make(tmp_path))
    (run.state / "bundle" / "old").touch()
    assert keep(run, make(tmp_path, version="3.1")) == run.bundle == run.state / "bundle"
    assert (run.bundle / WHEEL).read_bytes() == b"ours"
    assert not (run.bundle / "old").exists()
    assert run.bundle.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in run.state.iterdir()] == ["bundle"]
    assert bundle.manifest_of(run.bundle).version == "3.1"


def test_the_same_bundle_again_writes_nothing(tmp_path):
    run = run_at(tmp_path)
    before = keep(run, make(tmp_path)).stat().st_ino
    assert keep(run, make(tmp_path)).stat().st_ino == before


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"other")])
def test_a_kept_bundle_that_was_damaged_is_unpacked_again(tmp_path, damage):
    run = run_at(tmp_path)
    damage(keep(run, make(tmp_path)) / WHEEL)
    assert (keep(run, make(tmp_path)) / WHEEL).read_bytes() == b"ours"


def test_a_damaged_bundle_leaves_the_kept_one(tmp_path):
    run = run_at(tmp_path)
    keep(run, make(tmp_path))
    path = make(tmp_path, version="3.1")
    manifest = b.read_bundle(path, fits)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(b.Stop):
        b.keep_bundle(run, path, manifest)
    assert (run.state / "bundle" / WHEEL).read_bytes() == b"ours"
    assert [entry.name for entry in run.state.iterdir()] == ["bundle"]


def test_uv_is_told_of_nothing_but_the_bundle(tmp_path):
    run = run_at(tmp_path)
    keep(run, make(tmp_path))
    told = {
        name: value for name, value in run.uv_env.items() if "INDEX" in name or "LINKS" in name or "OFF" in name
    }
    assert told == {
        "UV_OFFLINE": "1",
        "UV_DEFAULT_INDEX": b.NO_INDEX,
        "UV_FIND_LINKS": str(run.state / "bundle" / "wheels"),
    }
    kept = bundle.Kept(run.state / "bundle").variables
    assert {name: value for name, value in kept.items() if value} == told, "the installer's are the same"


def test_uv_comes_out_of_the_bundle(tmp_path):
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("uv-9.9.data/scripts/uv", "#!/bin/sh\n")
    run = run_at(tmp_path)
    keep(run, make(tmp_path, {**FILES, "uv/uv-0.1-py3-none-any.whl": packed.getvalue()}))
    assert b.find_uv(run) == str(run.prefix / "bin" / "uv")
    assert (run.prefix / "bin" / "uv").read_text() == "#!/bin/sh\n"


def test_the_installer_is_asked_for_the_plugins_and_the_lock(tmp_path):
    run = run_at(tmp_path)
    path = make(tmp_path, {**FILES, "lock/conda-lock.yml": b"version: 1\n"})
    keep(run, path)
    wheel = str(run.bundle / "wheels/tljh_x-1.0-py3-none-any.whl")
    asked = ["--lock", str(run.bundle / "lock"), "--plugin", wheel, "--plugin", "tljh-y>=1"]
    assert b.bundle_arguments(run.bundle, b.read_bundle(path, fits)) == asked


def test_the_hub_environment_is_what_the_lock_says_and_our_wheel(tmp_path, monkeypatch):
    run = run_at(tmp_path)
    path = make(tmp_path)
    source = b.bundle_source(keep(run, path), b.read_bundle(path, fits))
    wheel = Path("/opt/tljh/state/wheels/abc") / Path(WHEEL).name
    monkeypatch.setattr(type(wheel), "read_bytes", lambda path: b"ours")
    lines = b.bundle_lines(run.bundle, source._replace(wheel=wheel)).splitlines()
    assert lines[:2] == ["click==8.1 --hash=sha256:aa", "rich==13.7 --hash=sha256:bb"]
    ours = b.hashlib.sha256(b"ours").hexdigest()
    assert lines[2:] == [f"{b.PROJECT} @ file://{wheel} --hash=sha256:{ours}"]
