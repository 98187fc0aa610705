"""Mends the files of environments: conda's packages come from rattler, the others from uv."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tljh.engine.apply import Applier
from tljh.engine.plan import Step
from tljh.engine.resource import Diff
from tljh.errors import TljhError
from tljh.resources.environments import repair
from tljh.resources.environments.installed_files import read_records
from tljh.resources.environments.integrity import Fault, examine, unloadable
from tljh.resources.locks.lock import CONDA, Lock
from tljh.stages import config, wishes
from tljh.stages.context import Context
from tljh.stages.locks.provider import know
from tljh.stages.user_environment import let_people_install

COMMAND = "tljh env verify"


def repair_all(
    context: Context,
    roots: Mapping[str, Path],
    faults: Mapping[str, Sequence[Fault]],
    still_wrong: Callable[[str, Sequence[Fault]], None],
) -> dict[str, Sequence[Fault]]:
    """Mend environments, journaled.

    Args:
        roots: Name → environment.
        faults: Name → what was found in it.
        still_wrong: Told what is still wrong in an environment, where that is not just what was found.

    Returns:
        Name → what is still wrong.

    Raises:
        TljhError: it could not be done.
    """
    left: dict[str, Sequence[Fault]] = {}
    run = context.store.begin_run(f"{COMMAND} {' '.join(faults)} --repair")
    for number, earlier in context.store.unfinished_runs(run):
        if earlier.startswith(COMMAND):
            context.store.end_run(number, "killed")
    with context.store.failing(run):
        for name, some in faults.items():
            left[name] = _repair(context, run, name, roots[name], some, still_wrong)
    context.store.end_run(run, "done")
    return left


def _repair(
    context: Context,
    run: int,
    name: str,
    root: Path,
    faults: Sequence[Fault],
    still_wrong: Callable[[str, Sequence[Fault]], None],
) -> Sequence[Fault]:
    damaged = tuple(repair.by_package(filter(repair.can_be_mended, faults)))
    files = repair.Files(
        f"files:{name}",
        path=root,
        look=lambda: [*examine(root).faults, *unloadable(context.machine, root)],
        reinstall=lambda packages: reinstall(context, root, packages),
        frame=lambda: frame(context, name, root),
        damaged=damaged,
        stage="verify",
    )
    step = Step(files, Diff({}, dict.fromkeys(damaged, repair.WHOLE), {}))
    try:
        with context.reporter.stage(f"repair {name}"):
            done = Applier(context.machine, context.facts, context.store, run).apply(step)
            context.reporter.note(f"{len(done)} mended")
    finally:
        if files.seen and set(files.seen) != set(faults):
            still_wrong(name, files.seen)
    return files.seen


def reinstall(context: Context, root: Path, packages: Sequence[str]) -> None:
    """Make some packages of the environment at ``root`` what they were; conda's first, as Python is one of them.

    Args:
        packages: Their keys, as in ``Lock.pins``.

    Raises:
        TljhError: one can't be had, or the environment has no record.
    """
    fact = context.facts.environment(root)
    lock = Lock.of_record(fact.record) if fact else None
    if lock is None:
        raise TljhError(f"{root} has no record of what it was built from", todo="'tljh install' builds it anew")
    conda = [name for name in packages if name.startswith(CONDA)]
    pip = [name for name in packages if not name.startswith(CONDA)]
    if conda:
        unreadable = read_records(root).unreadable
        as_it_is = repair.as_it_is(context.facts, root, lock, unreadable.values())
        for name, package in unreadable.items():
            if package.startswith(CONDA):
                # rattler stops at one; without it the package is linked anew
                context.machine.remove(root / name)
        config.look_first(context)
        know(context, wishes.channels(context, context.config["user_environment"]))
        context.conda.repair(as_it_is, root, conda)
    if pip:
        repair.reinstall(context.builder, lock, root, pip)


def frame(context: Context, name: str, root: Path) -> None:
    """Make again what makes a virtual environment of the folder ``root``; its packages stay."""
    builder = context.builder
    builder.run("venv", "--quiet", "--allow-existing", "--relocatable", "--python", builder.python, root)
    if name != "hub":
        let_people_install(context.machine, root)
