"""The admin's files in ``jupyterhub_config.d``: Python that the hub runs as it starts.

One that is no Python keeps the hub from starting, so it is found before a hub that runs is stopped.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from tljh.errors import TljhError


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
    todo = "mend or remove it; the hub could not start with it"
    try:
        with warnings.catch_warnings():  # the hub says those of its files itself
            warnings.simplefilter("ignore")
            compile(path.read_bytes() if content is None else content, path, "exec", dont_inherit=True)
    except OSError as error:
        raise TljhError(f"it can't be read: {error.strerror}", whose=str(path), todo=todo) from error
    except SyntaxError as error:
        whose = f"{path} line {error.lineno}" if error.lineno else str(path)
        raise TljhError(f"this is not Python: {error.msg}", whose=whose, todo=todo) from error
    except ValueError as error:  # a null byte in it, before Python 3.12
        raise TljhError(f"this is not Python: {error}", whose=str(path), todo=todo) from error
