"""What a bundle is made of: the environments as they are, the plugins, and what can't be carried."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from fakes import FakeMachine, conda_package, make_context, real
from tljh.errors import TljhError
from tljh.resources.archives import bundle
from tljh.resources.locks.lock import CondaPackage, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.locks import bundling
from tljh.stages.locks.bundling import Work
from tljh.stages.locks.lock_writing import Wanted

OURS = "the_littlest_jupyterhub-3.0-py3-none-any.whl"
HASH = "a" * 64
HUB_LOCK = f"# Written\nclick==8.1 \\\n    --hash=sha256:{HASH} \\\n    --hash=sha256:{'b' * 64}\n"
USER_LOCK = """\
version: 1
metadata:
  content_hash: {linux-64: 00, linux-aarch64: 00}
  channels: []
  platforms: [linux-64, linux-aarch64]
package:
"""


def entry(name: str, manager: str, url: str, subdir: str = "linux-64") -> str:
    return (
        f"- name: {name}\n  version: '1.0'\n  manager: {manager}\n  platform: {subdir}\n  dependencies: {{}}\n"
        f"  url: {url}\n  hash:\n    md5: '00'\n    sha256: {HASH}\n"
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A machine whose environments are there, and whose pip brings a wheel for every line."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = make_context(real(tmp_path))
    for name in ("hub", "user"):
        (found.paths.envs / f"{name}-1").mkdir()
        (found.paths.prefix / name).symlink_to(f"envs/{name}-1")
    wheels = found.paths.state / "wheels"
    wheels.mkdir()
    for name in (OURS, "tljh_x-1.0-py3-none-any.whl"):
        (wheels / name).write_text(name)
    lines = [f"the-littlest-jupyterhub @ {(wheels / OURS).as_uri()}", "click==8.1"]
    lines.append(f"tljh-x @ {(wheels / 'tljh_x-1.0-py3-none-any.whl').as_uri()}")
    sources = {"/src/tljh-x": {"requirement": lines[2], "digest": "", "wheel": ""}}
    found.hub_lock = Lock((), tuple(lines), sources)
    found.user_lock = Lock((), ("jupyterlab==4.4",))
    found.hub_target, found.user_target = found.paths.envs / "hub-1", found.paths.envs / "user-1"
    found.plugin_specs = ["/src/tljh-x", "tljh-y>=1"]
    assert isinstance(found.machine, FakeMachine)
    found.machine.answers["python -I -m pip"] = pip
    return found


def pip(words: list[str]) -> str:
    folder = Path(words[words.index("--wheel-dir") + 1])
    for line in Path(words[-1]).read_text().splitlines():
        name, _, version = line.split(" --hash=")[0].partition("==")
        (folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_text(name)
    return ""


def work(context: Context, tmp_path: Path, *entries: str) -> Work:
    """A bundle whose locks are written."""
    wanted = Wanted(context.required("hub_lock"), {"user": (context.paths.user, context.required("user_lock"))})
    folder = tmp_path / "work"
    (folder / "lock").mkdir(parents=True)
    (folder / "lock" / "requirements-hub.lock").write_text(HUB_LOCK)
    (folder / "lock" / "conda-lock.yml").write_text(USER_LOCK + "".join(entries))
    return Work(context, folder, wanted)


# ---- what is refused


def test_a_machine_as_it_should_be(context: Context) -> None:
    bundling.check(context)


@pytest.mark.parametrize("name", ["hub", "user"])
def test_what_is_wanted_must_serve(context: Context, name: str) -> None:
    setattr(context, f"{name}_target", context.paths.envs / f"{name}-2")
    with pytest.raises(TljhError, match=rf"(?s)the {name} environment is not what is wanted.*run `tljh install`"):
        bundling.check(context)


def test_what_a_plugin_asks_for_by_its_address_is_refused(context: Context) -> None:
    rows = (Requested("tljh-x @ file:///x.whl", "--plugin"), Requested("y @ https://host/y.whl", "tljh-x"))
    context.hub_lock = replace(context.required("hub_lock"), requested=rows)
    with pytest.raises(TljhError) as caught:
        bundling.check(context)
    assert str(caught.value).startswith("plugin tljh-x: y @ https://host/y.whl is asked for by its address")


def test_an_installation_without_bootstrap_is_refused() -> None:
    with pytest.raises(TljhError, match=r"(?s)has no bootstrap.py: it is editable.*without TLJH_BOOTSTRAP_DEV"):
        bundling.bootstrap_file()


# ---- bootstrap and uv


def test_uv_is_the_one_that_bootstrap_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tljh.bootstrap")
    module.UV_VERSION, module.UV_WHEELS = "9.9", {"x86_64": ("uv-9.9.whl", "ab")}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tljh.bootstrap", module)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert bundling.pinned_uv() == "uv==9.9 --hash=sha256:ab"


def test_bootstrap_lies_beside_the_bundle_but_replaces_nothing(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "ours.py"
    ours.write_text("ours")
    monkeypatch.setattr(bundling, "bootstrap_file", lambda: ours)
    beside = tmp_path / "bootstrap.py"
    assert bundling.put_bootstrap_beside(context, tmp_path / "hub.tar.zst") == beside
    assert (beside.read_text(), beside.stat().st_mode & 0o777) == ("ours", 0o755)
    beside.write_text("somebody else's")
    assert bundling.put_bootstrap_beside(context, tmp_path / "hub.tar.zst") == ours
    assert beside.read_text() == "somebody else's"


# ---- wheels and locks


def test_the_locks_speak_of_the_wheels_in_the_bundle(context: Context, tmp_path: Path) -> None:
    mine = work(context, tmp_path, entry("emoji", "pip", "https://index/emoji-1.0.tar.gz"))
    assert mine.wheels() == "4"
    found = sorted(path.name for path in (mine.folder / "wheels").iterdir())
    assert found == [
        "click-8.1-py3-none-any.whl", "emoji-1.0-py3-none-any.whl", OURS, "tljh_x-1.0-py3-none-any.whl",
    ]  # fmt: skip
    hub = mine._held.hub
    assert hub is not None
    assert hub.lines == {"click": f"click==8.1 --hash=sha256:{digest('click')}"}
    text = (mine.folder / "lock" / "requirements-hub.lock").read_text()
    assert "the-littlest-jupyterhub 3.0" in text and "tljh-x 1.0" in text, "named in comments"
    assert mine._held.part("user").lines == [f"emoji==1.0 --hash=sha256:{digest('emoji')}"]


def test_the_wheels_are_for_the_interpreter_of_each_environment(context: Context, tmp_path: Path) -> None:
    mine = work(context, tmp_path, entry("emoji", "pip", "https://index/emoji-1.0-py3-none-any.whl"))
    mine.wheels()
    assert isinstance(context.machine, FakeMachine)
    hub, user = (command.split(" --python ")[1].split()[0] for command in context.machine.ran("python -I -m pip"))
    assert (hub, user) == (f"{context.paths.hub}/bin/python", f"{context.paths.user}/bin/python")


def test_every_environment_is_in_it(context: Context, tmp_path: Path) -> None:
    mine = work(context, tmp_path, entry("emoji", "pip", "https://index/emoji-1.0-py3-none-any.whl"))
    link = context.paths.envs / "stats"
    mine.wanted = replace(mine.wanted, environments={**mine.wanted.environments, "stats": (link, Lock((), ()))})
    text = USER_LOCK + entry("six", "pip", "https://index/six-1.0-py3-none-any.whl")
    (mine.folder / "lock" / "stats.conda-lock.yml").write_text(text)
    mine.wheels()
    assert (mine.folder / "wheels" / "six-1.0-py3-none-any.whl").exists()
    assert mine._held.part("stats").lines == [f"six==1.0 --hash=sha256:{digest('six')}"]
    assert isinstance(context.machine, FakeMachine)
    assert f" --python {link}/bin/python " in context.machine.ran("python -I -m pip")[-1]


def test_conda_packages_of_this_platform_are_fetched(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path]] = []

    def fetch(lock: Lock, folder: Path) -> None:
        asked.extend((package.url, folder) for package in lock.conda)

    monkeypatch.setattr(context.conda, "fetch", fetch)
    places = ("linux-64", "linux-aarch64")
    rows = [entry("numpy", "conda", f"https://c/{place}/numpy-1.0-h0_0.conda", place) for place in places]
    mine = work(context, tmp_path, *rows, entry("emoji", "pip", "https://index/emoji-1.0-py3-none-any.whl"))
    assert mine.conda_packages() == "1"
    assert asked == [("https://c/linux-64/numpy-1.0-h0_0.conda", mine.folder / "conda")]


def test_an_environment_without_conda_asks_nobody(context: Context, tmp_path: Path) -> None:
    mine = work(context, tmp_path, entry("emoji", "pip", "https://index/emoji-1.0-py3-none-any.whl"))
    assert mine.conda_packages() == "0"
    assert isinstance(context.machine, FakeMachine)
    assert context.machine.commands == []


# ---- apt


def test_apt_packages_without_recommended_ones_unless_a_plugin_asks(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(context.machine, FakeMachine)
    work(context, tmp_path / "a").system_packages()
    assert "--no-install-recommends --download-only install git sudo" in context.machine.commands[-1]
    monkeypatch.setattr(
        bundling, "wanted_packages", lambda context: {"git": "core", "sudo": "core", "sl": "tljh-x"}
    )
    work(context, tmp_path / "b").system_packages()
    assert "--no-install-recommends" not in context.machine.commands[-1]


def test_a_machine_from_a_bundle_passes_its_apt_packages_on(context: Context, tmp_path: Path) -> None:
    folder = context.paths.state / "bundle"
    (folder / "apt").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "apt" / "Packages").write_text("")
    (folder / "apt" / "git_1_all.deb").write_text("")
    mine = work(context, tmp_path)
    assert mine.system_packages() == "1"
    assert (mine.folder / "apt" / "git_1_all.deb").exists()


# ---- the file


def test_the_manifest_names_this_machine_and_what_asks_for_the_plugins(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_ID": "12"})
    mine = work(context, tmp_path, entry("emoji", "pip", "https://index/emoji-1.0-py3-none-any.whl"))
    mine.wheels()
    manifest = mine.write(tmp_path / "hub.tar.zst")
    assert bundle.manifest_of(tmp_path / "hub.tar.zst") == manifest
    said = json.loads(manifest.as_text())
    assert (said["version"], said["project"]) == ("3.0", f"wheels/{OURS}")
    assert (said["system"], said["machine"]) == ("debian 12", "x86_64")
    assert said["python"] == ".".join(map(str, sys.version_info[:2]))
    assert said["plugins"] == ["wheels/tljh_x-1.0-py3-none-any.whl", "tljh-y>=1"]
    assert "lock/conda-lock.yml" in said["files"] and "manifest.json" not in said["files"]


@pytest.mark.parametrize("spec", ["git+https://host/x", "tljh-x @ git+https://host/x", "git+https://host/x#egg=y"])
def test_a_plugin_of_an_address_is_asked_for_by_its_wheel(spec: str, tmp_path: Path) -> None:
    lock = Lock((), (f"tljh-x @ git+https://host/x@{'c' * 40}",))
    wheel = bundling.Wheel(tmp_path / "tljh_x-1.0-py3-none-any.whl", "tljh-x", "1.0")
    assert bundling._plugin(spec, lock, {"tljh-x": wheel}) == "wheels/tljh_x-1.0-py3-none-any.whl"


def test_conda_packages_are_unpacked_where_rattler_looks() -> None:
    package = CondaPackage.of(conda_package("numpy"))
    assert bundle.Kept(Path("/b")).archives / package.subdir / package.file_name == Path(
        "/b/conda/linux-64/numpy-1.0-h1_0.conda"
    )
