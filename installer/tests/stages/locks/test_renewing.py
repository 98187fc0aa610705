"""Only what is named moves; everything, when nothing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import add_distribution, real
from lock_fakes import Locked
from tljh.errors import TljhError
from tljh.resources.locks.lock import BY_HAND, Requested
from tljh.stages.locks import lock_writing, locking, renewing


@pytest.fixture
def prefix(tmp_path: Path) -> Locked:
    """Its channel and its index have newer versions than the environment."""
    prefix = Locked(real(tmp_path))
    prefix.conda.channel = {"python": ["3.11.2"], "jupyterlab": ["4.1"]}
    prefix.build()
    prefix.conda.channel = {"python": ["3.11.2", "3.12.1"], "jupyterlab": ["4.1", "4.4"]}
    prefix.uv.newest = {"cowsay": "7.0", "sheep": "2.0"}
    return prefix


def renewed(prefix: Locked, *names: str) -> dict[str, str]:
    prefix.options(upgrade=names)
    prefix.context.conda.begun.clear()
    return dict(prefix.settle()[0].pins)


OLD = {"conda:python": "3.11.2=h1_0", "conda:jupyterlab": "4.1=h1_0", "cowsay": "==6.0"}


def test_what_moves(prefix: Locked) -> None:
    assert not renewing.moves(prefix.context, "user", "cowsay"), "without a renewal nothing does"
    assert not renewing.concerns(prefix.context, "user")
    prefix.options(upgrade=("Jupyter_Client",))
    assert renewing.moves(prefix.context, "user", "conda:jupyter_client")
    assert renewing.moves(prefix.context, "user", "jupyter-client")
    assert not renewing.moves(prefix.context, "user", "cowsay")
    assert renewing.concerns(prefix.context, "hub"), "it may be anywhere"
    prefix.options(upgrade=())
    assert renewing.moves(prefix.context, "user", "cowsay")
    assert renewing.concerns(prefix.context, "hub")


def test_an_environment_is_named(prefix: Locked) -> None:
    prefix.options(upgrade=("user",))
    assert renewing.moves(prefix.context, "user", "cowsay")
    assert not renewing.moves(prefix.context, "hub", "cowsay")
    assert renewing.concerns(prefix.context, "user")
    assert not renewing.concerns(prefix.context, "hub")
    assert not renewing.concerns(prefix.context, "other")


@pytest.mark.parametrize(
    ("names", "moved"),
    [
        (("jupyterlab",), {"conda:jupyterlab": "4.4=h1_0"}),
        (("cowsay",), {"cowsay": "==7.0"}),
        ((), {"conda:python": "3.12.1=h1_0", "conda:jupyterlab": "4.4=h1_0", "cowsay": "==7.0"}),
    ],
)
def test_the_rest_stays(prefix: Locked, names: tuple[str, ...], moved: dict[str, str]) -> None:
    assert renewed(prefix, *names) == {**OLD, **moved}


def test_what_was_installed_by_hand_stays_unless_it_is_named(prefix: Locked) -> None:
    add_distribution(prefix.context.paths.user.resolve(), "sheep", "1.5")
    assert renewed(prefix, "jupyterlab")["sheep"] == "==1.5"
    assert renewed(prefix, "sheep")["sheep"] == "==2.0"
    rows = prefix.settle()[0].requested
    assert Requested("sheep", BY_HAND) in rows


def test_it_begins_with_the_lock_that_is_followed(prefix: Locked, tmp_path: Path) -> None:
    prefix.hub("jupyterhub==6.1.1")
    written = lock_writing.texts_of(prefix.context, lock_writing.as_it_is(prefix.context), ())
    text = written.texts["conda-lock.yml"].replace("jupyterlab-4.1", "jupyterlab-4.3").replace("'4.1'", "'4.3'")
    folder = locking.folder_of(prefix.context.paths)
    folder.mkdir()
    (folder / "conda-lock.yml").write_text(text)
    assert renewed(prefix, "cowsay") == {**OLD, "conda:jupyterlab": "4.3=h1_0", "cowsay": "==7.0"}


def refused(prefix: Locked, *names: str) -> str:
    prefix.options(upgrade=names)
    with pytest.raises(TljhError) as caught:
        renewing.refuse(prefix.context)
    return str(caught.value)


def test_what_is_not_here(prefix: Locked) -> None:
    prefix.hub("jupyterhub==6.1.1")
    add_distribution(prefix.context.paths.user.resolve(), "sheep", "1.5")
    assert refused(prefix, "user", "cowsey") == (
        "there is neither an environment nor a package cowsey here (did you mean cowsay?)\n"
        "  → name a package (tljh env packages shows them) or an environment: hub, user"
    )
    for names in ((), ("hub", "user"), ("JupyterLab", "cowsay"), ("sheep",), ("jupyterhub",)):
        prefix.options(upgrade=names)
        renewing.refuse(prefix.context)


def test_a_machine_that_follows_a_lock(prefix: Locked) -> None:
    prefix.hub("jupyterhub==6.1.1")
    written = lock_writing.texts_of(prefix.context, lock_writing.as_it_is(prefix.context), ())
    lock_writing.keep(prefix.context, written)
    locking.look(prefix.context)
    assert refused(prefix, "cowsay") == (
        "this machine follows a lock, which says what version of everything it has\n"
        "  → renew the lock: tljh lock --upgrade cowsay; then tljh install. Nothing was changed"
    )


def test_pypis_packages(tmp_path: Path) -> None:
    prefix = Locked(real(tmp_path), "pypi")
    prefix.build()
    prefix.uv.newest = {"cowsay": "7.0", "jupyterlab": "5.0"}
    assert renewed(prefix, "jupyterlab") == {"jupyterlab": "==5.0", "cowsay": "==6.0"}
    assert renewed(prefix) == {"jupyterlab": "==5.0", "cowsay": "==7.0"}
