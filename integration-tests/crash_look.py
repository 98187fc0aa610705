"""Runs inside a machine: all that an install could have changed, without the numbers of environments, as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

ENVS = "/opt/tljh/envs"
# what changes with time, or says what was done; the state database, apt and systemd are asked, not read
SKIP = {
    *("/proc", "/sys", "/dev", "/run", "/tmp", "/srv/plugins", "/srv/the-littlest-jupyterhub", "/root/.cache"),
    *(f"/var/{name}" for name in ("log", "cache", "backups", "spool", "lib/apt", "lib/systemd", "lib/dpkg")),
    *(f"/var/lib/{name}" for name in ("sudo", "dbus", "private", "polkit-1", "man-db")),
    *(f"/etc/{name}" for name in ("ld.so.cache", ".pwd.lock", "machine-id", "mtab", "resolv.conf", "hosts")),
    *(f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")),
    *("/etc/python3.11/sitecustomize.py", "/usr/share/info/dir", "/etc/hostname"),
    *("/opt/tljh/installer.log", "/opt/tljh/cache", "/opt/tljh/config/config.yaml.lock"),
    *(f"/opt/tljh/installer.log.{number}" for number in range(1, 10)),
    *(f"/opt/tljh/state/{name}" for name in ("tljh.sqlite", "tljh.lock", "jupyterhub.sqlite", "backups")),
    *(f"/opt/tljh/state/{name}" for name in ("rules/rules.toml", "jupyterhub.log", "traefik.log")),
    *(f"/opt/tljh/state/{name}.sqlite-journal" for name in ("tljh", "jupyterhub")),
}
TABLES = {
    "owned": "select resource, key, origin from owned",
    "wishes": "select kind, value from wishes",
    "hooks": "select plugin, hook from hooks",
    "deeds": "select plugin, kind, name from deeds",
    "replaced": "select resource, before from replaced",
    "accounts": "select name, uid, gid, home from accounts",
    "numbers": "select kind, name, number from numbers",
    "runs that never ended": "select id, command from runs where outcome is null",
}
UNITS = ("jupyterhub", "traefik", "welcome.service", "welcome-again.timer")


def linked() -> set[str]:
    """The names of the environments that a link leads to."""
    links = [Path("/opt/tljh/hub"), Path("/opt/tljh/user"), *Path(ENVS).iterdir()]
    return {Path(os.path.realpath(link)).name for link in links if link.is_symlink()}


LINKED = linked()
KINDS = "|".join(sorted({re.escape(name.rpartition("-")[0]) for name in LINKED}))
NUMBER = re.compile(rf"\b({KINDS})-\d+\b".encode())


def without_numbers(text: bytes) -> bytes:
    return NUMBER.sub(rb"\1-N", text)


def in_record(line: bytes) -> bytes:
    """Without the sizes and sums of programs, which have the environment's path in them, and of times."""
    return line.split(b",")[0] if line[:3] == b"../" or b"/uv_cache.json," in line else line


def entry_of(path: str) -> tuple[list[Any], bool]:
    """Mode, owner, and what is in it; and whether it is a folder."""
    found = os.lstat(path)
    row: list[Any] = [stat.filemode(found.st_mode), f"{found.st_uid}:{found.st_gid}"]
    if stat.S_ISLNK(found.st_mode):
        row.append(without_numbers(os.readlink(path).encode()).decode())
    elif stat.S_ISREG(found.st_mode) and path.startswith("/usr"):
        row.append(found.st_size)
    elif stat.S_ISREG(found.st_mode) and not path.endswith(".pyc"):  # which has the environment's path in it
        text = Path(path).read_bytes()
        if path.endswith("/RECORD"):
            text = b"\n".join(map(in_record, text.splitlines()))
        if path.endswith(("/uv_cache.json", "/tljh/paths.py")) or "/the_littlest_jupyterhub-" in path:
            text = b""  # when a wheel was written, and what stands for a new version of the project
        row.append(hashlib.sha256(without_numbers(text)).hexdigest()[:16])
    return row, stat.S_ISDIR(found.st_mode)


def look(path: str, shown: str, kept: set[str], files: dict[str, list[Any]], left: list[str]) -> None:
    """Note a path and all below it; ``left`` gets environments that nothing speaks of."""
    with suppress(FileNotFoundError):  # a living system: it went while we looked
        files[shown], is_folder = entry_of(path)
        if not is_folder:
            return
        for name in os.listdir(path):  # noqa: PTH208
            below = f"{path.rstrip('/')}/{name}"
            if below in SKIP or below.startswith("/var/tmp/systemd-private-"):
                continue
            if path == ENVS and not Path(below).is_symlink():
                if name not in LINKED:
                    left += [below] if name not in kept else []
                    continue
                name = without_numbers(name.encode()).decode()
            look(below, f"{shown.rstrip('/')}/{name}", kept, files, left)


def said_by(*words: str) -> list[str]:
    return sorted(subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines())


def main() -> None:
    database = sqlite3.connect("file:/opt/tljh/state/tljh.sqlite?mode=ro", uri=True)
    records = [
        json.loads(row[0])
        for row in database.execute("select record from generations order by id desc limit 3").fetchall()
    ]
    kept = {name for record in records for name in record["environments"].values()}
    files: dict[str, list[Any]] = {}
    left: list[str] = []
    look("/", "/", kept, files, left)
    left += [str(path) for path in Path("/tmp").glob("tljh*")]
    left += [str(path) for path in Path("/var/lib/dpkg/updates").glob("[0-9]*")]
    said: dict[str, Any] = {"files": files, "left over": sorted(left)}
    for name, query in TABLES.items():
        said[name] = sorted([str(value) for value in row] for row in database.execute(query))
    said["newest generation"] = [str(records[0]["plugins"]), *sorted(records[0]["environments"])]
    said["config"] = Path("/opt/tljh/config/config.yaml").read_text().splitlines()
    said["packages"] = said_by("dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev} ${Version}\n")
    said["automatic"] = said_by("apt-mark", "showauto")
    show = ("systemctl", "show", "-p", "ActiveState,SubState,UnitFileState")
    said["services"] = [f"{unit}: {' '.join(said_by(*show, unit))}" for unit in UNITS]
    print(json.dumps(said))


main()
