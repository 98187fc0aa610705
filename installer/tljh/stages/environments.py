"""More environments beside the user environment, each with a kernel for all users.

config.yaml names them (``environments``), and plugins do (``tljh_environments``). Each is built as the user
environment is, from the same provider, and is known to every Jupyter by a kernel specification.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import CORE, Diff, Resource, State, Undo
from tljh.errors import TljhError
from tljh.plugins import contributions
from tljh.resources.environments import inventory
from tljh.resources.environments.environment import PATH, Environment
from tljh.resources.file import Directory, File
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages import wishes
from tljh.stages.context import Context
from tljh.stages.locks.locking import settle
from tljh.stages.locks.provider import know
from tljh.stages.user_environment import VERIFY_KERNEL, let_people_install

KERNELS = Path("/usr/local/share/jupyter/kernels")
"""Where every Jupyter finds kernels, whatever environment it is in (``SYSTEM_JUPYTER_PATH`` of jupyter_core)."""
CONFIG = "config.yaml"


@dataclass(frozen=True)
class Wish:
    """An environment that somebody asks for.

    Attributes:
        values: As ``tljh.settings.schema.named_environment`` gives them.
        origin: ``config.yaml`` or a plugin's name.
    """

    name: str
    values: Mapping[str, Any]
    origin: str

    @property
    def whose(self) -> str:
        """Who asks for what is in it, as errors and ``tljh env packages`` say it."""
        return f"environments.{self.name} in {CONFIG}" if self.origin == CONFIG else self.origin


@dataclass(frozen=True)
class NamedEnvironment:
    """An environment as it is to be.

    Attributes:
        title: What users read where they choose a kernel.
        origin: ``config.yaml`` or a plugin's name.
        link: Such as ``/opt/tljh/envs/teaching``.
        target: Where it is or will be: ``/opt/tljh/envs/teaching-2``.
    """

    name: str
    title: str
    origin: str
    link: Path
    lock: Lock
    target: Path


class Environments(Stage[Context]):
    """What config.yaml and plugins want beside the user environment."""

    name = "environments"
    priority = 55

    def resources(self, context: Context) -> Iterable[Resource]:
        owned = context.store.owned()
        for folder in (KERNELS.parent, KERNELS):
            # what was there before us is the admin's, with whatever mode he gave it
            ours = f"directory:{folder}" in owned
            if ours or (context.environments and context.machine.status(folder) is None):
                yield Directory(f"directory:{folder}", wanted=bool(context.environments))
        for environment in context.environments:
            yield from _present(context, environment)
        wanted = {environment.name for environment in context.environments}
        for name, link in named_links(context).items():
            if name not in wanted:
                yield from _gone(name, link, owned)


def look(context: Context) -> None:
    """Find out what each environment is to hold. Fills ``environments``; the user environment is known by then.

    Raises:
        TljhError: plugins disagree, a file can't be read, or there is no solution; the environment is named.
    """
    provider = context.required("user_lock").provider
    context.environments = [_settled(context, wish, provider) for wish in asked_for(context)]


def asked_for(context: Context) -> list[Wish]:
    """The environments that config.yaml and the plugins ask for, by name; config.yaml wins.

    Raises:
        TljhError: two plugins ask for different ones of the same name.
    """
    from tljh.settings.schema import named_environment

    listed = context.config["environments"]
    mine = [Wish(name, named_environment(name, values), CONFIG) for name, values in listed.items()]
    asked = contributions.environments(context.reports, settled=listed)
    return sorted([*mine, *(Wish(row.name, row.values, row.plugin) for row in asked)], key=lambda wish: wish.name)


def named_links(context: Context) -> dict[str, Path]:
    """Name → link of each environment that is there beside the hub's and the user environment."""
    links = inventory.links(context.paths, context.facts)
    return {name: link for name, link in links.items() if name not in inventory.CORE}


# ---- what it comes to


def _settled(context: Context, wish: Wish, provider: str) -> NamedEnvironment:
    link = context.paths.envs / wish.name
    try:
        if provider == "pypi":
            key = f"environments.{wish.name}.python"
            wishes.refuse_another_python(context, wish.values, key, wish.whose)
        if wish.values["file"]:
            wishes.read(context, str(wish.values["file"]), wish.whose)  # so that an error names who asks
        channels = _channels(context, wish) if provider == "conda" else []
        asked = wishes.of_environment(context, wish.values, wish.whose, provider, channels)
        lock, target = settle(context, link, asked, provider)
    except TljhError as error:
        if error.whose:
            raise
        raise TljhError(error.what, whose=f"environment {wish.name}", todo=error.todo) from error
    return NamedEnvironment(wish.name, str(wish.values["title"]), wish.origin, link, lock, target)


def _channels(context: Context, wish: Wish) -> Sequence[Requested]:
    """Its own channels, else those of the user environment; ``context.conda`` is told their addresses."""
    file = wishes.environment_file(context, wish.values)
    if wish.values["channels"] or (file and file.channels):
        rows = wishes.channels(context, wish.values, with_plugins=False)
        rows = [replace(row, origin=wish.whose) if row.origin == CONFIG else row for row in rows]
    else:
        rows = wishes.channels(context, context.config["user_environment"])
    know(context, rows)
    return rows


# ---- what is on the machine


def _present(context: Context, environment: NamedEnvironment) -> Iterable[Resource]:
    """The environment, and the kernel that leads to it."""
    origin, lock = environment.origin, environment.lock
    yield Environment(
        f"environment:{environment.name}",
        link=environment.link,
        lock=lock,
        target=environment.target,
        builder=context.builder_of(lock),
        finish=let_people_install,
        verify=(VERIFY_KERNEL,),
        # byte code can be taken from there; a copy would be mostly what this one does not hold
        like=context.paths.user if lock.provider == "conda" else None,
        origins={**lock.origins, PATH: origin},
    )
    folder = kernel_folder(environment.name)
    yield Directory(f"directory:{folder}", origins=dict.fromkeys(("mode", "owner"), origin))
    yield File.at(folder / "kernel.json", kernel_specification(environment), origin=origin)


def _gone(name: str, link: Path, owned: Mapping[str, Mapping[str, str]]) -> Iterable[Resource]:
    """What is left of an environment that nobody asks for any more. It is dropped in reverse order."""
    folder = kernel_folder(name)
    asked = owned.get(f"file:{folder / 'kernel.json'}", {})
    yield FormerEnvironment(f"environment:{name}", link=link, origins={PATH: asked.get("content", CORE)})
    yield Directory(f"directory:{folder}", wanted=False)
    yield File(f"file:{folder / 'kernel.json'}")


@dataclass
class FormerEnvironment(Resource):
    """The link of an environment that nobody asks for any more.

    The environment itself stays as long as something runs from it or a kept generation names it, as every one
    that is no longer linked to. The link says itself that it is ours: it leads to a numbered environment of its
    own name.
    """

    link: Path

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        status = facts.machine.status(self.link)
        return {PATH: str(facts.real_path(self.link))} if status and status.kind == "link" else {}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return {PATH}

    def effect(self, diff: Diff) -> str:
        return f"kernels that run go on; {Path(diff.before[PATH]).name} is removed later, when nothing needs it"

    def change(self, diff: Diff, machine: Machine) -> None:
        machine.remove(self.link)


# ---- the kernel


def kernel_folder(name: str) -> Path:
    """The folder of an environment's kernel specification."""
    return KERNELS / f"tljh-{name}"


def kernel_specification(environment: NamedEnvironment) -> str:
    """The text of ``kernel.json``, as jupyter_client reads it ("Making kernels for Jupyter").

    It names the real path: a kernel that was started through the link would later import from another
    environment. ``${…}`` stands for what the server has, whose own programs come after the environment's.
    """
    path = environment.target
    # what people install with pip --user for one environment must not get into another
    own = f"${{HOME}}/.local/envs/{environment.name}"
    env = {"PATH": f"{path}/bin:{own}/bin:${{PATH}}", "PYTHONUSERBASE": own}
    if environment.lock.provider == "conda":
        env["CONDA_PREFIX"] = str(path)
    said = {
        "argv": [f"{path}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": environment.title,
        "language": "python",
        "metadata": {"debugger": True},
        "env": env,
    }
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"
