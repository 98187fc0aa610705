"""The admin's files in ``jupyterhub_config.d``: Python that the hub runs as it starts.

One that keeps the hub from starting is found before a hub that runs is stopped, since these files are the admin's:
going back to an earlier generation would not help. That they are Python is seen before anything is changed; right
before the restart, the hub that is to be started loads its configuration beside the one that runs.
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

from tljh.engine.machine import Machine
from tljh.errors import CommandFailed, TljhError
from tljh.paths import Paths

log = logging.getLogger("tljh.settings")

REHEARSAL_TIMEOUT = 60.0  # seconds
TODO = "mend or remove it; the hub could not start with it"


def check_hub_files(folder: Path) -> None:
    """Raise what the hub could not read in its folder.

    Raises:
        TljhError: as for ``check_hub_file``.
    """
    for path in sorted(folder.glob("*.py")):
        check_hub_file(path)


def check_hub_file(path: Path, content: bytes | None = None) -> None:
    """Raise when the hub could not read a file; what it does when it runs is not known.

    Args:
        content: What will be in it; ``None``: what is.

    Raises:
        TljhError: it can't be read, or is not Python; its line is named.
    """
    try:
        with warnings.catch_warnings():  # the hub says those of its files itself
            warnings.simplefilter("ignore")
            compile(path.read_bytes() if content is None else content, path, "exec", dont_inherit=True)
    except OSError as error:
        raise TljhError(f"it can't be read: {error.strerror}", whose=str(path), todo=TODO) from error
    except SyntaxError as error:
        whose = f"{path} line {error.lineno}" if error.lineno else str(path)
        raise TljhError(f"this is not Python: {error.msg}", whose=whose, todo=TODO) from error
    except ValueError as error:  # a null byte in it, before Python 3.12
        raise TljhError(f"this is not Python: {error}", whose=str(path), todo=TODO) from error


def rehearse(paths: Paths, machine: Machine, environment: Path) -> None:
    """Raise what would keep the hub from starting, as far as loading its configuration shows that.

    Nothing is done where there are no files of the admin's or no hub runs. What may be otherwise in the hub than
    beside it (``tljh.hub.rehearsal.MAY_DIFFER``), and a rehearsal that does not come to its end, hold nobody up.

    Args:
        environment: Of the hub that is to be started.

    Raises:
        TljhError: it would not start.
    """
    pid = _hub_process(paths, machine)
    if not pid or not any(paths.hub_config_d.glob("*.py")):
        return
    command: list[str | Path] = [environment / "bin" / "python", "-I", "-m", "tljh.hub.rehearsal", pid]
    try:
        said = machine.run(command, cwd=paths.state, timeout=REHEARSAL_TIMEOUT).stdout
        found = json.loads(said)
    except (CommandFailed, ValueError) as error:  # an earlier version of ours has no rehearsal
        log.debug("the hub's configuration was not tried: %s", error)
        return
    if found:
        place = f"{found['file']} line {found['line']}" if found["file"] else ""
        raise TljhError(
            found["what"],
            whose=place or "the hub's configuration",
            todo=f"{TODO}, so the one that runs was not stopped. Where only a variable is missing that the unit "
            "has by now, 'systemctl restart jupyterhub' starts it with that",
        )


def _hub_process(paths: Paths, machine: Machine) -> str:
    """The number of the process that the launcher became; empty where it told none or that has ended."""
    lines = (machine.read(paths.started("jupyterhub")) or b"").decode(errors="replace").splitlines()
    pid = next((line.removeprefix("pid ") for line in lines if line.startswith("pid ")), "")
    return pid if pid and machine.at(Path("/proc") / pid).exists() else ""
