"""The names of TLJH's ``tljh.apt`` that plugins import, for use in ``tljh_post_install``.

Packages that are known beforehand are better asked for with ``tljh_extra_apt_packages``: then they are in the
plan. The install itself doesn't use this module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.plugins import recording

_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}
# the timers of a fresh machine may hold dpkg's lock for minutes
_WAIT = ("-o", "DPkg::Lock::Timeout=300")


def install_packages(packages: Sequence[str], *, machine: Machine | None = None) -> None:
    """Install packages of the system; the package lists are fetched where there are none.

    Args:
        packages: Names as ``apt-get install`` takes them.
        machine: Where; this machine when not given.

    Raises:
        CommandFailed: apt-get failed; its own words are in the message.
    """
    here = machine or Machine()
    if not packages:
        return
    lists = here.at(Path("/var/lib/apt/lists"))
    if not lists.is_dir() or not any(lists.glob("*_Packages*")):
        here.run(["apt-get", *_WAIT, "update", "--yes"], env=_ENVIRONMENT)
    there = Facts(here).deb_packages if recording.is_on() else None
    here.run(["apt-get", *_WAIT, "install", "--yes", *packages], env=_ENVIRONMENT, timeout=1800.0)
    for package in packages if there else ():
        if not package.startswith("-"):
            was = there is not None and there.version(re.split("[=/]", package)[0]) is not None
            recording.note("apt", name=package, was=was)
