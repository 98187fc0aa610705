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
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources.lock import BY_HAND, Lock, Requested
from tljh.stages import user_environment as module
from tljh.stages.context import Context, Options


@pytest.fixture
def uv() -> FakeUv:
    return FakeUv({"numpy": "2.0", "cowsay": "6.0"})


@pytest.fixture
def context(tmp_path: Path, uv: FakeUv) -> Context:
    hub = Lock((), ("jupyterhub==5.2.1",))
    return make_context(real(tmp_path), uv=uv, config=with_defaults({}), hub_lock=hub)


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


# ---- requirement files


def test_lines_of_a_requirements_file() -> None:
    text = "# a comment\n\nnumpy==2.0  # why\n  -r other.txt\nx @ https://host/x#sha256=1\n"
    assert module._lines(text) == ["numpy==2.0", "-r other.txt", "x @ https://host/x#sha256=1"]


def test_a_line_that_goes_on_in_the_next() -> None:
    assert len(module._lines("numpy==2.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\npip\n")) == 2


def test_a_requirements_file_of_this_machine(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "r.txt"
    place.write_text("numpy\n")
    assert module._read(context, str(place)) == module._read(context, f"file://{place}") == "numpy\n"
    place.write_bytes(b"\xff")
    with pytest.raises(TljhError, match=r"r\.txt cannot be read: it is not text"):
        module._read(context, str(place))
    with pytest.raises(TljhError) as caught:
        module._read(context, "/nonexistent/r.txt")
    assert str(caught.value) == (
        "--user-requirements-txt-url: the requirements file /nonexistent/r.txt cannot be read: "
        "No such file or directory\n  → name an https URL or a readable file"
    )


def test_a_file_that_is_gone_still_holds(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "r.txt")
    context.store.set_wishes(f"content of {place}", ["numpy\n"])
    assert module._read(context, place) == "numpy\n"
    warning = f"! {place} cannot be read any more; what it said when it was given still holds\n"
    assert capsys.readouterr().err == warning
    context.options = Options(requirements=place)
    with pytest.raises(TljhError, match="cannot be read: No such file or directory"):
        module._read(context, place)


def test_a_url_is_fetched_when_it_is_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(module, "fetch_text", lambda url, whose: fetched.append(url) or "numpy\n")
    url = "https://host/r.txt"
    context.options = Options(requirements=url)
    assert module._read(context, url) == "numpy\n"
    assert context.fetched == {url: "numpy\n"}
    context.store.set_wishes(f"content of {url}", ["numpy==1\n"])
    context.options = Options()
    assert module._read(context, url) == "numpy==1\n", "a re-run needs no network"
    assert fetched == [url]


# ---- what is asked for


def test_who_asks_for_what(context: Context, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("cowsay\n")
    (tmp_path / "new.txt").write_text("numpy\n")
    context.store.add_wishes("requirements", [str(tmp_path / "old.txt")])
    context.options = Options(requirements=str(tmp_path / "new.txt"))
    contributions = {"tljh_extra_user_pip_packages": ("pandas",)}
    context.reports = [PluginReport("x", "tljh-x", "1.0", contributions=contributions)]
    rows = module._requested(context)
    assert Requested("jupyterhub==5.2.1", "core") in rows, "the hub's and the servers' versions go together"
    assert rows[-3:] == [
        Requested("cowsay", "--user-requirements-txt-url"),
        Requested("numpy", "--user-requirements-txt-url"),
        Requested("pandas", "x"),
    ]
    assert context.requirements == [str(tmp_path / "old.txt"), str(tmp_path / "new.txt")]
    assert {row.origin for row in rows[:-3]} == {"core"}


def test_conda_is_not_there_yet(context: Context) -> None:
    context.config = with_defaults({"user_environment": {"provider": "conda"}})
    with pytest.raises(TljhError) as caught:
        module.look(context)
    assert str(caught.value) == (
        "config.yaml: user_environment.provider is conda, which this version cannot build yet\n"
        "  → tljh-config set user_environment.provider pypi"
    )


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


def test_the_lock_as_the_admin_left_it() -> None:
    requested = (Requested("a", "core"), Requested("mine==1", BY_HAND), Requested("gone==1", BY_HAND))
    lock = Lock(requested, ("--pre", "a==1", "mine==1", "gone==1", "b @ file:///b.whl"))
    found = module._as_the_admin_left_it(lock, {"a": "==2", "mine": "==3"}, ["a", "mine", "b"])
    assert found.lines == ("--pre", "a==2", "mine==3", "b @ file:///b.whl")
    assert found.requested == requested


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
