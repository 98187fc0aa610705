"""The user environment: what people's servers and notebooks run in."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable
from importlib import resources as package_files
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.facts import EnvironmentFact
from tljh.engine.machine import Machine
from tljh.engine.resource import Resource
from tljh.errors import TljhError
from tljh.fetch import fetch_text
from tljh.plugins.contributions import conda_request_error, merged
from tljh.resources.environment import Environment, by_hand, choose_target, is_intact
from tljh.resources.file import Directory, Link
from tljh.resources.lock import BY_HAND, Lock, Requested
from tljh.stages.context import Context

REQUIREMENTS = "--user-requirements-txt-url"
VERIFY = ("bin/jupyterhub-singleuser", "--version")

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
        lock = context.required("user_lock")
        yield Environment(
            "environment:user",
            link=context.paths.user,
            lock=lock,
            target=context.required("user_target"),
            builder=context.builder,
            finish=let_people_install,
            verify=VERIFY,
            origins=lock.origins,
        )


def look(context: Context) -> None:
    """Find out what the user environment is to hold. Fills ``user_lock``, ``user_target`` and ``requirements``.

    A resolve is only made when something else is asked for than what the environment was built from. What an
    admin installed by hand stays where it is, and is carried into a new environment.

    Raises:
        TljhError: a plugin wants conda packages, or there is no solution.
    """
    error = conda_request_error(context.reports, _provider(context))
    if error:
        raise error
    asked = _requested(context)
    fact = context.facts.environment(context.paths.user)
    lock = Lock.of_record(fact.record) if fact else None
    hands = by_hand(fact) if fact and lock else {}
    if fact and lock and lock.asks_for_the_same(asked) and not _needs_hands(fact, lock, hands):
        lock = _as_the_admin_left_it(lock, hands, fact.packages)
    else:
        kept = [Requested(f"{name}{_spaced(pin)}", BY_HAND) for name, pin in hands.items()]
        lock = context.builder.resolve([*asked, *kept], {**lock.pins, **hands} if lock else {})
    context.user_lock = lock
    context.user_target = choose_target(context.facts, context.paths.user, context.paths.envs, lock.pins)


def _needs_hands(fact: EnvironmentFact, lock: Lock, hands: dict[str, str]) -> bool:
    """Whether it must be built anew, because something of ours is damaged, with what the admin put into it."""
    ours = {name: pin for name, pin in lock.pins.items() if name not in hands}
    return bool(hands) and not is_intact(fact, ours)


def _spaced(pin: str) -> str:
    return f" {pin}" if pin.startswith("@") else pin


def _as_the_admin_left_it(lock: Lock, hands: dict[str, str], there: Iterable[str]) -> Lock:
    """The lock with the admin's versions in place of ours, without what he installed once and removed again."""
    gone = {row.name for row in lock.requested if row.origin == BY_HAND} - set(there)
    lines = [f"{name}{_spaced(hands.get(name, pin))}" for name, pin in lock.pins.items() if name not in gone]
    options = [line for line in lock.lines if line.startswith("-")]
    return Lock(lock.requested, (*options, *lines), lock.sources)


def _provider(context: Context) -> str:
    """``auto`` means PyPI until there is a conda provider."""
    wanted = context.config["user_environment"].get("provider", "auto")
    if wanted == "conda":
        raise TljhError(
            "user_environment.provider is conda, which this version cannot build yet",
            whose="config.yaml",
            todo="tljh-config set user_environment.provider pypi",
        )
    return "pypi"


def _requested(context: Context) -> list[Requested]:
    core = (package_files.files("tljh") / "requirements" / "user.txt").read_text()
    rows = [Requested(line, "core") for line in _lines(core)]
    hub = context.required("hub_lock").pins["jupyterhub"]
    rows.append(Requested(f"jupyterhub{hub}", "core"))
    wanted = context.options.requirements
    places = [wanted] if wanted else []
    context.requirements = list(dict.fromkeys([*context.store.wishes("requirements"), *places]))
    for place in context.requirements:
        rows += [Requested(line, REQUIREMENTS) for line in _lines(_read(context, place))]
    pip = merged(context.reports, "tljh_extra_user_pip_packages")
    return rows + [Requested(row.value, row.plugin) for row in pip]


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")  # a line that ends with a backslash goes on in the next
    stripped = (re.sub(r"\s+", " ", line.split(" #")[0].strip()) for line in joined.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _read(context: Context, place: str) -> str:
    """A requirements file: from the web, or a path of this machine."""
    if urllib.parse.urlsplit(place).scheme in ("http", "https"):
        return _fetched(context, place)
    path = Path(place.removeprefix("file://"))
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        known = _recorded(context, place)
        if known is not None:
            context.reporter.warn(f"{path} cannot be read any more; what it said when it was given still holds")
            return known
        reason = getattr(error, "strerror", None) or "it is not text"
        raise TljhError(
            f"the requirements file {path} cannot be read: {reason}",
            whose=REQUIREMENTS,
            todo="name an https URL or a readable file",
        ) from error
    context.fetched[place] = text
    return text


def _fetched(context: Context, url: str) -> str:
    """The file behind a URL; on later runs as it was recorded, so that a re-run needs no network."""
    known = _recorded(context, url)
    if known is not None:
        return known
    text = fetch_text(url, whose=REQUIREMENTS)
    context.fetched[url] = text
    return text


def _recorded(context: Context, place: str) -> str | None:
    """What a requirements file said when an earlier run read it, unless this run names it again."""
    known = context.store.wishes(f"content of {place}")
    return known[-1] if known and place != context.options.requirements else None


def let_people_install(machine: Machine, path: Path) -> None:
    """Make ``pip install --user`` work in a virtual environment; see ``_SYSTEM_SITE``."""
    settings = path / "pyvenv.cfg"
    text = (machine.read(settings) or b"").decode()
    machine.write_file(settings, text.replace(*_SYSTEM_SITE).encode())
    site = next(machine.at(path).glob("lib/python3*/site-packages"))
    machine.write_file(site / "_tljh_user_site.py", _USER_SITE.encode())
    machine.write_file(site / "_tljh_user_site.pth", b"import _tljh_user_site\n")
