"""What a user environment is asked to hold, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import make_context, real
from tljh.configurer import with_defaults
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources.conda.settings import CondaSettings
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages import wishes
from tljh.stages.context import Context, Options

CONDA = "tljh_extra_user_conda_packages"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    hub = Lock((), ("jupyterhub==5.2.1",))
    return make_context(real(tmp_path), config=with_defaults({}), hub_lock=hub)


def plugin(name: str, **contributions: tuple[str, ...]) -> PluginReport:
    return PluginReport(name, f"tljh-{name}", "2.0", contributions=contributions)


def configured(**user_environment: Any) -> dict[str, Any]:
    return with_defaults({"user_environment": user_environment})


# ---- requirement files


def test_lines_of_a_requirements_file() -> None:
    text = "# a comment\n\nnumpy==2.0  # why\n  -r other.txt\nx @ https://host/x#sha256=1\n"
    assert wishes.lines_of(text) == ["numpy==2.0", "-r other.txt", "x @ https://host/x#sha256=1"]


def test_a_line_that_goes_on_in_the_next() -> None:
    assert len(wishes.lines_of("numpy==2.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\npip\n")) == 2


def test_a_requirements_file_of_this_machine(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "r.txt"
    place.write_text("numpy\n")
    assert (
        wishes.read(context, str(place), wishes.REQUIREMENTS)
        == wishes.read(context, f"file://{place}", "x")
        == "numpy\n"
    )
    place.write_bytes(b"\xff")
    with pytest.raises(TljhError, match=r"r\.txt cannot be read: it is not text"):
        wishes.read(context, str(place), wishes.REQUIREMENTS)
    with pytest.raises(TljhError) as caught:
        wishes.read(context, "/nonexistent/r.txt", wishes.REQUIREMENTS)
    assert str(caught.value) == (
        "--user-requirements-txt-url: the file /nonexistent/r.txt cannot be read: "
        "No such file or directory\n  → name an https URL or a readable file"
    )


def test_a_file_that_is_gone_still_holds(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "r.txt")
    context.store.set_wishes(f"content of {place}", ["numpy\n"])
    assert wishes.read(context, place, wishes.REQUIREMENTS) == "numpy\n"
    warning = f"! {place} cannot be read any more; what it said when it was given still holds\n"
    assert capsys.readouterr().err == warning
    context.options = Options(requirements=place)
    with pytest.raises(TljhError, match="cannot be read: No such file or directory"):
        wishes.read(context, place, wishes.REQUIREMENTS)


def test_a_url_is_fetched_when_it_is_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(wishes, "fetch_text", lambda url, whose: fetched.append(url) or "numpy\n")
    url = "https://host/r.txt"
    context.options = Options(requirements=url)
    assert wishes.read(context, url, wishes.REQUIREMENTS) == "numpy\n"
    assert context.fetched == {url: "numpy\n"}
    context.store.set_wishes(f"content of {url}", ["numpy==1\n"])
    context.options, context.fetched = Options(), {}
    assert wishes.read(context, url, wishes.REQUIREMENTS) == "numpy==1\n", "a re-run needs no network"
    assert fetched == [url]


# ---- what is asked for


def test_who_asks_for_what_of_pypi(context: Context, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("cowsay\n")
    (tmp_path / "new.txt").write_text("numpy\n")
    context.store.add_wishes("requirements", [str(tmp_path / "old.txt")])
    context.options = Options(requirements=str(tmp_path / "new.txt"))
    context.config = configured(packages={"pip": ["scipy"]})
    context.reports = [plugin("x", tljh_extra_user_pip_packages=("pandas",))]
    rows = wishes.of_user_environment(context, "pypi", ())
    assert Requested("jupyterhub==5.2.1", "core") in rows, "the hub's and the servers' versions go together"
    assert rows[-4:] == [
        Requested("cowsay", "--user-requirements-txt-url"),
        Requested("numpy", "--user-requirements-txt-url"),
        Requested("scipy", "config.yaml"),
        Requested("pandas", "x"),
    ]
    assert context.requirements == [str(tmp_path / "old.txt"), str(tmp_path / "new.txt")]
    assert {(row.origin, row.manager) for row in rows[:-4]} == {("core", "pip")}


def test_who_asks_for_what_of_conda(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text("channels: [bioconda]\ndependencies: [samtools, {pip: [cowsay]}]\n")
    context.config = configured(python="3.12", packages={"conda": ["r-base >=4.3"]}, file=str(file))
    context.reports = [plugin("x", **{CONDA: ("octave",)})]
    rows = wishes.of_user_environment(
        context, "conda", wishes.channels(context, context.config["user_environment"])
    )
    assert rows[:2] == [
        Requested("bioconda", str(file), "channel"),
        Requested("python 3.12.*", "config.yaml", "conda"),
    ]
    assert Requested("jupyterlab>=4.2,<5", "core", "either") in rows, "of conda where a channel has it"
    assert Requested("mamba", "core", "if there") in rows
    assert rows[-4:] == [
        Requested("r-base >=4.3", "config.yaml", "conda"),
        Requested("samtools", str(file), "conda"),
        Requested("octave", "x", "conda"),
        Requested("cowsay", str(file)),
    ]


def test_the_order_of_channels(context: Context) -> None:
    context.config = configured(channels=["ours", "conda-forge"])
    context.options = Options(channels=("/srv/channel",))
    context.reports = [plugin("x", tljh_extra_user_conda_channels=("bioconda", "conda-forge"))]
    rows = wishes.channels(context, context.config["user_environment"])
    assert [(row.requirement, row.origin) for row in rows] == [
        ("ours", "config.yaml"),
        ("conda-forge", "config.yaml"),
        ("/srv/channel", "--channel"),
        ("bioconda", "x"),
    ]
    assert context.channels == ["/srv/channel"], "the flag is remembered"


def test_channels_that_nobody_names(context: Context) -> None:
    wanted = context.config["user_environment"]
    assert wishes.channels(context, wanted) == [Requested("conda-forge", "core", "channel")]
    context.conda.settings = lambda: CondaSettings(channels=("mine",))
    assert wishes.channels(context, wanted) == [Requested("mine", ".condarc", "channel")]


def test_credentials_of_a_channel_are_not_recorded(context: Context) -> None:
    rows = [Requested("https://me:secret@host/t/TOKEN/ours", "--channel", "channel")]
    found = wishes.of_user_environment(context, "conda", rows)
    assert found[0] == Requested("https://host/ours", "--channel", "channel")


def test_conda_packages_under_pypi(context: Context) -> None:
    context.provider_why = "its channels do not answer"
    context.config = configured(packages={"conda": ["gdal"]})
    context.reports = [plugin("a", **{CONDA: ("r-base", "octave >=8")})]
    with pytest.raises(TljhError) as caught:
        wishes.of_user_environment(context, "pypi", ())
    assert str(caught.value) == (
        "conda packages can't be installed, because the user environment comes from PyPI (its channels do not "
        "answer): config.yaml wants gdal; plugin a 2.0 wants r-base, octave >=8\n"
        "  → nothing was changed; one of three: take conda packages (tljh-config set user_environment.provider "
        "conda, with user_environment.channels that this machine reaches); say what they are at PyPI (tljh-config "
        "set user_environment.pypi_names.gdal NAME); or leave out what asks for them"
    )


def test_the_admin_says_what_a_conda_package_is_at_pypi(context: Context) -> None:
    context.config = configured(pypi_names={"pytorch": "torch>=2"})
    context.reports = [plugin("a", **{CONDA: ("pytorch >=2.1",)})]
    rows = wishes.of_user_environment(context, "pypi", ())
    assert Requested("torch>=2", "a") in rows


def test_an_environment_beside_the_user_environment_has_a_kernel(context: Context) -> None:
    rows = wishes.of_environment(context, {"packages": {"conda": ["r-base"]}}, "config.yaml", "conda", ())
    assert [row.name for row in rows if row.origin == "core"] == ["conda:python", "ipykernel", "pip"]
    assert rows[-1] == Requested("r-base", "config.yaml", "conda")
