"""Loads the hub's configuration as a hub does that starts, beside the one that runs, and ends.

``python -m tljh.hub.rehearsal PID``, in the hub's working folder. PID is the hub that runs: what its unit or its
container gave it as environment variables holds here too. What files print goes to standard error; standard output
is one line of JSON, ``{}`` or an ``Obstacle``'s fields. Nothing is written, no port is opened by us, and the
database is not touched.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from tljh.hub.configure import SERVICE_VARIABLE
from tljh.paths import Paths
from tljh.plugins.loading import describe

CONFIGURATION = Path(__file__).with_name("jupyterhub_config.py")

MAY_DIFFER = (KeyError, OSError)
"""What a file may raise here and not in the hub: the running hub holds the port or the lock that it wants to have,
or a variable was added to the unit only now."""


@dataclass(frozen=True)
class Obstacle:
    """What keeps the hub from starting.

    Attributes:
        what: In words.
        file: Where; empty where that is not known.
        line: In the file; 0 where that is not known.
    """

    what: str
    file: str = ""
    line: int = 0


def environment_of(pid: str, proc: Path = Path("/proc")) -> dict[str, str]:
    """The variables that the hub with this process number was started with; none where it is not a hub's."""
    try:
        content = (proc / pid / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition("=")[::2] for entry in os.fsdecode(content).split("\0") if "=" in entry)
    found = dict(pairs)
    return found if found.pop(SERVICE_VARIABLE, "") == "jupyterhub" else {}


def obstacle(error: BaseException, folder: Path) -> Obstacle | None:
    """What an error that came while the configuration was loaded says; ``None``: the hub may start all the same.

    Args:
        folder: Of the admin's files: the last line of one of them is named rather than one of a library.
    """
    if isinstance(error, MAY_DIFFER):
        return None
    if isinstance(error, SystemExit):
        if error.code in (0, None):
            return Obstacle("it ends the hub")
        return Obstacle(str(error.code) if isinstance(error.code, str) else f"it ends with status {error.code}")
    if isinstance(error, SyntaxError):
        return Obstacle(f"SyntaxError: {error.msg}", error.filename or "", error.lineno or 0)
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if Path(frame.filename).parent == folder), None)
    return Obstacle(describe(error), frame.filename, frame.lineno or 0) if frame else Obstacle(describe(error))


def load() -> None:
    """Load the configuration into a hub that is not started; what goes wrong is raised."""
    from jupyterhub import app

    class JupyterHub(app.JupyterHub):  # type: ignore[misc]
        def exit(self, exit_status: int | str = 0) -> NoReturn:
            """traitlets ends a program whose configuration is wrong; who is told why is ours to choose."""
            raise sys.exc_info()[1] or SystemExit(exit_status)

    JupyterHub(log_level="CRITICAL").load_config_file(str(CONFIGURATION))


def rehearse(folder: Path) -> Mapping[str, Any]:
    """What is answered."""
    try:
        load()
    except (Exception, SystemExit) as error:
        found = obstacle(error, folder)
        return asdict(found) if found else {}
    return {}


def main(arguments: list[str]) -> None:
    """The command line."""
    if arguments:
        variables = environment_of(arguments[0])
        if not variables:
            print("{}")
            return
        os.execve(sys.executable, [sys.executable, "-m", "tljh.hub.rehearsal"], variables)
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        print(json.dumps(rehearse(Paths.from_environment().hub_config_d)), file=answer)
    os._exit(0)  # whatever the files have started


if __name__ == "__main__":
    main(sys.argv[1:])
