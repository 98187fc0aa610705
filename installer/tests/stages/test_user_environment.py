"""What people's servers run in: what is asked for, what the admin did by hand, and people's own packages."""

from __future__ import annotations

import site
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeUv, add_distribution, make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.resources.file import File
from tljh.resources.locks.lock import BY_HAND, Lock, Requested
from tljh.stages import user_environment as module
from tljh.stages.context import Context, Options


@pytest.fixture
def uv() -> FakeUv:
    return FakeUv({"numpy": "2.0", "cowsay": "6.0"})


@pytest.fixture
def context(tmp_path: Path, uv: FakeUv) -> Context:
    hub = Lock((), ("jupyterhub==5.2.1",))
    return make_context(real(tmp_path), uv=uv, config=pypi(), hub_lock=hub, hub_target=tmp_path / "envs/hub-1")


def pypi(**more: Any) -> dict[str, Any]:
    """Without this, the first look would ask whether conda's channels answer."""
    return with_defaults({"user_environment": {"provider": "pypi", **more}})


def wanted(context: Context) -> dict[str, str]:
    module.look(context)
    return context.required("user_lock").pins


def build(context: Context) -> Path:
    """The environment that ``look`` found out, built and switched to."""
    module.look(context)
    path: Path = context.required("user_target")
    context.builder.build(context.required("user_lock"), path)
    context.paths.user.unlink(missing_ok=True)
    context.paths.user.symlink_to(f"envs/{path.name}")
    context.facts.refresh()
    return path


def test_a_second_look_solves_nothing(context: Context, uv: FakeUv) -> None:
    path = build(context)
    uv.asked = []
    before = context.user_lock
    module.look(context)
    assert uv.asked == []
    assert context.user_lock == before
    assert context.user_target == path


# ---- what an admin installed by hand


def test_what_an_admin_installed_stays_where_it_is(context: Context, uv: FakeUv) -> None:
    path = build(context)
    add_distribution(path, "cowsay", "5.0")
    add_distribution(path, "jupyterlab", "99.0")
    context.facts.refresh()
    uv.asked = []
    pins = wanted(context)
    assert uv.asked == [], "nothing is solved, and nothing is built"
    assert context.user_target == path
    assert pins["jupyterlab"] == "==99.0"


def test_what_an_admin_installed_is_carried_over(context: Context, uv: FakeUv, tmp_path: Path) -> None:
    add_distribution(build(context), "cowsay", "5.0")
    context.facts.refresh()
    (tmp_path / "r.txt").write_text("numpy\n")
    context.options = Options(requirements=str(tmp_path / "r.txt"))
    second = build(context)
    assert second.name == "user-2"
    assert "cowsay==5.0" in uv.asked
    (tmp_path / "r.txt").write_text("numpy\npandas\n")
    pins = wanted(context)
    assert context.required("user_target").name == "user-3"
    assert pins["cowsay"] == "==5.0", "and over again"
    assert Requested("cowsay==5.0", BY_HAND) in context.required("user_lock").requested


def test_a_damaged_environment_is_built_anew_with_what_the_admin_put_into_it(context: Context, uv: FakeUv) -> None:
    path = build(context)
    add_distribution(path, "cowsay", "5.0")
    (path / "bin/python").unlink()
    context.facts.refresh()
    pins = wanted(context)
    assert pins["cowsay"] == "==5.0"
    assert context.required("user_target").name == "user-2"


# ---- people's own packages


def test_pip_install_user_is_let(context: Context, tmp_path: Path) -> None:
    path = make_environment(tmp_path / "env", {})
    module.let_people_install(context.machine, path)
    assert (path / "pyvenv.cfg").read_text() == (
        "home = /usr/bin\ninclude-system-site-packages = no\nversion = 3.11.2\n"
    )
    folder = path / "lib/python3.11/site-packages"
    assert (folder / "_tljh_user_site.pth").read_text() == "import _tljh_user_site\n"
    compile((folder / "_tljh_user_site.py").read_text(), "_tljh_user_site.py", "exec")


class Person:
    """Somebody whose Python starts: runs the module with a site and a process of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environment = folder / "site-packages"
        self.own = folder / "home/.local"
        for path in (self.environment, self.own):
            path.mkdir(parents=True)
        self.monkeypatch = monkeypatch
        self.customized: list[list[str]] = []
        self.path = ["/usr/lib/python3", str(self.environment), "/opt/last"]
        self.ids = (1000, 1000)
        self.flags = types.SimpleNamespace(no_user_site=0, isolated=0, verbose=0, optimize=0)

    def starts(self) -> list[str]:
        fake = types.SimpleNamespace(
            ENABLE_USER_SITE=False,
            getusersitepackages=lambda: str(self.own),
            addsitedir=site.addsitedir,
            execsitecustomize=lambda: self.customized.append(list(sys.path)),
        )
        code = compile(module._USER_SITE, str(self.environment / "_tljh_user_site.py"), "exec")
        with self.monkeypatch.context() as patch:
            patch.setitem(sys.modules, "site", fake)  # type: ignore[arg-type]
            patch.setattr(sys, "path", list(self.path))
            patch.setattr(sys, "flags", self.flags)
            patch.setattr("os.getuid", lambda: self.ids[0])
            patch.setattr("os.geteuid", lambda: self.ids[1])
            exec(code, {"__file__": str(self.environment / "_tljh_user_site.py"), "__name__": "_tljh_user_site"})
            assert sys.path == self.path, "site.venv() would switch them off again"
            fake.execsitecustomize()
            self.enabled = fake.ENABLE_USER_SITE
            assert self.customized == [sys.path], "the machine's own customisation runs, and sees the whole path"
            return list(sys.path)


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(real(tmp_path), monkeypatch)


def test_own_packages_win(person: Person) -> None:
    assert person.starts() == ["/usr/lib/python3", str(person.own), str(person.environment), "/opt/last"]
    assert person.enabled


def test_what_own_packages_add_goes_with_them(person: Person) -> None:
    (person.own / "develop").mkdir()
    (person.own / "easy.pth").write_text("develop\n")
    found = person.starts()
    assert found.index(str(person.own / "develop")) < found.index(str(person.environment))


def test_a_person_without_own_packages(person: Person) -> None:
    person.own.rmdir()
    assert person.starts() == person.path


def test_own_packages_that_are_there_already(person: Person) -> None:
    person.path.insert(0, str(person.own))
    assert person.starts() == person.path


@pytest.mark.parametrize(
    ("ids", "flags"),
    [
        ((0, 0), {}),
        ((1000, 0), {}),
        ((1000, 1001), {}),
        ((1000, 1000), {"no_user_site": 1}),
        ((1000, 1000), {"isolated": 1}),
    ],
)
def test_never_for_root_or_where_it_is_unwanted(person: Person, ids: Any, flags: dict[str, int]) -> None:
    person.ids = ids
    person.flags.__dict__.update(flags)
    assert person.starts() == person.path
    assert not person.enabled


def test_only_a_first_environment_from_pypi_is_begun_beforehand(context: Context, uv: FakeUv) -> None:
    module.look(context)
    target = context.required("user_target")
    module.begin(context)
    assert context.builder.begun == {target}
    context.builder.build(context.required("user_lock"), target)
    assert context.builder.begun == set()
    context.paths.user.symlink_to(target)
    module.begin(context)
    assert context.builder.begun == set(), "the next one begins as a copy of this one"


def test_a_server_starts_without_the_parser_that_nothing_in_it_uses(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    module.look(context)
    files = {put.path.name: put for put in module.UserEnvironment().resources(context) if isinstance(put, File)}
    program, script = files["jupyterhub-singleuser"], files["singleuser.py"]
    assert program.path.parent == context.paths.user_programs, "the first folder of a server's PATH"
    assert f'exec "$(command -v python3)" {script.path} "$@"' in (program.content or b"").decode()
    singleuser = types.ModuleType("jupyterhub.singleuser")
    seen: list[object] = []

    def main() -> int:
        with pytest.raises(ImportError):
            import rfc3987_syntax  # type: ignore[import-not-found]  # noqa: F401
        seen.append(sys.argv)
        return 3

    singleuser.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "jupyterhub.singleuser", singleuser)
    monkeypatch.setitem(sys.modules, "rfc3987_syntax", types.ModuleType("rfc3987_syntax"))
    with pytest.raises(SystemExit) as ended:
        exec(compile(script.content or b"", "singleuser.py", "exec"), {})
    assert ended.value.code == 3 and seen
    assert ("bin/python", str(script.path), "--version") in module.verify(context.paths)
