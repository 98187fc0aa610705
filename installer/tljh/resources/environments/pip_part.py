"""What pip would install into a conda environment: solved and installed by uv, around conda's packages."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tljh.errors import CommandFailed
from tljh.resources.environments.python_environment import Builder, explained
from tljh.resources.locks.lock import Requested


def compile_part(
    builder: Builder,
    requested: Sequence[Requested],
    prefer: Mapping[str, str],
    *,
    python: Path,
    there: Mapping[str, str],
) -> list[str]:
    """Solve requirements against an environment that holds conda's packages already.

    Args:
        requested: Requirement lines and pip options, in order.
        prefer: Name → pin of what pip's part holds now: it stays where nothing asks for something else.
        python: The environment's interpreter.
        there: Canonical name → version of what conda's packages brought; none of it is in the answer.

    Returns:
        Options first, then one line a distribution, with the hashes that the index gives.

    Raises:
        TljhError: there is no solution; it names who asked for what.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.in").write_text("".join(f"{row.requirement}\n" for row in requested))
        (folder / "constraints.txt").write_text("".join(f"{name}=={version}\n" for name, version in there.items()))
        (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in builder.overrides))
        seeds = (f"{name}{pin}\n" for name, pin in prefer.items() if pin.startswith("=="))
        (folder / "lock.txt").write_text("".join(seeds))
        left_out = [f"--no-emit-package={name}" for name in there]
        try:
            builder.run(
                *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes", *left_out),
                *("--python", python, "--constraint", folder / "constraints.txt"),
                *("--override", folder / "overrides.txt"),
                *("-o", folder / "lock.txt", folder / "requirements.in"),
            )
        except CommandFailed as error:
            raise explained(error, requested) from error
        lines = joined((folder / "lock.txt").read_text())
    options = [row.requirement for row in requested if row.requirement.startswith("-")]
    return [*options, *(line for line in lines if not line.startswith("-"))]


def joined(text: str) -> list[str]:
    """The lines of a requirements file, those that go on after a backslash as one."""
    lines = (" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def install_part(builder: Builder, lines: Sequence[str], path: Path, requested: Sequence[Requested]) -> None:
    """Install exactly these distributions, and nothing that they ask for; what has a hash must have that one.

    Raises:
        TljhError: one cannot be had, or is not what its hash says.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "lock.txt"
        listed.write_text("".join(f"{line}\n" for line in lines))
        try:
            builder.run(
                *("pip", "install", "--no-deps", "--verify-hashes", "--link-mode", "copy"),
                *("--python", path / "bin" / "python", "--requirement", listed),
            )
        except CommandFailed as error:
            raise explained(error, requested) from error
