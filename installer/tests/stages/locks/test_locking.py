"""A machine that follows a lock: nothing is solved, nothing else is installed, and the admin's own work stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import add_conda_packages, add_distribution, conda_package, real
from lock_fakes import Locked, sha256
from tljh.engine.resource import difference
from tljh.errors import TljhError
from tljh.resources.conda.environment import subdir
from tljh.resources.environments.environment import Environment
from tljh.resources.locks.held import FLAG
from tljh.resources.locks.lock import BY_HAND, RECORD, Requested
from tljh.stages.context import Options
from tljh.stages.locks import lock_writing, locking


@pytest.fixture
def prefix(tmp_path: Path) -> Locked:
    return Locked(real(tmp_path))


@pytest.fixture
def lock(prefix: Locked, tmp_path: Path) -> Path:
    """A folder with the lock of another machine, where the same was asked for."""
    return lock_of(Locked(real(tmp_path) / "other"), real(tmp_path) / "given")


def lock_of(other: Locked, folder: Path) -> Path:
    other.hub("jupyterhub==6.1.1", "tljh-x @ file:///srv/x.whl")
    other.build()
    written = lock_writing.texts_of(other.context, lock_writing.as_it_is(other.context), ())
    lock_writing.write(other.context, written, folder)
    return folder


def install(prefix: Locked) -> Path:
    """One run, all the way."""
    context = prefix.context
    lock, path = prefix.settle()
    user = Environment(
        "environment:user",
        link=context.paths.user,
        lock=lock,
        target=path,
        builder=context.conda,
        finish=lambda machine, path: None,
        verify=(),
    )
    for resource in (user, *locking.Locking().resources(context)):
        diff = difference(resource, context.facts, set())
        if diff:
            resource.change(diff, prefix.machine)
            context.facts.refresh()
    return path


def refused(prefix: Locked) -> str:
    with pytest.raises(TljhError) as caught:
        prefix.settle()
    return str(caught.value)


# ---- what it comes to


def test_nothing_is_solved(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    found, path = prefix.settle()
    assert [asked["op"] for asked in prefix.conda.asked] == ["check"]
    assert found.pins == {"conda:jupyterlab": "4.4=h1_0", "conda:python": "3.11.2=h1_0", "cowsay": "==6.0"}
    assert found.lines == (f"cowsay==6.0 --hash=sha256:{sha256('cowsay==6.0')}",)
    assert found.conda[0].sha256 == sha256("https://conda.example.org/forge/linux-64/jupyterlab-4.4-h1_0.conda")
    assert path == prefix.context.paths.envs / "user-1"
    assert found.origins["cowsay"] == "x"


@pytest.mark.parametrize("place", ["folder", "file", "another name"])
def test_where_it_may_be(prefix: Locked, lock: Path, place: str) -> None:
    given = {"folder": lock, "file": lock / "conda-lock.yml", "another name": lock / "mine.yml"}[place]
    if place == "another name":
        (lock / "conda-lock.yml").rename(given)
    prefix.options(lock=str(given))
    prefix.settle()
    held = prefix.context.held
    assert held is not None and held.hub is not None and held.hub.pins == {"jupyterhub": "==6.1.1"}


def test_later_runs_follow_it_without_looking_into_it(
    prefix: Locked, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix.options(lock=str(lock))
    path = install(prefix)
    folder = locking.folder_of(prefix.context.paths)
    assert sorted(entry.name for entry in folder.iterdir()) == ["conda-lock.yml", "requirements-hub.lock"]
    prefix.options(lock=None)
    monkeypatch.setattr("tljh.resources.locks.lock_file.parse", lambda *a: pytest.fail("it is large"))
    prefix.conda.channel = {}
    found, again = prefix.settle()
    assert again == path and prefix.conda.asked == []
    (resource,) = locking.Locking().resources(prefix.context)
    prefix.context.user_lock = found
    assert not difference(resource, prefix.context.facts, set())


def test_a_machine_that_has_it_already_only_takes_note(prefix: Locked, lock: Path) -> None:
    path = prefix.build()
    prefix.options(lock=str(lock))
    assert prefix.settle()[1] == path
    assert install(prefix) == path
    record = json.loads((path / RECORD).read_text())
    assert record["sources"]["lock"]["digest"].startswith("sha256:")
    prefix.options(lock=None)
    prefix.settle()
    assert prefix.conda.asked == [], "the next run knows"


def test_other_files_of_the_same_versions_are_installed_anew(prefix: Locked, lock: Path) -> None:
    prefix.build()
    given = lock / "conda-lock.yml"
    old = sha256("https://conda.example.org/forge/linux-64/python-3.11.2-h1_0.conda")
    given.write_text(given.read_text().replace(old, "1" * 64))
    prefix.options(lock=str(lock))
    found, path = prefix.settle()
    assert path.name == "user-2"
    assert "1" * 64 in {package.sha256 for package in found.conda}


def test_without_a_lock_it_is_solved(prefix: Locked) -> None:
    prefix.settle()
    assert prefix.context.held is None
    assert prefix.conda.asked[0]["op"] == "solve"
    assert list(locking.Locking().resources(prefix.context)) == []
    assert locking.of_hub(prefix.context) is None


def test_an_environment_beside_it_is_solved_where_no_lock_speaks_of_it(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    locking.look(prefix.context)
    link = prefix.context.paths.envs / "teaching"
    locking.settle(prefix.context, link, prefix.asked, "conda")
    assert prefix.conda.asked[0]["op"] == "solve"
    prefix.conda.asked.clear()
    prefix.context.conda.forget()
    (lock / "teaching.conda-lock.yml").write_text((lock / "conda-lock.yml").read_text())
    prefix.context.held = None
    locking.look(prefix.context)
    found, path = locking.settle(prefix.context, link, prefix.asked, "conda")
    assert [asked["op"] for asked in prefix.conda.asked] == ["check"]
    assert path.name == "teaching-1" and found.pins["cowsay"] == "==6.0"


def test_an_index_of_the_admins_own_stays_in_use(prefix: Locked, lock: Path) -> None:
    prefix.asked.append(Requested("--extra-index-url https://i", "--user-requirements-txt-url"))
    prefix.options(lock=str(lock))
    assert prefix.settle()[0].lines[0] == "--extra-index-url https://i"


# ---- who may be wrong


def test_what_is_asked_for_and_not_in_it(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    prefix.asked += [Requested("numpy >=2", "plugin-y", "conda"), Requested("cowsay>=7", "config.yaml")]
    said = refused(prefix)
    assert said.startswith(f"{lock}/conda-lock.yml: the lock is not for what is asked for:\n")
    assert "\n  plugin-y asks for numpy >=2; the lock does not have it\n" in said
    assert "\n  config.yaml asks for cowsay>=7; the lock has cowsay 6.0\n" in said
    assert "tljh lock --upgrade PACKAGE" in said and said.endswith("Nothing was changed")


def test_many_wishes_are_not_all_told(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    prefix.asked += [Requested(f"p{number}", "y", "conda") for number in range(10)]
    assert "\n  … and 2 more\n" in refused(prefix)


def test_another_machine(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    prefix.conda.lacks = [["python", "__glibc >=9", "2.36"]]
    assert "python asks for __glibc >=9; this machine has 2.36" in refused(prefix)
    given = lock / "conda-lock.yml"
    given.write_text(given.read_text().replace(f"platform: {subdir()}", "platform: osx-64"))
    assert f"this lock is for osx-64; this machine is {subdir()}" in refused(prefix)
    assert not prefix.context.paths.user.exists()


def test_no_lock_there(prefix: Locked, tmp_path: Path) -> None:
    prefix.options(lock=str(tmp_path / "nothing.yml"))
    assert refused(prefix) == (
        f"{FLAG}: there is no lock at {tmp_path}/nothing.yml\n"
        "  → name a conda-lock.yml, its https URL, or the folder that it is in"
    )
    prefix.options(lock=None)
    locking.folder_of(prefix.context.paths).mkdir()
    said = refused(prefix)
    assert said.startswith(f"there is no lock at {prefix.context.paths.state}/lock/conda-lock.yml")
    assert "tljh lock --release" in said


def test_another_python(tmp_path: Path) -> None:
    lock = lock_of(Locked(real(tmp_path) / "other", "pypi"), real(tmp_path) / "given")
    prefix = Locked(real(tmp_path), "pypi")
    prefix.options(lock=str(lock))
    assert prefix.settle()[0].pins == {"jupyterlab": "==4.4", "cowsay": "==6.0"}
    prefix.machine.answers["python3 --version"] = "Python 3.13.5\n"
    assert "this lock is for Python 3.11; this machine's /usr/bin/python3 is 3.13\n" in refused(prefix)


def test_the_provider_is_the_locks(prefix: Locked, lock: Path, tmp_path: Path) -> None:
    prefix.options(lock=str(lock))
    locking.look(prefix.context)
    rows = [Requested("https://host/forge", "config.yaml", "channel")]
    assert locking.choose_provider(prefix.context, rows) == "conda"
    assert prefix.context.conda.channels == {"https://host/forge": "https://host/forge"}
    assert prefix.context.provider_why == f"as the lock {lock}/conda-lock.yml has it"
    prefix.context.config = {"user_environment": {"provider": "pypi"}}
    with pytest.raises(TljhError) as caught:
        locking.choose_provider(prefix.context, rows)
    assert "config.yaml has user_environment.provider: pypi, and the lock has conda packages" in str(caught.value)


def test_without_a_lock_the_provider_is_chosen(prefix: Locked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking.provider, "choose", lambda context, rows: "as ever")
    assert locking.choose_provider(prefix.context, []) == "as ever"


# ---- by hand


def test_what_was_installed_by_hand_stays(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    path = install(prefix)
    add_distribution(path, "sheep", "5.0")
    found, again = prefix.settle()
    assert again == path and "sheep" not in found.pins


def test_what_was_installed_by_hand_is_carried_over(prefix: Locked, lock: Path) -> None:
    path = prefix.build()
    add_distribution(path, "sheep", "5.0")
    there = [json.loads(file.read_text()) for file in sorted((path / "conda-meta").glob("*.json"))]
    mine = [conda_package("r", "1.0", requested_spec="r"), conda_package("needed", "1.0")]
    add_conda_packages(path, [*there, *mine])
    given = lock / "conda-lock.yml"
    given.write_text(given.read_text().replace("jupyterlab-4.4-h1_0", "jupyterlab-4.4-h2_0"))
    prefix.options(lock=str(lock))
    found, new = prefix.settle()
    assert new.name == "user-2"
    assert found.pins["sheep"] == "==5.0"
    assert {package.name for package in found.conda} == {"jupyterlab", "python", "r", "needed"}
    assert [row for row in found.requested if row.origin == BY_HAND] == [
        Requested("sheep==5.0", BY_HAND),
        Requested("r ==1.0", BY_HAND, "conda"),
    ]


def test_what_was_installed_by_hand_and_is_otherwise_in_the_lock(prefix: Locked, lock: Path) -> None:
    path = prefix.build()
    add_distribution(path, "cowsay", "5.0")
    prefix.options(lock=str(lock))
    said = refused(prefix)
    assert "installed by hand and not as the lock has it: cowsay 5.0 (the lock has 6.0)" in said
    assert "--drop cowsay" in said
    prefix.options(drop=("cowsay",))
    found, new = prefix.settle()
    assert found.pins["cowsay"] == "==6.0" and new.name == "user-2"


def test_condas_own_cannot_be_carried_to_pypis(tmp_path: Path) -> None:
    lock = lock_of(Locked(real(tmp_path) / "other", "pypi"), real(tmp_path) / "given")
    prefix = Locked(real(tmp_path))
    path = prefix.build()
    there = [json.loads(file.read_text()) for file in sorted((path / "conda-meta").glob("*.json"))]
    add_conda_packages(path, [*there, conda_package("r", "1.0", requested_spec="r")])
    prefix.provider, prefix.asked = "pypi", [Requested("cowsay", "x")]
    prefix.options(lock=str(lock))
    assert "r 1.0 (the lock has no conda packages)" in refused(prefix)


# ---- the hub, and renewals


def test_the_hub_prefers_what_the_lock_has(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    locking.look(prefix.context)
    assert locking.preferred(prefix.context, {"jupyterhub": "==6.0", "other": "==1"}) == {
        "jupyterhub": "==6.1.1",
        "other": "==1",
    }
    hub = locking.of_hub(prefix.context)
    assert hub is not None and hub.agrees_with({"jupyterhub": "==6.1.1"})
    prefix.context.options = Options(upgrade=("jupyterhub",))
    assert locking.preferred(prefix.context, {"jupyterhub": "==6.0", "other": "==1"}) == {"other": "==1"}
    assert locking.of_hub(prefix.context) is None, "a renewal may come to something else"


def test_a_renewal_follows_nothing(prefix: Locked, lock: Path) -> None:
    prefix.options(lock=str(lock))
    install(prefix)
    prefix.options(lock=None, upgrade=())
    prefix.settle()
    assert prefix.conda.asked[0]["op"] == "solve"
    assert locking.followed(prefix.context) is None
    assert list(locking.Locking().resources(prefix.context)) == []
