"""The user environment: what people's servers and notebooks run in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.machine import Machine
from tljh.engine.resource import Resource
from tljh.paths import Paths
from tljh.resources.environments.environment import Environment
from tljh.resources.environments.python_environment import NEEDLESS
from tljh.resources.file import Directory, File, Link
from tljh.stages import wishes
from tljh.stages.context import Context
from tljh.stages.locks.locking import choose_provider, settle
from tljh.stages.taking_over import adoption

RUN_A_CELL = """
import os, tempfile
folder = tempfile.mkdtemp()
os.environ.update(IPYTHONDIR=folder, JUPYTER_RUNTIME_DIR=folder, HOME=folder)
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3", startup_timeout=100)
said = []
client.execute_interactive("print(6 * 7)", timeout=100, output_hook=said.append)
client.stop_channels()
manager.shutdown_kernel(now=True)
texts = [message["content"].get("text", "") for message in said]
assert "42\\n" in texts, f"the kernel answered {texts} instead of 42"
"""
VERIFY_KERNEL = ("bin/python", "-c", RUN_A_CELL)

SERVER = "jupyterhub-singleuser"
# the shell names the interpreter with its whole path: in the list of processes it says which environment is in use
_SERVER_PROGRAM = """#!/bin/sh
# Starts JupyterHub's single-user server of the environment that comes next in PATH.
exec "$(command -v python3)" {script} "$@"
"""
_SERVER_SCRIPT = f'''"""Starts JupyterHub's single-user server without a parser that nothing in it uses.

jsonschema imports rfc3987_syntax if it is there, to check a format ("iri"); to build its parser takes over a
second of CPU time at each start. Notebooks can import it as ever.
"""

import sys

sys.modules["{NEEDLESS[0].replace("-", "_")}"] = None

from jupyterhub.singleuser import main

sys.exit(main())
'''

# Debian's venv module would hide people's own packages in ~/.local from a virtual environment. pip refuses
# --user only where this key says "false", and Python's site module takes anything but "true" for no; so with
# "no" the system's packages stay out, pip install --user works, and the module below adds ~/.local.
_SYSTEM_SITE = ("include-system-site-packages = false", "include-system-site-packages = no")
_USER_SITE = '''"""Lets people's own packages (pip install --user) win over the user environment's."""

import os
import site
import sys


def enable():
    if sys.flags.no_user_site or sys.flags.isolated or os.geteuid() == 0 or os.getuid() != os.geteuid():
        return
    site.ENABLE_USER_SITE = True
    folder = site.getusersitepackages()
    if folder in sys.path or not os.path.isdir(folder):
        return
    before = list(sys.path)
    site.addsitedir(folder)
    added = [path for path in sys.path if path not in before]
    here = os.path.dirname(os.path.abspath(__file__))
    place = before.index(here) if here in before else len(before)
    sys.path[:] = before[:place] + added + before[place:]


def customize(then=site.execsitecustomize):
    enable()
    then()


# not at once: site.venv() reads this file, and switches people's own packages off after that
site.execsitecustomize = customize
'''


class UserEnvironment(Stage[Context]):
    """JupyterLab and what the admin and the plugins ask for, readable by all."""

    name = "user environment"
    priority = 50

    def resources(self, context: Context) -> Iterable[Resource]:
        programs = context.paths.user_programs
        yield Directory.at(programs)
        for name in ("pip", "pip3"):
            # a server that was started before a switch must not install into what nobody uses any more
            yield Link.at(programs / name, str(context.paths.user / "bin" / name))
        script = _server_script(context.paths)
        yield File.at(script, _SERVER_SCRIPT)
        yield File.at(programs / SERVER, _SERVER_PROGRAM.format(script=script), mode="0755")
        yield from adoption.resources(context)
        lock = context.required("user_lock")
        yield Environment(
            "environment:user",
            link=context.paths.user,
            lock=lock,
            target=context.required("user_target"),
            builder=context.builder_of(lock),
            finish=let_people_install,
            verify=verify(context.paths),
            origins=lock.origins,
        )


def _server_script(paths: Paths) -> Path:
    return paths.bin / "singleuser.py"


def verify(paths: Paths) -> Sequence[tuple[str, ...]]:
    """What must end well in a new environment: a server that starts, and a kernel that runs a cell."""
    return (("bin/python", str(_server_script(paths)), "--version"), VERIFY_KERNEL)


def look(context: Context) -> None:
    """Find out what the user environment is to hold. Fills ``user_lock``, ``user_target`` and ``requirements``.

    Raises:
        TljhError: a plugin wants conda packages that can't be had, or there is no solution.
    """
    channels = wishes.channels(context, context.config["user_environment"])
    provider = choose_provider(context, channels)
    asked = wishes.of_user_environment(context, provider, channels)
    # 57 packages are in both: what is compiled once need not be compiled again
    context.builder.reuse = (context.paths.envs / context.required("hub_target").name,)
    adoption.look(context, asked)
    context.user_lock, context.user_target = settle(context, context.paths.user, asked, provider)


def begin(context: Context) -> None:
    """Begin to fill a first environment from PyPI while apt is at work; a later one begins as a copy."""
    lock, target = context.required("user_lock"), context.required("user_target")
    nothing_there = context.machine.status(context.paths.user) is None and context.machine.status(target) is None
    if nothing_there and context.builder_of(lock) is context.builder:
        context.builder.begin(lock, target)


def let_people_install(machine: Machine, path: Path) -> None:
    """Make ``pip install --user`` work in a virtual environment; see ``_SYSTEM_SITE``. conda's need nothing."""
    settings = path / "pyvenv.cfg"
    if machine.status(settings) is None:
        return
    text = (machine.read(settings) or b"").decode()
    machine.write_file(settings, text.replace(*_SYSTEM_SITE).encode())
    site = next(machine.at(path).glob("lib/python3*/site-packages"))
    machine.write_file(site / "_tljh_user_site.py", _USER_SITE.encode())
    machine.write_file(site / "_tljh_user_site.pth", b"import _tljh_user_site\n")
