"""What ``tljh`` is while the Python of the hub environment is gone, as after an upgrade of the system.

``bin/tljh`` (``resources.command``) starts this file with the system's Python: only the standard library can be
imported. It says what is the matter; ``tljh doctor --fix`` and ``tljh install`` let bootstrap build the
environments anew. Nobody else uses this module.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PROJECT = "the-littlest-jupyterhub"
MENDING = (["doctor", "--fix"], ["install"])


def main(arguments: list[str]) -> int:
    """Say what is wrong, or become bootstrap.

    Args:
        arguments: The prefix, the command's name, and what it was given.

    Returns:
        The exit status.
    """
    prefix, name, *words = arguments
    environment = Path(os.path.realpath(f"{prefix}/hub"))
    command, variables = bootstrap_of(environment)
    mending = name == "tljh" and command and any(words[: len(known)] == known for known in MENDING)
    print(what_is_wrong(environment), file=sys.stderr)
    if not mending:
        todo = "tljh doctor --fix" if command else "run the bootstrap command again that you installed with"
        print(f"  → {todo}: builds the environments anew; users, files and packages stay", file=sys.stderr)
        return 1
    more = words[1:] if words[0] == "install" else []
    sys.stderr.flush()
    os.environ.update(variables, TLJH_INSTALL_PREFIX=prefix)
    os.execv(sys.executable, [sys.executable, *command, *more])


def what_is_wrong(environment: Path) -> str:
    """One sentence."""
    python = environment / "bin" / "python"
    made_with = ", ".join(sorted(path.parent.name for path in environment.glob("lib/python3*/site-packages")))
    here = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    if not environment.is_dir():
        return f"tljh: the hub environment {environment} is not there"
    if not python.exists():
        return f"tljh: the hub environment was made with {os.path.realpath(python)}, which is gone; here is {here}"
    return f"tljh: the hub environment was made with {made_with}, and {python} is {here} now"


def bootstrap_of(environment: Path) -> tuple[list[str], dict[str, str]]:
    """The command that brings the same version of this project again, and its variables; nothing where none is."""
    try:
        manifest = json.loads((environment / "tljh-environment.json").read_text())
        source = manifest["sources"][PROJECT]
    except (OSError, ValueError, KeyError, TypeError):
        return [], {}
    spec, wheel = source.get("spec", ""), source.get("wheel", "")
    checkout = Path(spec) / "bootstrap" / "bootstrap.py"
    if spec.startswith("/") and checkout.is_file():
        return [str(checkout)], {}
    ours = Path(__file__).with_name("bootstrap.py")
    if not ours.is_file():
        return [], {}
    found = wheel if wheel and Path(wheel).is_file() else spec
    return ([str(ours)], {"TLJH_BOOTSTRAP_PIP_SPEC": found}) if found else ([], {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
