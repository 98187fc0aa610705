"""Environments beside the user environment: built, known as kernels, updated and removed with config.yaml."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeConda, FakeUv, add_distribution, conda_package, make_context, real
from tljh.configurer import with_defaults
from tljh.engine.apply import Applier
from tljh.engine.build import build
from tljh.engine.plan import Change, Plan, make_plan
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources.environments.environment import unused
from tljh.resources.locks.lock import CondaPackage, Lock
from tljh.settings.schema import named_environment
from tljh.stages import environments as module
from tljh.stages import generation
from tljh.stages.context import Context, Options
from tljh.stages.leaving import forgotten

FROM_PYPI = Lock((), ("jupyterlab==4.0",))
FROM_CONDA = Lock((), (), conda=(CondaPackage.of(conda_package("python")),))


@pytest.fixture
def uv() -> FakeUv:
    return FakeUv({"numpy": "2.0", "pandas": "2.2"})


@pytest.fixture
def context(tmp_path: Path, uv: FakeUv, monkeypatch: pytest.MonkeyPatch) -> Context:
    share = tmp_path / "usr/local/share"
    share.mkdir(parents=True)
    monkeypatch.setattr(module, "KERNELS", share / "jupyter/kernels")
    made = make_context(real(tmp_path), uv=uv, config=with_defaults({}), hub_lock=Lock((), ("jupyterhub==5.2.1",)))
    made.hub_target, made.user_target = made.paths.envs / "hub-1", made.paths.envs / "user-1"
    made.user_lock, made.provider_why = FROM_PYPI, "config.yaml has user_environment.provider: pypi"
    return made


def wants(context: Context, **environments: Any) -> Context:
    """config.yaml asks for these and no others."""
    context.config = with_defaults({"environments": environments})
    return context


def packages(*pip: str, **more: Any) -> dict[str, Any]:
    return {"packages": {"pip": list(pip)}, **more}


def planned(context: Context) -> Plan:
    context.facts.refresh()
    module.look(context)
    owned = context.store.owned()
    found = build([module.Environments()], context, owned, forgotten.makers(context))
    return make_plan(found, context.facts, owned)


def install(context: Context) -> list[str]:
    """Do what is planned; what was changed, in order."""
    plan = planned(context)
    number = context.store.begin_run("test")
    applier = Applier(context.machine, context.facts, context.store, number)
    done = [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]
    generation.record(context, number, "test")
    return list(dict.fromkeys(short(context, line) for line in done))


def short(context: Context, line: Change) -> str:
    """``create environment:gis``, without where the test is."""
    place = line.resource.replace(str(module.KERNELS.parents[1]), "").replace(str(context.paths.prefix), "")
    return f"{line.action} {place}"


def link(context: Context, name: str) -> str:
    return os.readlink(context.paths.envs / name)


def kernel(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((module.KERNELS / f"tljh-{name}" / "kernel.json").read_text())
    return said


# ---- who asks for what


def plugin(name: str, version: str = "1.0", **environments: Any) -> PluginReport:
    rows = [{"name": key, **named_environment(key, values)} for key, values in environments.items()]
    label = f"plugin {name} (tljh-{name} {version})"
    return PluginReport(
        name, f"tljh-{name}", version, label=label, contributions={"tljh_environments": tuple(rows)}
    )


def test_nobody_asks(context: Context) -> None:
    assert not planned(context)
    assert context.environments == []
    assert list(module.Environments().resources(context)) == []


def test_config_yaml_and_plugins_ask_and_config_yaml_wins(context: Context) -> None:
    wants(context, teaching=packages("numpy"), gis=None)
    context.reports = [
        plugin("x", teaching=packages("pandas"), art={"title": "Art"}),
        plugin("y", art={"title": "Art"}),
    ]
    found = {wish.name: wish for wish in module.asked_for(context)}
    assert list(found) == ["art", "gis", "teaching"]
    assert [(wish.origin, wish.whose) for wish in found.values()] == [
        ("x", "x"),
        ("config.yaml", "environments.gis in config.yaml"),
        ("config.yaml", "environments.teaching in config.yaml"),
    ]
    assert found["teaching"].values["packages"] == {"conda": [], "pip": ["numpy"]}
    assert found["gis"].values["title"] == "gis"


def test_two_plugins_that_disagree(context: Context) -> None:
    context.reports = [plugin("x", art={"python": "3.12"}), plugin("y", "2.0", art={"python": "3.13"})]
    with pytest.raises(TljhError) as caught:
        module.look(context)
    assert str(caught.value) == (
        "plugin x (tljh-x 1.0) and plugin y (tljh-y 2.0) ask for different environments named art: "
        'python is "3.12" and "3.13"\n'
        "  → leave out one of the two, or say in config.yaml what environments.art is, which wins over both; "
        "nothing was changed"
    )
    wants(context, art=packages("numpy"))
    module.look(context)
    assert [environment.origin for environment in context.environments] == ["config.yaml"]


# ---- built, and known as a kernel


def test_an_environment_and_its_kernel(context: Context) -> None:
    wants(context, gis=packages("numpy", title="Maps"))
    assert install(context) == [
        "create directory:/jupyter",
        "create directory:/jupyter/kernels",
        "create environment:gis",
        "create directory:/jupyter/kernels/tljh-gis",
        "create file:/jupyter/kernels/tljh-gis/kernel.json",
    ]
    assert link(context, "gis") == "gis-1"
    path = context.paths.envs / "gis-1"
    assert kernel("gis") == {
        "argv": [f"{path}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Maps",
        "language": "python",
        "metadata": {"debugger": True},
        "env": {
            "PATH": f"{path}/bin:${{HOME}}/.local/envs/gis/bin:${{PATH}}",
            "PYTHONUSERBASE": "${HOME}/.local/envs/gis",
        },
    }
    fact = context.facts.environment(path)
    assert fact is not None
    assert fact.packages["numpy"] == "2.0"
    assert {"ipykernel", "pip"} <= set(fact.packages)
    assert "jupyterlab" not in fact.packages
    assert "include-system-site-packages = no" in (path / "pyvenv.cfg").read_text(), "pip install --user works"


def test_it_is_verified_by_a_kernel_that_runs(context: Context) -> None:
    wants(context, gis={})
    context.machine.answers["python -c"] = Completed(1, "", "the kernel died")  # type: ignore[attr-defined]
    with pytest.raises(TljhError, match="the kernel died"):
        install(context)
    assert not (context.paths.envs / "gis").is_symlink()
    assert not (context.paths.envs / "gis-1").exists()
    assert not (module.KERNELS / "tljh-gis").exists(), "no kernel that leads nowhere"


def test_who_asked_for_it_is_in_the_plan(context: Context) -> None:
    wants(context, gis=packages("numpy"))
    context.reports = [plugin("x", art=packages("pandas"))]
    found = {(line.resource, line.key): line.origin for line in planned(context).changes()}
    assert found["environment:gis", "(path)"] == "config.yaml"
    assert found["environment:gis", "numpy"] == "environments.gis in config.yaml"
    assert found["environment:gis", "ipykernel"] == "core"
    assert found["environment:art", "(path)"] == found["environment:art", "pandas"] == "x"
    assert found[f"file:{module.KERNELS}/tljh-art/kernel.json", "content"] == "x"


def test_a_second_run_has_nothing_to_do_and_solves_nothing(context: Context, uv: FakeUv) -> None:
    wants(context, gis=packages("numpy"), art=packages("pandas"))
    install(context)
    uv.asked, ran = [], len(context.machine.commands)  # type: ignore[attr-defined]
    assert planned(context).changes() == []
    assert uv.asked == []
    assert len(context.machine.commands) == ran, "nothing is started"  # type: ignore[attr-defined]


def test_a_folder_of_kernels_that_was_there_stays_as_it_is(context: Context) -> None:
    module.KERNELS.mkdir(parents=True)
    module.KERNELS.chmod(0o2775)
    wants(context, gis={})
    assert "create directory:/jupyter/kernels" not in install(context)
    assert planned(context).changes() == []
    wants(context)
    install(context)
    assert module.KERNELS.stat().st_mode & 0o7777 == 0o2775


# ---- updated


def test_another_package_and_what_the_admin_installed(context: Context, uv: FakeUv) -> None:
    install(wants(context, gis=packages("numpy")))
    add_distribution(context.paths.envs / "gis-1", "cowsay", "5.0")
    changes = install(wants(context, gis=packages("numpy", "pandas")))
    assert "change environment:gis" in changes
    assert "change file:/jupyter/kernels/tljh-gis/kernel.json" in changes
    assert link(context, "gis") == "gis-2"
    assert kernel("gis")["argv"][0] == f"{context.paths.envs}/gis-2/bin/python"
    fact = context.facts.environment(context.paths.envs / "gis")
    assert fact is not None
    assert fact.packages["cowsay"] == "5.0"
    assert fact.packages["pandas"] == "2.2"
    assert (context.paths.envs / "gis-1").exists(), "kernels that run keep theirs"


def test_another_title_is_another_kernel_file_only(context: Context) -> None:
    install(wants(context, gis=packages("numpy")))
    changes = install(wants(context, gis=packages("numpy", title="Maps")))
    assert changes == ["change file:/jupyter/kernels/tljh-gis/kernel.json"]
    assert kernel("gis")["display_name"] == "Maps"


def test_what_is_damaged_is_mended(context: Context) -> None:
    install(wants(context, gis=packages("numpy")))
    (module.KERNELS / "tljh-gis/kernel.json").unlink()
    (context.paths.envs / "gis").unlink()
    assert install(context) == ["create environment:gis", "create file:/jupyter/kernels/tljh-gis/kernel.json"]
    assert link(context, "gis") == "gis-1"


def test_a_package_that_is_given_up_in_one_leaves_the_others_alone(context: Context, uv: FakeUv) -> None:
    install(wants(context, gis=packages("numpy"), art=packages("numpy")))
    add_distribution(context.paths.envs / "art-1", "cowsay", "5.0")
    context.options = Options(drop=("cowsay",))
    install(context)
    assert (link(context, "art"), link(context, "gis")) == ("art-2", "gis-1")
    context.options = Options(drop=("numpy",))
    assert planned(context).changes() == [], "numpy was not installed by hand"


# ---- removed


def test_an_environment_that_is_no_longer_wanted(context: Context) -> None:
    install(wants(context, gis=packages("numpy"), art={}))
    plan = planned(wants(context, art={}))
    assert [short(context, line) for line in plan.changes() if line.key in ("content", "mode", "(path)")] == [
        "remove file:/jupyter/kernels/tljh-gis/kernel.json",
        "remove file:/jupyter/kernels/tljh-gis/kernel.json",
        "remove directory:/jupyter/kernels/tljh-gis",
        "remove environment:gis",
    ]
    last = plan.changes()[-1]
    assert (last.before, last.origin, last.undo) == (f"{context.paths.envs}/gis-1", "config.yaml", "restored")
    assert last.effect == "kernels that run go on; gis-1 is removed later, when nothing needs it"
    assert {line.stage for line in plan.changes()} == {"environments"}
    install(context)
    assert sorted(path.name for path in context.paths.envs.iterdir()) == ["art", "art-1", "gis-1"]
    assert [path.name for path in module.KERNELS.iterdir()] == ["tljh-art"]
    assert planned(context).changes() == []


def test_the_last_one_takes_our_folders_along(context: Context) -> None:
    install(wants(context, gis={}))
    install(wants(context))
    assert not module.KERNELS.parent.exists()
    assert context.store.owned() == {}
    assert planned(context).changes() == []


def test_a_kernel_of_somebody_else_stays(context: Context) -> None:
    install(wants(context, gis={}))
    (module.KERNELS / "julia").mkdir()
    install(wants(context))
    assert [path.name for path in module.KERNELS.iterdir()] == ["julia"]
    assert planned(context).changes() == []


def test_a_link_that_was_removed_by_hand_leaves_no_kernel(context: Context) -> None:
    install(wants(context, gis={}))
    (context.paths.envs / "gis").unlink()
    install(wants(context))
    assert not module.KERNELS.exists()


def test_one_that_is_wanted_again_is_the_same(context: Context) -> None:
    install(wants(context, gis=packages("numpy")))
    install(wants(context))
    install(wants(context, gis=packages("numpy")))
    assert link(context, "gis") == "gis-1"


def test_it_is_removed_when_no_kept_generation_names_it(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[str] = []
    monkeypatch.setattr("tljh.resources.environments.environment._command_lines", lambda: "\n".join(running))
    install(wants(context, gis={}, art={}))
    for number in range(3):
        assert (context.paths.envs / "gis-1").exists()
        install(wants(context, art={"title": str(number)}))
    assert not (context.paths.envs / "gis-1").exists()
    assert link(context, "art") == "art-1"
    newest = context.store.generations(1)[0]
    assert newest["environments"] == {"hub": "hub-1", "user": "user-1", "art": "art-1"}
    assert "ipykernel==1.0" in newest["locks"]["art"]["lock"]


def test_what_is_never_collected(context: Context) -> None:
    envs = context.paths.envs
    (envs / "data-science-1").mkdir()
    (envs / "data-science").symlink_to("data-science-1")
    (envs / "an-admins-own").mkdir()
    assert unused(context.facts, envs, set()) == [envs / "data-science-1"]


# ---- conda


@pytest.fixture
def conda(context: Context) -> FakeConda:
    context.user_lock, context.provider_why = FROM_CONDA, "its channels answer"
    return FakeConda(context.machine)  # type: ignore[arg-type]


def test_an_environment_of_conda(context: Context, conda: FakeConda) -> None:
    asked = {"conda": ["gdal"], "pip": []}
    wants(context, gis={"python": 3.12, "packages": asked})
    install(context)
    path = context.paths.envs / "gis-1"
    fact = context.facts.environment(path)
    assert fact is not None
    assert {"python", "gdal", "ipykernel", "pip"} <= set(fact.conda)
    assert conda.asked[0]["specs"] == ["python 3.12.*", "gdal"]
    assert conda.asked[0]["channels"] == ["https://conda.anaconda.org/conda-forge"]
    assert kernel("gis")["env"]["CONDA_PREFIX"] == str(path)
    count = len(conda.asked)
    assert planned(context).changes() == []
    assert len(conda.asked) == count, "neither a solve nor an install"


def test_the_first_one_takes_byte_code_from_the_user_environment(context: Context, conda: FakeConda) -> None:
    user = context.paths.envs / "user-1"
    context.conda.build(FROM_CONDA, user)
    context.paths.user.symlink_to("envs/user-1")
    install(wants(context, gis={}))
    assert context.machine.ran("env -i")[-1].endswith(f"{context.paths.envs}/gis-1 {user}")  # type: ignore[attr-defined]
    install(wants(context, gis={"packages": {"conda": ["gdal"]}}))
    assert context.machine.ran("env -i")[-1].endswith(f"/gis-2 {context.paths.envs}/gis-1")  # type: ignore[attr-defined]


def test_channels(context: Context, conda: FakeConda, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text("channels: [robots]\ndependencies: [ros]\n")
    asked = {"mine": {"channels": ["gis"]}, "theirs": {}, "file": {"file": str(file)}}
    context.config = with_defaults(
        {"user_environment": {"channels": ["https://host/forge"]}, "environments": asked}
    )
    module.look(context)
    places = [asked["channels"] for asked in conda.asked]
    assert places == [
        ["https://conda.anaconda.org/robots"],
        ["https://conda.anaconda.org/gis"],
        ["https://host/forge"],
    ]
    file_lock, mine, _ = (environment.lock for environment in context.environments)
    assert {(row.requirement, row.origin) for row in mine.requested if row.manager == "channel"} == {
        ("gis", "environments.mine in config.yaml")
    }
    assert file_lock.origins["conda:ros"] == str(file)


def test_the_provider_is_that_of_the_user_environment(context: Context) -> None:
    install(wants(context, gis={}))
    context.user_lock = FROM_CONDA
    FakeConda(context.machine)  # type: ignore[arg-type]
    module.look(context)
    (found,) = context.environments
    assert (found.lock.provider, found.target.name) == ("conda", "gis-2")


# ---- errors


def fails(context: Context) -> str:
    with pytest.raises(TljhError) as caught:
        module.look(context)
    return str(caught.value)


def test_conda_packages_where_all_comes_from_pypi(context: Context) -> None:
    wants(context, gis={"packages": {"conda": ["gdal >=3", "proj"]}})
    assert fails(context) == (
        "environment gis: conda packages can't be installed, because the user environment comes from PyPI "
        "(config.yaml has user_environment.provider: pypi): environments.gis in config.yaml wants gdal >=3, proj\n"
        "  → nothing was changed; one of three: take conda packages (tljh-config set user_environment.provider "
        "conda, with user_environment.channels that this machine reaches); say what they are at PyPI "
        "(tljh-config set user_environment.pypi_names.gdal NAME); or leave out what asks for them"
    )
    wants(context)
    context.reports = [plugin("x", "2.0", gis={"packages": {"conda": ["gdal"]}})]
    assert "plugin x 2.0 wants gdal\n" in fails(context)


def test_conda_packages_with_names_at_pypi(context: Context) -> None:
    wants(context, gis={"packages": {"conda": ["gdal"]}})
    context.config["user_environment"]["pypi_names"] = {"gdal": "rasterio>=1"}
    module.look(context)
    assert "rasterio" in context.environments[0].lock.pins


def test_another_python_than_the_systems(context: Context) -> None:
    context.machine.answers["python3 --version"] = "Python 3.11.2\n"  # type: ignore[attr-defined]
    wants(context, gis={"python": "3.12"})
    assert fails(context) == (
        "environments.gis in config.yaml: Python 3.12 can't be had, only the system's, which is 3.11.2, because "
        "the user environment comes from PyPI (config.yaml has user_environment.provider: pypi)\n"
        "  → leave out environments.gis.python, or take conda packages: tljh-config set user_environment.provider "
        "conda"
    )
    assert "Python 3.1 can't" in fails(wants(context, gis={"python": "3.1"}))
    for version in ("3.11", "3.11.2", ""):
        module.look(wants(context, gis={"python": version}))
        assert len(context.environments) == 1


def test_a_file_that_cannot_be_read(context: Context, tmp_path: Path) -> None:
    wants(context, gis={"file": "/nonexistent/e.yml"})
    assert fails(context) == (
        "environments.gis in config.yaml: the file /nonexistent/e.yml cannot be read: No such file or directory\n"
        "  → name an https URL or a readable file"
    )
    broken = tmp_path / "e.yml"
    broken.write_text("dependencies:\n  - 5\n")
    wants(context)
    context.reports = [plugin("x", gis={"file": str(broken)})]
    assert fails(context).startswith(f"environment gis: {broken} line 2: item 1 of dependencies is the number 5")


def test_packages_that_cannot_be_had_together(context: Context, conda: FakeConda) -> None:
    wants(context, gis={"packages": {"conda": ["gdal <2"]}})
    conda.fault = {"fault": "solve", "text": "nothing provides gdal <2"}
    said = fails(context)
    assert said.startswith("environment gis: the conda packages asked for cannot be installed together")
    assert "environments.gis in config.yaml asks for gdal <2" in said
