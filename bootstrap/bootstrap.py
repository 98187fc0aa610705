#!/usr/bin/env python3
"""Turns a bare Debian or Ubuntu server into a JupyterHub, or brings one up to date.

    curl -L ADDRESS/bootstrap.py | sudo python3 - --admin NAME        or, from a checkout:
    sudo python3 bootstrap/bootstrap.py --admin NAME

This one file, with nothing but Python's standard library, checks the host, gets the package manager uv, makes
the environment that the installer runs in, and hands over to it. What a JupyterHub consists of, and every
change to the machine outside the install prefix, is the installer's: nothing of that lives here.

It must parse on Python 3.6, so that an old one can be told apart from a broken file.
"""

import argparse
import collections
import configparser
import contextlib
import errno
import fcntl
import hashlib
import io
import itertools
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

NEEDED_PYTHON = (3, 10)


def too_old(version):
    """What to tell the owner of a Python of this version; empty when it is new enough."""
    if tuple(version[:2]) >= NEEDED_PYTHON:
        return ""
    return (
        f"bootstrap: this is Python {version[0]}.{version[1]}, and at least 3.10 is needed\n"
        "  → Debian 12, Ubuntu 22.04 and later bring a newer one: run this file with /usr/bin/python3 there"
    )


if too_old(sys.version_info):
    sys.exit(too_old(sys.version_info))  # before anything that an old Python could not run

PROJECT = "the-littlest-jupyterhub"
# Where released wheels of this project are listed: the URL of one page with links (as in PEP 503), or of a folder
# (file://…). Empty as long as nothing has been released: then a checkout or TLJH_BOOTSTRAP_PIP_SPEC is needed.
RELEASES = ""

UV_VERSION = "0.13.8"
UV_MINIMUM = "0.11.0"  # of one that is already on PATH
UV_WHEELS = {  # architecture -> file name on an index, sha256
    "x86_64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    "aarch64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
}
PUBLIC_INDEX = "https://pypi.org/simple"  # pip's and uv's own default
NO_INDEX = "file:///var/empty"  # stands for pip's no-index, which uv has no variable for

OLDEST = {"debian": (12,), "ubuntu": (22, 4)}
MAKE_ROOM = "make room and run the same command again"
MEMORY = 900 * 10**6  # bytes: what a machine sold with 1 GB has left beside its kernel
DISK, DISK_AGAIN = 3 * 10**9, 500 * 10**6  # bytes: for a first install, for a re-run
HTTP_PORT = 80
PAUSES = (1.0, 3.0)  # seconds between the three tries of a download
UV_TIMEOUT = 1800.0  # seconds for one run of uv; for slow lines, it has timeouts of its own
LOCK_PATIENCE = 600.0  # seconds to wait for a process that a dead installer left behind
MANIFEST = "tljh-environment.json"
# how names begin of what is not complete yet; the number of the process that makes it follows (files.py)
FRESH = ".tljh-new-"
# Overrides: others than we named tljh, and a package that takes a second of every start and does nothing for it
# (the installer's python_environment.py says more).
LEFT_OUT = ('tljh ; python_version < "0"', 'rfc3987-syntax ; python_version < "0"')
BUNDLE_FORMAT = 1  # of the bundles that `tljh bundle create` makes
BLOCK = 1 << 20  # bytes that are read at once

# ------------------------------------------------------------------------------------------ telling people


class Stop(Exception):
    """The run ends here: what happened, and what to do next."""

    def __init__(self, what: str, todo: str = "", code: int = 1) -> None:
        super().__init__(what)
        self.what, self.todo, self.code = what, todo, code

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.todo}" if self.todo else self.what


class Interrupted(BaseException):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_CREDENTIALS = re.compile(r"(://)[^/\s@]+@")


def redact(text: str, secrets: tuple[str, ...] | list[str] = ()) -> str:
    """``text`` without the credentials in its URLs and without these words."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _CREDENTIALS.sub(r"\1***@", text)


class Console:
    """One line per step for people, all of it for the log, the stages for the progress page."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 gets "?" rather than a crash
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.terminal and not os.environ.get("NO_COLOR")
        self.secrets: list[str] = []
        self.progress: Path | None = None
        self.doing = ""
        self._log: io.TextIOBase | None = None
        self._waiting: list[str] = []  # what was said before there was a log

    def open_log(self, path: Path) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(handle, 0o600)
        self._log = os.fdopen(handle, "a", encoding="utf-8", errors="replace", buffering=1)
        waiting, self._waiting = self._waiting, []
        self._log.writelines(waiting)

    def log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        lines = [f"{stamp} bootstrap {line}\n" for line in redact(text, self.secrets).splitlines()]
        if self._log:
            self._log.writelines(lines)
        else:
            self._waiting += lines

    def say(self, text: str, mark: str = " ", tint: str = "") -> None:
        self.log(text)
        text = redact(text, self.secrets)
        head = "\r\033[K" if self.terminal else ""
        print(
            f"{head}\033[{tint}m{mark}\033[0m {text}" if self.colour and tint else f"{head}{mark} {text}",
            flush=True,
        )

    def complain(self, text: str) -> None:
        self.log(text)
        print(f"bootstrap: {redact(text, self.secrets)}", file=sys.stderr, flush=True)

    def transient(self, text: str) -> None:
        """Show something on the current line of a terminal; the next output replaces it."""
        if self.terminal:
            print(f"\r\033[K{redact(text, self.secrets)}", end="", flush=True)

    @contextlib.contextmanager
    def step(self, title: str):
        """Announce a step, and say how long it took or that it failed."""
        self.doing, start = title, time.monotonic()
        self.log(f"{title} …")
        self._stage(title, "started")
        self.transient(f"… {title}")
        try:
            yield
        except BaseException:
            self._stage(title, "failed")
            self.say(title, "✗", "31")
            raise
        self._stage(title, "done")
        self.say(f"{title:<20} {time.monotonic() - start:6.1f} s", "✓", "32")  # as the installer's lines
        self.doing = ""

    def _stage(self, name: str, state: str) -> None:
        if self.progress:
            with self.progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"stage": name, "state": state, "time": time.time()}) + "\n")


# ------------------------------------------------------------------------------- the host, before any change


class Problem(NamedTuple):
    """A check that failed."""

    found: str
    needed: str
    todo: str

    def __str__(self) -> str:
        return f"  found:  {self.found}\n  needed: {self.needed}\n  → {self.todo}"


class Process(NamedTuple):
    """Somebody else's process, as /proc describes it."""

    pid: int
    name: str
    executable: str
    command: str


def check_root(uid: int) -> Problem | None:
    """Whether we may change the system."""
    if uid == 0:
        return None
    todo = "put sudo before python3, or log in as root where there is no sudo"
    return Problem(f"user id {uid}", "root, to make accounts and services", todo)


def check_system(os_release: str, unsupported: bool = False) -> Problem | None:
    """Whether /etc/os-release (its text) names a system that this is tested on."""
    words = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    words = {key.strip(): value.strip().strip("\"'") for key, value in words.items()}
    system, version = words.get("ID", "an unknown system"), words.get("VERSION_ID", "")
    if unsupported or (system in OLDEST and version_key(version) >= OLDEST[system]):
        return None
    derived = system not in OLDEST and set(words.get("ID_LIKE", "").split()) & set(OLDEST)
    remark = ", a derivative of a supported system, which is not the same" if derived else ""
    return Problem(
        f"{words.get('PRETTY_NAME') or (system + ' ' + version).strip()}{remark}",
        "Debian 12 or later, or Ubuntu 22.04 or later (derivatives are not supported)",
        "use one of these, or set TLJH_BOOTSTRAP_UNSUPPORTED_OS=yes to go on at your own risk",
    )


def check_architecture(machine: str) -> Problem | None:
    """Whether there are programs for this processor."""
    if machine in UV_WHEELS:
        return None
    return Problem(f"a {machine} processor", "x86_64 or aarch64", "use a machine or an image of one of these")


def memory_of(meminfo: str, limits: list[str]) -> int:
    """Bytes of memory: /proc/meminfo's total, or the smallest of the cgroup limits (their texts) below it."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    known = [int(total[1]) * 1024] if total else []
    return min(known + [int(text) for text in limits if text.strip().isdigit()], default=0)


def cgroup_files(own: str) -> list[Path]:
    """The files that may limit our memory, from the text of /proc/self/cgroup (both versions of cgroups)."""
    files = []
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = ("", "memory.max") if not controllers else ("memory", "memory.limit_in_bytes")
        where = Path("/sys/fs/cgroup", top, path.lstrip("/"))
        files += [folder / name for folder in (where, *where.parents) if folder.is_relative_to("/sys/fs/cgroup")]
    return files


def check_memory(total: int) -> Problem | None:
    """Whether this many bytes are enough for a hub and a first user."""
    if total >= MEMORY:
        return None
    return Problem(
        f"{total / 10**6:.0f} MB of memory",
        "1 GB (each user then needs about 150 MB more)",
        "use a machine with more memory, or raise the container's limit",
    )


def check_disk(free: int, where: Path, again: bool) -> Problem | None:
    """Whether this many bytes are enough for the environments."""
    needed = DISK_AGAIN if again else DISK
    if free >= needed:
        return None
    todo = "make room there, or set TLJH_INSTALL_PREFIX to a folder on a larger disk"
    return Problem(f"{free / 10**9:.1f} GB free at {where}", f"{needed / 10**9:.1f} GB", todo)


def listening_inodes(table: str, port: int) -> set[str]:
    """The sockets that listen on a port, from the text of /proc/net/tcp or tcp6 (see proc(5))."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {row[9] for row in rows if len(row) > 9 and row[3] == "0A" and row[1].endswith(f":{port:04X}")}


OURS = {
    "bin": {"uv", "tljh", "tljh-config", "launch-jupyterhub", "launch-traefik", "user", "singleuser.py"},
    "cache": {"uv", "conda"},
    "tools": {"conda-lock"},
}
"""What an install puts into folders of its own, which go as a whole when it is uninstalled."""


def check_prefix(prefix: Path) -> Problem | None:
    """Whether a hub can have this folder: scripts name it, and an uninstall takes parts of it away as a whole."""
    todo = "set TLJH_INSTALL_PREFIX to a new folder"
    if not re.fullmatch(r"/[\w.@+/-]*", str(prefix)):
        needed = "a path of letters, digits and . _ - + @, which units and scripts can name"
        return Problem(f"the install prefix {str(prefix)!r}", needed, todo)
    if prefix.resolve() in (Path("/"), Path("/usr")):  # the links to the commands would take their own place
        return Problem(f"the install prefix {prefix}", "a folder of the hub's own", todo)
    if os.path.exists(prefix / "state" / "tljh.lock"):  # noqa: PTH110
        return None
    for name, ours in OURS.items():
        folder = prefix / name
        there = sorted(path.name for path in folder.iterdir()) if os.access(folder, os.R_OK) else []
        others = [entry for entry in there if entry not in ours and not entry.startswith(FRESH)]
        if others:
            return Problem(
                f"{folder} with {others[0]} in it, which is not of a hub",
                "a prefix of the hub's own: an uninstall takes away the folders bin, cache and tools in it",
                todo,
            )
    return None


def check_port(port: int, taken: bool, owners: list[Process], prefix: Path) -> Problem | None:
    """Whether the hub's port is free, or held by the proxy of an earlier install of ours."""
    if not taken or any(Path(owner.executable).is_relative_to(prefix) for owner in owners):
        return None
    names = ", ".join(f"{owner.name} (pid {owner.pid})" for owner in owners)
    return Problem(
        f"port {port} is in use by {names or 'a process that cannot be seen from here'}",
        f"port {port} for the hub",
        "stop and disable that service, or move it to another port",
    )


def processes_with(targets: set[str], proc: Path = Path("/proc")) -> list[Process]:
    """The other processes that have one of these open: ``socket:[inode]`` or the path of a file."""
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it may end while we look
            if any(_link(fd) in targets for fd in (folder / "fd").iterdir()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                name = (folder / "comm").read_text().strip()
                found.append(Process(int(folder.name), name, _link(folder / "exe"), command))
    return found


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # gone meanwhile
        return ""


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # this kernel or system doesn't have it: the check that reads it finds nothing
        return ""


def check_host(prefix: Path, env: dict[str, str]) -> None:
    """Look at everything that an install needs, and tell all that is missing at once.

    Raises:
        Stop: with every problem, or because another installer is at work; nothing has been changed.
    """
    lock = prefix / "state" / "tljh.lock"
    # before its progress page is taken for somebody in the way; Path.exists() raises below a closed folder
    if os.path.exists(lock):  # noqa: PTH110
        holder_problem(_text(lock), processes_with({str(lock.resolve())}))
    here = next(folder for folder in (prefix, *prefix.parents) if folder.exists())
    disk = os.statvfs(here)
    limits = [_text(file) for file in cgroup_files(_text("/proc/self/cgroup"))]
    problems = [
        check_root(os.geteuid()),
        check_system(_text("/etc/os-release"), env.get("TLJH_BOOTSTRAP_UNSUPPORTED_OS") == "yes"),
        check_architecture(platform.machine()),
        check_memory(memory_of(_text("/proc/meminfo"), limits)),
        check_prefix(prefix),
        check_disk(disk.f_bavail * disk.f_frsize, here, (prefix / "hub").exists()),
    ]
    # else the installer checks the port that it names; only root can see whose a port is
    if os.geteuid() == 0 and not (prefix / "config" / "config.yaml").exists():
        problems.append(_look_at_port(HTTP_PORT, prefix))
    told = [str(problem) for problem in problems if problem]
    if told:
        raise Stop("this machine cannot become a hub as it is; nothing was changed\n\n" + "\n\n".join(told))


def _look_at_port(port: int, prefix: Path) -> Problem | None:
    tables = [_text("/proc/net/tcp"), _text("/proc/net/tcp6")]
    inodes = set().union(*(listening_inodes(table, port) for table in tables))
    owners = processes_with({f"socket:[{inode}]" for inode in inodes}) if inodes else []
    return check_port(port, bool(inodes), owners, prefix.resolve())


# ------------------------------------------------------------------------------------------- the command line

HELP = """\
Turns this Debian or Ubuntu server into a JupyterHub, or brings the one it has up to date.
Run it as root; the same command again changes only what is not yet as it should be.

Examples:
  bootstrap.py --admin ada
      a hub at port 80; ada's password is made up and shown once, at the end
  bootstrap.py --admin ada:secret bob --plugin tljh-repo2docker
      two admins, one with a password (other users of this machine can see it while this runs:
      --admin-password-file FILE does not show it), and a plugin
  bootstrap.py --user-requirements-txt-url ./requirements.txt
      packages for everybody's notebooks, from an https URL or a file here
  bootstrap.py --bundle ./hub.tar.zst --admin ada
      without any network, from a file that `tljh bundle create` made on another machine
  bootstrap.py --restore ./hub.backup
      the hub that `tljh backup` was run on: the same people, passwords, settings and packages
"""
MORE = """\
Everything else goes to the installer as it is: --user-requirements-txt-url URL_OR_PATH,
--admin-password-file FILE, --yes, -v/--verbose. Leaving a flag out later removes nothing: what was
asked for once stays.

Environment: TLJH_INSTALL_PREFIX (default /opt/tljh), TLJH_BOOTSTRAP_PIP_SPEC (what to install of this project:
a path, a URL or a pip requirement), TLJH_BOOTSTRAP_DEV=yes (install the checkout editable),
TLJH_BOOTSTRAP_UNSUPPORTED_OS=yes; and pip's and uv's own (PIP_INDEX_URL, UV_DEFAULT_INDEX, https_proxy,
SSL_CERT_FILE, …), their configuration files and netrc.
Exit status: 0 done, 1 stopped (and why), 2 wrong command line.
"""


class Wishes(NamedTuple):
    """What the command line asks for."""

    arguments: list[str]  # for the installer, without passwords
    passwords: dict[str, str]
    version: str
    progress_page: bool
    bundle: Path | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise Stop(message, "--help explains the flags; nothing was looked at and nothing was changed", 2)


def parse_arguments(argv: list[str]) -> Wishes:
    """Take our own flags, leave the installer's in their order, and keep passwords apart.

    Raises:
        Stop: (status 2) a flag of ours is used wrongly.
    """
    parser = _Parser(
        prog="bootstrap.py",
        description=HELP,
        epilog=MORE,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    several = {"action": "append", "nargs": "+", "default": []}
    add("--admin", metavar="NAME[:PASSWORD]", help="an admin of the hub; may be repeated", **several)
    add("--plugin", metavar="SPEC", help="a plugin: name, URL or path; may be repeated", **several)
    add("--version", default="", help="the release to install (only without a checkout; default: the latest)")
    add("--bundle", metavar="FILE", default="", help="install from this file, without any network")
    add("--restore", metavar="FILE", default="", help="make this machine the hub that this backup is of")
    add("--show-progress-page", action="store_true", help="meanwhile, show the stages at the hub's address")
    own, rest = parser.parse_known_args(argv)
    arguments, passwords = [], {}
    for entry in itertools.chain(*own.admin):
        name, colon, password = entry.partition(":")
        if not name or (colon and not password):
            raise Stop("--admin needs NAME or NAME:PASSWORD, and one of them is empty", "correct it", 2)
        arguments += ["--admin", name]
        if colon:
            passwords[name] = password
    for spec in itertools.chain(*own.plugin):
        arguments += ["--plugin", absolute_spec(spec)]
    if own.restore:
        if arguments:
            raise Stop("--restore brings admins and plugins along", "leave --admin and --plugin out", 2)
        if not Path(own.restore).is_file():
            raise Stop(f"--restore {own.restore}: there is no such file", "correct the path", 2)
        arguments = ["restore", os.path.abspath(own.restore)]
    return Wishes(
        arguments + _absolute_requirements(rest),
        passwords,
        own.version,
        own.show_progress_page,
        bundle_path(own.bundle, own.version, rest) if own.bundle else None,
    )


def bundle_path(name: str, version: str, rest: list[str]) -> Path:
    """The bundle's absolute path.

    Raises:
        Stop: (status 2) there is no such file, or something is asked for that every bundle has itself.
    """
    if version:
        raise Stop("--version chooses a release, but --bundle holds one already", "leave one of them out", 2)
    if any(word.partition("=")[0] == "--lock" for word in rest):
        raise Stop("--lock names a lock, but --bundle holds one already", "leave one of them out", 2)
    if not Path(name).is_file():
        raise Stop(f"--bundle {name}: there is no such file", "correct the path", 2)
    return Path(os.path.abspath(name))


def absolute_spec(spec: str) -> str:
    """A plugin's path made absolute; names and URLs as they are, even if a folder here has the same name.

    Raises:
        Stop: (status 2) it can only be a path, and nothing is there.
    """
    editable = re.fullmatch(r"(?:-e|--editable)[\s=]+(.+)", spec)
    if editable:
        return f"-e {absolute_spec(str(Path(editable[1]).absolute()))}"
    path, extras = re.fullmatch(r"(.*?)(\[[\w\s,.-]*\])?", spec, re.DOTALL).groups()
    if not (path.startswith(".") or "/" in path):
        return spec
    if Path(path).exists():
        return os.path.abspath(path) + (extras or "")
    if path.startswith((".", "/")):
        raise Stop(f"--plugin {spec}: there is no such file or folder", "correct the path", 2)
    return spec


def _absolute_requirements(rest: list[str]) -> list[str]:
    flag, done = "--user-requirements-txt-url", []
    for index, word in enumerate(rest):
        head, value = "", word
        if word.startswith(flag + "="):
            head, value = flag + "=", word[len(flag) + 1 :]
        elif index == 0 or rest[index - 1] != flag:
            done.append(word)
            continue
        is_path = "://" not in value and Path(value).exists()
        done.append(head + (os.path.abspath(value) if is_path else value))
    return done


# ------------------------------------------------------------------------- pip's and uv's settings, and fetching


class Settings(NamedTuple):
    """Where packages come from, as the machine's pip and uv settings say."""

    indexes: list[str]  # in the order in which to ask them
    links: list[str]
    certificates: list[str]
    trusted: list[str]
    proxy: str
    netrc: str
    read: list[str]  # the names of the variables and files that said so
    for_uv: dict[str, str]  # what uv has to be told of pip's settings

    def credentials(self, url: str) -> tuple[str, str] | None:
        """User and password for a URL: its own, those of an index on the same host, or netrc's."""
        from urllib.parse import unquote, urlsplit

        wanted = urlsplit(url)
        for part in map(urlsplit, [url, *self.indexes, *self.links]):
            if part.username and (part.hostname, part.port) == (wanted.hostname, wanted.port):
                return unquote(part.username), unquote(part.password or "")
        if not (wanted.hostname and Path(self.netrc).is_file()):
            return None
        import netrc

        try:
            entry = netrc.netrc(self.netrc).authenticators(wanted.hostname)
        except netrc.NetrcParseError as error:
            raise Stop(f"{self.netrc} cannot be read: {error}", "correct it") from error
        return (entry[0], entry[2] or "") if entry else None


def pip_settings(env: dict[str, str], read=_text) -> tuple[dict[str, str], list[str]]:
    """pip's settings by their long option names, and where they were found.

    Variables win over files, later files over earlier ones, ``[install]`` over ``[global]``; PIP_CONFIG_FILE
    stands in for the user's files. (pip's documentation, "Configuration".)
    """
    home = env.get("HOME") or "/root"
    config = env.get("XDG_CONFIG_HOME") or f"{home}/.config"
    files = ["/etc/xdg/pip/pip.conf", "/etc/pip.conf", f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    named = env.get("PIP_CONFIG_FILE", "")
    if named:
        files = [] if named == os.devnull else [*files[:2], named]
    values, sources = {}, []
    for file in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(read(file))
        except configparser.Error as error:
            raise Stop(
                f"{file} cannot be read: {error}", "correct it, as pip itself would not read it either"
            ) from error
        for section in ("global", "install"):
            if parser.has_section(section):
                values.update((key.replace("_", "-"), value.strip()) for key, value in parser.items(section))
                sources += [file] * (file not in sources)
    for key in (
        "index-url",
        "extra-index-url",
        "find-links",
        "no-index",
        "cert",
        "proxy",
        "trusted-host",
        "default-timeout",
    ):
        name = "PIP_" + key.upper().replace("-", "_")
        if env.get(name):
            values[key] = env[name]
            sources.append(name)
    return values, sources


def uv_settings(env: dict[str, str], read=_text) -> tuple[dict[str, list[str]], list[str]]:
    """uv's own ``default``, ``extra`` and ``links``, and where they were found; variables win over uv.toml."""
    home = env.get("XDG_CONFIG_HOME") or f"{env.get('HOME') or '/root'}/.config"
    files = [env["UV_CONFIG_FILE"]] if env.get("UV_CONFIG_FILE") else ["/etc/uv/uv.toml", f"{home}/uv/uv.toml"]
    values, sources = {}, []
    for file, text in ((file, read(file)) for file in files):
        if text and sys.version_info >= (3, 11):  # before, there is no tomllib; uv itself still reads the file
            import tomllib

            try:
                table = tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                raise Stop(f"{file} cannot be read: {error}", "correct it") from error
            values.update(_uv_table({**table.get("pip", {}), **table}))
            sources.append(file)
    variables = {
        "default": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        "extra": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
        "links": ("UV_FIND_LINKS",),
    }
    for key, names in variables.items():
        name = next((name for name in names if env.get(name)), "")
        if name:
            values[key] = re.split(r"[,\s]+", env[name].strip()) if key == "links" else env[name].split()
            sources.append(name)
    return values, sources


def _uv_table(table: "dict") -> dict[str, list[str]]:
    indexes = [index for index in table.get("index", []) if not index.get("explicit")]
    found = {
        "default": [index["url"] for index in indexes if index.get("default")] or [table.get("index-url")],
        "extra": [index["url"] for index in indexes if not index.get("default")]
        or table.get("extra-index-url", []),
        "links": table.get("find-links", []),
    }
    return {key: value for key, value in found.items() if value and value != [None]}


def local_path(location: str) -> Path | None:
    """The path that a file:// URL or a plain path means; ``None`` for an address on the network."""
    from urllib.parse import unquote, urlsplit

    scheme = urlsplit(location).scheme
    if scheme in ("", "file"):
        return Path(unquote(urlsplit(location).path) if scheme else location).expanduser()
    return None


def read_settings(env: dict[str, str], read=_text, exists=os.path.exists) -> Settings:
    """What pip and uv would use here. uv's own settings win; what only pip has been told is handed on to uv.

    Folders that are not there are left out, as pip does; uv would stop at them.
    """
    pip, sources = pip_settings(env, read)
    uv, more = uv_settings(env, read)
    own = {
        "default": pip.get("index-url", "").split(),
        "extra": _existing(pip.get("extra-index-url", "").split(), exists),
        "links": _existing(pip.get("find-links", "").split(), exists),
    }
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        own["default"], own["extra"] = [NO_INDEX], []
    links = _existing(uv.get("links", own["links"]), exists)
    indexes = [*uv.get("extra", own["extra"]), *(uv.get("default") or own["default"] or [PUBLIC_INDEX])]
    bundles = [pip.get("cert"), *map(env.get, ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))]
    bundles = [file for file in bundles if file and exists(file)]
    proxied = any(map(env.get, ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")))
    told = {
        "UV_DEFAULT_INDEX": "" if "default" in uv else " ".join(own["default"]),
        "UV_INDEX": "" if "extra" in uv else " ".join(own["extra"]),
        "SSL_CERT_FILE": bundles[0] if bundles else "",
        "UV_INSECURE_HOST": pip.get("trusted-host", ""),
        "HTTPS_PROXY": "" if proxied else pip.get("proxy", ""),
        "UV_HTTP_TIMEOUT": pip.get("default-timeout", ""),
    }
    told["UV_INDEX_STRATEGY"] = "unsafe-best-match" if told["UV_INDEX"] else ""  # pip's way: best of all indexes
    told = {name: value for name, value in told.items() if value and not env.get(name)}
    if env.get("UV_FIND_LINKS") or (own["links"] and "links" not in uv):
        told["UV_FIND_LINKS"] = ",".join(links)  # even where it is set: without the folders that are missing
    return Settings(
        indexes=[re.sub(r"^[\w.-]+=(?=\w+:)", "", index) for index in indexes if index != NO_INDEX],  # name=URL
        links=links,
        certificates=bundles,
        trusted=pip.get("trusted-host", "").split(),
        proxy="" if proxied else pip.get("proxy", ""),
        netrc=env.get("NETRC") or f"{env.get('HOME') or '/root'}/.netrc",
        read=sources + more,
        for_uv=told,
    )


def _existing(locations: list[str], exists) -> list[str]:
    paths = [(where, local_path(where)) for where in locations]
    kept = [(where, path) for where, path in paths if path is None or exists(path)]
    return [where if path is None or "://" in where else str(path.absolute()) for where, path in kept]


def parse_index(text: str, kind: str, base: str) -> dict[str, str]:
    """File names and their URLs on a package's index page: HTML (PEP 503) or JSON (PEP 691)."""
    from html.parser import HTMLParser
    from urllib.parse import unquote, urljoin, urlsplit

    if "json" in kind:
        return {file["filename"]: urljoin(base, file["url"]) for file in json.loads(text)["files"]}
    found: dict[str, str] = {}

    class Links(HTMLParser):
        root = base

        def handle_starttag(self, tag: str, attributes) -> None:
            href = dict(attributes).get("href")
            if href and tag == "base":
                self.root = urljoin(base, href)
            elif href and tag == "a":
                url = urljoin(self.root, href)
                found[unquote(urlsplit(url).path.rsplit("/", 1)[-1])] = url

    Links().feed(text)
    return found


class Fetcher:
    """Gets files over http(s) with the machine's settings; shows a bar on a terminal."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console

    def get(self, url: str, accept: str = "*/*") -> tuple[bytes, str, str]:
        """The body, its content type and the final URL; three tries where the fault may pass.

        Raises:
            OSError: no answer, or one that is an error.
        """
        for pause in (*PAUSES, None):
            try:
                return self._get_once(url, accept)
            except Exception as error:
                if pause is None or not is_transient(error):
                    raise
                self.console.log(f"{url}: {error}; trying again in {pause:.0f} s")
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _get_once(self, url: str, accept: str) -> tuple[bytes, str, str]:
        import urllib.request

        account = self.settings.credentials(url)
        request = urllib.request.Request(
            _CREDENTIALS.sub(r"\1", url), headers={"Accept": accept, "User-Agent": "tljh"}
        )
        if account:
            import base64

            token = base64.b64encode(":".join(account).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")  # never to another host
        proxies = {"http": self.settings.proxy, "https": self.settings.proxy} if self.settings.proxy else None
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPSHandler(context=self._tls(request.host, bool(account))),
        )
        with opener.open(request, timeout=30) as answer:
            return self._read(answer), answer.headers.get_content_type(), answer.geturl()

    def _read(self, answer) -> bytes:
        size, parts, got = int(answer.headers.get("Content-Length") or 0), [], 0
        for part in iter(lambda: answer.read(1 << 17), b""):
            parts.append(part)
            got += len(part)
            if size:
                filled = 30 * got // size
                self.console.transient(
                    f"… {self.console.doing} [{'#' * filled:30}] {got / 1e6:.1f} of {size / 1e6:.1f} MB"
                )
        if got < size:
            raise OSError(errno.ECONNRESET, f"the connection ended after {got} of {size} bytes")
        return b"".join(parts)

    def _tls(self, host: str, secret: bool):
        import ssl

        context = ssl.create_default_context()
        for file in self.settings.certificates:
            context.load_verify_locations(file)
        paths = ssl.get_default_verify_paths()
        known = paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())) or self.settings.certificates
        # Without any certificate on the machine (a minimal image) nobody can be verified. What is fetched here
        # is, by its pinned sha256, so that only credentials need the verified connection.
        if (
            host.rpartition(":")[0] in self.settings.trusted
            or host in self.settings.trusted
            or not (known or secret)
        ):
            self.console.log(f"{host} is not verified: no certificates here, or a trusted-host setting")
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    import http.client
    import ssl
    import urllib.error

    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 425, 429, 500, 502, 503, 504)
    if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
        return False
    return isinstance(error, (OSError, http.client.HTTPException))


# ---------------------------------------------------------------------------------------------- uv and Python


def version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, to be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version, maxsplit=1)[0]))


def program_version(path: Path | str) -> str:
    """What a program answers to ``--version``, without its name; empty where it doesn't run."""
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and len(words) > 1 else ""


class Run:
    """What this run works on."""

    def __init__(self, prefix: Path, env: dict[str, str], console: Console) -> None:
        self.prefix, self.env, self.console = prefix, env, console
        self.settings = read_settings(env)
        self.envs, self.state = prefix / "envs", prefix / "state"
        self.lock_fd = -1
        self.page_pid = 0
        self.began = time.time()
        self.uv = ""
        self.bundle: Path | None = None  # where a bundle was unpacked to
        self.uv_env = {**child_environment(env, prefix), **self.settings.for_uv}

    def call_uv(self, *arguments: Path | str, todo: str) -> None:
        """Run uv to its end; ``Stop`` when it fails, as for ``call``."""
        self.call([self.uv, *arguments], self.uv_env, f"uv {arguments[0]}", todo)

    def call(self, words: "list[Path | str]", env: dict[str, str], name: str, todo: str) -> None:
        """Run a program to its end, in a folder without settings of its own.

        Args:
            name: What to call it when it fails.

        Raises:
            Stop: it failed; with the end of what it said.
        """
        command = [str(word) for word in words]
        self.console.log("run: " + " ".join(command))
        process = subprocess.Popen(
            command,
            env=env,
            cwd=self.state,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.lock_fd],
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=UV_TIMEOUT)[0].decode(errors="replace")
        except BaseException as error:
            end_group(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise Stop(f"{name} did not end within {UV_TIMEOUT / 60:.0f} minutes", todo) from error
        self.console.log(output)
        if process.returncode:
            raise Stop(failure(name, process.returncode, output), MAKE_ROOM if is_full(output) else todo)


def is_full(output: str) -> bool:
    """Whether a program failed because the disk is full, by what it said."""
    return "No space left on device" in output or "os error 28" in output


def failure(name: str, status: int, output: str) -> str:
    """One sentence on what a program failed at, and its own last 20 lines."""
    if is_full(output):
        what = f"the disk is full: {name} could not write its files, and what was half done is removed"
    else:
        what = f"{name} ended with status {status}; it said"
    return "\n    ".join([what + ":", *output.strip().splitlines()[-20:]])


def end_group(process: subprocess.Popen) -> None:
    """End a process and its children, first politely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3.0)
            return


def child_environment(env: dict[str, str], prefix: Path) -> dict[str, str]:
    """Our variables without those that would lead uv or the installer's Python astray."""
    astray = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON")
    kept = {key: value for key, value in env.items() if key not in astray}
    defaults = {"UV_CACHE_DIR": str(prefix / "cache" / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
    return {**defaults, **kept, "TLJH_INSTALL_PREFIX": str(prefix)}


def find_uv(run: Run) -> str:
    """The uv to use: ours, a new enough one on PATH, or fetched into ``<prefix>/bin``."""
    ours = run.prefix / "bin" / "uv"
    if ours.exists() and version_key(program_version(ours)) >= version_key(UV_VERSION):
        return str(ours)
    found = shutil.which("uv", path=run.env.get("PATH"))
    if found:
        version, owner = program_version(found), Path(found).stat()
        if owner.st_uid != 0 or owner.st_mode & 0o022:  # root doesn't run what others can replace
            run.console.log(f"{found} is not used: others than root may change it")
        elif version_key(version) >= version_key(UV_MINIMUM):
            run.console.say(f"uv {version} is here already: {found}")
            return found
    with run.console.step(f"uv {UV_VERSION}"):
        if run.bundle:
            unpack_uv(next((run.bundle / "uv").glob("uv-*.whl")).read_bytes(), ours)
            return str(ours)
        name, digest = UV_WHEELS[platform.machine()]
        body, origin = fetch_uv(run.settings, Fetcher(run.settings, run.console), name)
        check_digest(body, digest, origin)
        unpack_uv(body, ours)
    return str(ours)


def wheel_url(location: str, is_index: bool, name: str, fetcher: Fetcher) -> str:
    """The URL of a file at an index, or at a find-links folder or page; empty where it has none."""
    base = location.rstrip("/") + "/uv/" if is_index else location
    path = local_path(base)
    if path is None:
        accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5" if is_index else "*/*"
        body, kind, final = fetcher.get(base, accept)
        return parse_index(body.decode(errors="replace"), kind, final).get(name, "")
    if (path / name).is_file():
        return (path / name).absolute().as_uri()
    page = path / "index.html" if path.is_dir() else path
    return parse_index(_text(page), "text/html", page.absolute().as_uri()).get(name, "")


def fetch_uv(settings: Settings, fetcher: Fetcher, name: str) -> tuple[bytes, str]:
    """uv's wheel from the first place that has it, and that place.

    Raises:
        Stop: no place has it; with every place and its answer.
    """
    answers = []
    places = [(place, False) for place in settings.links] + [(place, True) for place in settings.indexes]
    for place, is_index in places:
        try:
            url = wheel_url(place, is_index, name, fetcher)
            if url:
                path = local_path(url)
                return (path.read_bytes() if path else fetcher.get(url)[0]), url
            answers.append(f"{place}: has no {name}")
        except (OSError, ValueError) as error:  # ValueError: an answer that is no index
            answers.append(f"{place}: {reason_of(error)}")
    read = ", ".join(settings.read) or "none (pip's and uv's defaults)"
    raise Stop(
        redact("\n    ".join([f"uv {UV_VERSION} could not be fetched; settings read: {read}", *answers])),
        "check the network, or name a package index that this machine reaches (PIP_INDEX_URL, PIP_FIND_LINKS, "
        "https_proxy, SSL_CERT_FILE or PIP_CERT), or install uv itself; then run the same command again",
    )


def reason_of(error: Exception) -> str:
    """Why a request failed, in a few words."""
    import ssl

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        why = reason.verify_message
        return f"the server's certificate is not trusted ({why}); name its CA in SSL_CERT_FILE or PIP_CERT"
    code = getattr(error, "code", None)
    hint = {401: "; credentials are needed: in the URL or in netrc", 407: "; the proxy asks for credentials"}
    return f"HTTP {code} {reason}{hint.get(code, '')}" if code else f"{reason}"


def check_digest(body: bytes, expected: str, origin: str) -> None:
    """Compare a file with its pinned sha256.

    Raises:
        Stop: it is another file.
    """
    found = hashlib.sha256(body).hexdigest()
    if found != expected:
        raise Stop(
            redact(f"{origin} is not the file that this installer knows; it was not installed")
            + f"\n    sha256 found:    {found}\n    sha256 expected: {expected}",
            "a mirror or a proxy changed or damaged it: use another index, or tell its administrator",
        )


def unpack_uv(wheel: bytes, target: Path) -> None:
    """Put the program out of uv's wheel at ``target``, in one step."""
    import zipfile

    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{FRESH}{os.getpid()}-uv")
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive, fresh.open("wb") as file:
            name = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
            shutil.copyfileobj(archive.open(name), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o755)
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def readable_by_all(path: Path) -> bool:
    """Whether every account may run this program: its own mode, and those of the folders above it."""
    real = path.resolve()
    return real.is_file() and all(
        part.stat().st_mode & 0o005 & (1 if part != real else 5) for part in (real, *real.parents)
    )


def system_python(executable: str = "") -> str:
    """A Python ≥ 3.10 that every account can run: the one that runs this, or the system's.

    Raises:
        Stop: there is none.
    """
    own = executable or getattr(sys, "_base_executable", "") or sys.executable
    if own and readable_by_all(Path(own)):
        return own
    system = Path("/usr/bin/python3")
    version = program_version(system)
    if version_key(version) >= NEEDED_PYTHON and readable_by_all(system):
        return str(system)
    raise Stop(
        f"no Python that all accounts can run: {own or 'this one'} lies in a folder that others cannot enter, and "
        f"{system} is {version or 'not there'} (needed: 3.10 or later)",
        "install the system's own with `apt install python3`, then run this file with /usr/bin/python3",
    )


# --------------------------------------------------------------------------------------- what to install of us


class Source(NamedTuple):
    """What of this project is to be installed."""

    spec: str  # a checkout's path, a pip requirement or a URL
    digest: str = ""  # of local content; a remote spec is known by its words only
    checkout: Path | None = None
    editable: bool = False
    wheel: Path | None = None

    @property
    def requirement(self) -> str:
        """The line for uv."""
        if self.editable:
            return f"-e {self.checkout}"
        if self.wheel:
            return f"{PROJECT} @ {self.wheel.as_uri()}"
        is_url = "://" in self.spec and " @ " not in self.spec
        return f"{PROJECT} @ {self.spec}" if is_url else self.spec

    def installed_in(self, manifest: dict) -> bool:
        """Whether an environment with this manifest holds it."""
        there = manifest.get("sources", {}).get(PROJECT, {})
        return there.get("digest") == self.digest if self.digest else there.get("spec") == self.spec


def project_files(checkout: Path) -> list[Path]:
    """The files that make up the installed project."""
    package = (path for path in (checkout / "installer" / "tljh").rglob("*") if "__pycache__" not in path.parts)
    top = (checkout / name for name in ("setup.py", "pyproject.toml", "README.md", "bootstrap/bootstrap.py"))
    return sorted(path for path in (*top, *package) if path.is_file())


def digest_of(root: Path, files: list[Path]) -> str:
    """One digest over the files' names below ``root`` and contents."""
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return "sha256:" + total.hexdigest()


def local_source(checkout: Path, editable: bool) -> Source:
    """A checkout; an editable one is the same until its metadata change."""
    files = project_files(checkout)
    if editable:
        files = [path for path in files if path.suffix in (".toml", ".txt") or path.name == "setup.py"]
    return Source(str(checkout), digest_of(checkout, files), checkout, editable)


def find_source(own_file: str, env: dict[str, str], version: str, releases: str = "") -> Source | None:
    """What to install: the checkout that we stand in, TLJH_BOOTSTRAP_PIP_SPEC, or a release (``None``).

    Raises:
        Stop: there is none of these, or ``--version`` contradicts them.
    """
    checkout = Path(own_file).resolve().parent.parent if own_file and Path(own_file).is_file() else None
    spec, editable = env.get("TLJH_BOOTSTRAP_PIP_SPEC", ""), env.get("TLJH_BOOTSTRAP_DEV") == "yes"
    if checkout and not (checkout / "setup.py").exists():
        checkout = None
    if version and (checkout or spec):
        todo = "leave it out, or run this file alone, away from the checkout and without TLJH_BOOTSTRAP_PIP_SPEC"
        raise Stop(f"--version chooses a release, but {checkout or spec} is what would be installed", todo, 2)
    if checkout:
        return local_source(checkout, editable)
    path = local_path(spec) if spec else None
    if path and path.is_dir():
        return local_source(path.resolve(), editable)
    if path and path.is_file():
        path = path.resolve()
        return Source(str(path), digest_of(path.parent, [path]), wheel=path)
    if spec or releases:
        return Source(spec) if spec else None
    raise Stop(
        "there is nothing to install: this file does not stand in a checkout of the project, "
        "TLJH_BOOTSTRAP_PIP_SPEC is not set, and no release has been published yet",
        "get the whole project and run its bootstrap/bootstrap.py, or set TLJH_BOOTSTRAP_PIP_SPEC",
    )


def pick_release(links: dict[str, str], version: str, page: str) -> Source:
    """The release of this version, or the latest final one, from the links of a page."""
    pattern = re.compile(PROJECT.replace("-", "_") + r"-([^-]+)-py3-none-any\.whl")
    found = {
        match[1]: url for match, url in ((pattern.fullmatch(name), url) for name, url in links.items()) if match
    }
    final = [key for key in found if re.fullmatch(r"[\d.]+(\.post\d+)?", key)]
    chosen = version or max(final, key=version_key, default="")
    if chosen not in found:
        known = ", ".join(sorted(found, key=version_key)) or "none"
        raise Stop(
            f"there is no release {chosen or 'yet'} at {redact(page)}; there are: {known}", "choose one of them"
        )
    return Source(found[chosen])


def build_wheel(run: Run, source: Source, python: str) -> Source:
    """The source with its wheel in ``<prefix>/state/wheels``, built or copied there once."""
    if source.editable or not source.digest:
        return source
    kept = run.state / "wheels" / source.digest.partition(":")[2][:12]
    ready = list(kept.glob("*.whl"))
    if not ready:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".build-") as folder:
            out = Path(folder, "out")
            out.mkdir()
            if source.wheel:
                shutil.copy(source.wheel, out)
            else:  # from a copy: a build writes into its folder, and the checkout isn't ours
                for file in (*project_files(source.checkout), *source.checkout.glob("LICENSE*")):
                    copy = Path(folder, "src", file.relative_to(source.checkout))
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, copy)
                todo = "see what it says above: the network (setuptools is fetched), or the checkout's setup.py"
                words = (
                    "--wheel",
                    "--no-create-gitignore",
                    "--python",
                    python,
                    "--out-dir",
                    out,
                    Path(folder, "src"),
                )
                run.call_uv("build", *words, todo=todo)
            shutil.rmtree(kept, ignore_errors=True)
            os.rename(out, kept)
        ready = list(kept.glob("*.whl"))
    return source._replace(wheel=ready[0])


# ----------------------------------------------------------------------------------- a bundle: without any network


class Damaged(Exception):
    """What is read is not what was written."""


class ZstdFile(io.RawIOBase):
    """The content of a zstd file, by the system's libzstd: Python has a module for it from 3.14 on only, and apt
    needs the library, so that every Debian and Ubuntu has it. (zstd.h: "Streaming decompression".)

    Raises:
        Stop: there is no libzstd.
        Damaged: (when it is read) the file is no zstd file, was changed, or ends too early.
    """

    def __init__(self, path: Path) -> None:
        import ctypes

        class Buffer(ctypes.Structure):  # ZSTD_inBuffer and ZSTD_outBuffer have the same fields
            _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]

        try:
            self.library = ctypes.CDLL("libzstd.so.1")
        except OSError as error:
            raise Stop(f"a bundle cannot be read here: {error}", "install the package libzstd1") from error
        self.library.ZSTD_createDStream.restype = ctypes.c_void_p
        self.library.ZSTD_getErrorName.restype = ctypes.c_char_p
        self.library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        self.library.ZSTD_isError.argtypes = [ctypes.c_size_t]
        self.library.ZSTD_decompressStream.restype = ctypes.c_size_t
        pointer = ctypes.POINTER(Buffer)
        self.library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, pointer, pointer]
        self.library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        self.stream = self.library.ZSTD_createDStream()
        self.ctypes, self.buffer = ctypes, Buffer
        self.file = path.open("rb")
        self.block, self.given = b"", Buffer(None, 0, 0)
        self.full = False  # more may come without more input
        self.left = 1  # 0 at the end of a frame

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        room = (self.ctypes.c_char * len(target)).from_buffer(target)
        taken = self.buffer(self.ctypes.addressof(room), len(target), 0)
        while not taken.pos:
            if self.given.pos == self.given.size and not self.full:
                self.block = self.file.read(BLOCK)  # kept here: the library reads from it
                if not self.block:
                    if self.left:
                        raise Damaged("the file ends too early")
                    return 0
                start = self.ctypes.cast(self.ctypes.c_char_p(self.block), self.ctypes.c_void_p)
                self.given = self.buffer(start, len(self.block), 0)
            before = self.given.pos
            left = self.library.ZSTD_decompressStream(
                self.stream, self.ctypes.byref(taken), self.ctypes.byref(self.given)
            )
            if self.library.ZSTD_isError(left):
                raise Damaged(self.library.ZSTD_getErrorName(left).decode())
            if taken.pos or self.given.pos != before:  # else it speaks of a frame that may never come
                self.left = left
            self.full = taken.pos == taken.size
        return taken.pos

    def close(self) -> None:
        if not self.closed:
            self.library.ZSTD_freeDStream(self.stream)
            self.file.close()
        super().close()


def read_bundle(path: Path, fits, target: Path | None = None) -> dict:
    """Compare every file of a bundle with its manifest, which comes first; put them below ``target``, if given.

    Args:
        fits: Called with the manifest before anything else is read.

    Raises:
        Stop: a file is missing, too much, or not the one that the manifest speaks of; it is named.
    """
    import tarfile

    manifest, doing = {}, "manifest.json"
    try:
        with ZstdFile(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            member = archive.next()
            if member is None or member.name != doing or not member.isfile():
                raise Stop(f"{path} is no bundle", "name a file that `tljh bundle create` made")
            text = archive.extractfile(member).read()
            manifest = parse_bundle_manifest(path, text)
            fits(manifest)
            left = dict(manifest["files"])
            for member in iter(archive.next, None):
                doing = member.name
                expected = left.pop(doing, None)
                if expected is None or not member.isfile() or not is_inside(doing):
                    raise Damaged("it is not in the manifest")
                found = copy_out(archive.extractfile(member), target / doing if target else None)
                if found != expected["sha256"]:
                    raise Damaged(f"its sha256 is {found} instead of {expected['sha256']}")
            doing = ", ".join(sorted(left)[:3]) or "its end"
            if left:
                raise Damaged("the bundle ends before it")
            while plain.read(BLOCK):  # the checksum comes last
                pass
    except (Damaged, tarfile.TarError, EOFError) as error:
        raise Stop(
            f"the bundle {path} is damaged, cut off or was changed: {doing}: {error}",
            "copy it again from where it was made (`sha256sum` tells whether both are the same), or make it anew",
        ) from error
    if target:
        (target / "manifest.json").write_bytes(text)
    return manifest


def parse_bundle_manifest(path: Path, text: bytes) -> dict:
    """The manifest of a bundle.

    Raises:
        Stop: it is none, or of another format.
    """
    try:
        manifest = json.loads(text)
        if manifest["format"] == BUNDLE_FORMAT:
            return {**manifest, "files": dict(manifest["files"])}
        found = f"format {manifest['format']} instead of {BUNDLE_FORMAT}"
    except (ValueError, KeyError, TypeError) as error:
        found = f"{type(error).__name__}: {error}"
    raise Stop(
        f"the manifest of {path} cannot be used ({found})", "use the bootstrap.py that was made with the bundle"
    )


def is_inside(name: str) -> bool:
    """Whether a path of a bundle stays below the folder that it is unpacked to."""
    return not name.startswith("/") and all(part not in ("", ".", "..") for part in name.split("/"))


def copy_out(source, target: Path | None) -> str:
    """Copy a file, or only read it; its sha256."""
    digest = hashlib.sha256()
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") if target else contextlib.nullcontext() as file:
        for block in iter(lambda: source.read(BLOCK), b""):
            digest.update(block)
            if file:
                file.write(block)
    return digest.hexdigest()


def bundle_problem(manifest: dict, machine: str, python: str, os_release: str) -> Problem | None:
    """Whether a bundle is for a machine with this processor, version of Python and /etc/os-release."""
    words = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    system = " ".join(words.get(key, "").strip().strip("\"'") for key in ("ID", "VERSION_ID")).strip()
    minor = ".".join(python.split(".")[:2])
    here, meant = (system, machine, minor), (manifest["system"], manifest["machine"], manifest["python"])
    if here == meant:
        return None
    told = ["{}, {}, Python {}".format(*words) for words in (here, meant)]
    return Problem(
        f"{told[0]}: this machine", f"{told[1]}: what the bundle is for", "make one on a machine like this"
    )


def check_bundle(path: Path, console: Console) -> dict:
    """See that a bundle is whole and for this machine, before anything is changed; its manifest.

    Raises:
        Stop: it is not.
    """

    def fits(manifest: dict) -> None:
        version = program_version(system_python())
        problem = bundle_problem(manifest, platform.machine(), version, _text("/etc/os-release"))
        if problem:
            raise Stop(f"{path} cannot be used here; nothing was changed\n\n{problem}")

    with console.step("bundle is whole"):
        return read_bundle(path, fits)


def keep_bundle(run: Run, path: Path, manifest: dict) -> Path:
    """Put the bundle's files into ``<prefix>/state/bundle``, where they stay for repairs.

    From here on, nothing of this run asks the network for anything.
    """
    kept, fresh, old = (run.state / name for name in ("bundle", ".bundle.new", ".bundle.old"))
    for folder in (fresh, old):  # of a run that was cut off
        shutil.rmtree(folder, ignore_errors=True)
    if not is_kept(kept, manifest):
        with run.console.step("bundle"):
            fresh.mkdir(mode=0o700)
            try:
                read_bundle(path, lambda manifest: None, fresh)
                sync_disk(fresh)
                if kept.exists():
                    os.rename(kept, old)
                os.rename(fresh, kept)
            finally:
                for folder in (fresh, old):
                    shutil.rmtree(folder, ignore_errors=True)
    for name in ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        run.uv_env.pop(name, None)
    run.uv_env.update(UV_OFFLINE="1", UV_DEFAULT_INDEX=NO_INDEX, UV_FIND_LINKS=str(kept / "wheels"))
    run.bundle = kept
    return kept


def is_kept(kept: Path, manifest: dict) -> bool:
    """Whether the files below ``kept`` are those of this manifest."""
    try:
        if parse_bundle_manifest(kept, (kept / "manifest.json").read_bytes()) != manifest:
            return False
        for name, entry in manifest["files"].items():
            with (kept / name).open("rb") as file:
                if copy_out(file, None) != entry["sha256"]:
                    return False
    except (OSError, Stop):
        return False
    return True


def bundle_arguments(kept: Path, manifest: dict) -> list[str]:
    """What the installer is asked for by a bundle: its lock, and its plugins."""
    arguments = ["--lock", str(kept / "lock")] if (kept / "lock" / "conda-lock.yml").exists() else []
    for spec in manifest["plugins"]:
        arguments += ["--plugin", str(kept / spec) if spec in manifest["files"] else spec]
    return arguments


def bundle_source(kept: Path, manifest: dict) -> "Source":
    """This project's wheel in a bundle."""
    wheel = kept / manifest["project"]
    return Source(str(wheel), digest_of(wheel.parent, [wheel]), wheel=wheel)


def bundle_lines(kept: Path, source: "Source") -> str:
    """What the hub environment holds by a bundle's lock, which has all but this project's own wheel."""
    digest = hashlib.sha256(source.wheel.read_bytes()).hexdigest()
    text = (kept / "lock" / "requirements-hub.lock").read_text().replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in text.splitlines() if not line.startswith("#")]
    lines.append(f"{source.requirement} --hash=sha256:{digest}")
    return "".join(f"{line}\n" for line in lines if line)


# ------------------------------------------------------------------------------------------ the hub environment


def read_manifest(env: Path) -> dict:
    """What a complete environment says of itself; empty for one that is incomplete."""
    try:
        return json.loads((env / MANIFEST).read_text())
    except (OSError, ValueError):  # not there, or cut off: the same to us
        return {}


def current_env(prefix: Path) -> Path | None:
    """The environment that serves, by its own path."""
    link = prefix / "hub"
    return prefix / "envs" / os.path.basename(os.readlink(link)) if link.is_symlink() else None


def number_of(env: Path) -> int:
    """The build counter in ``hub-12``; 0 for another name."""
    match = re.fullmatch(r"hub-(\d+)", env.name)
    return int(match[1]) if match else 0


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_packages(site: Path) -> dict[str, str]:
    """Names and versions, as the ``*.dist-info`` folders say."""
    names = (path.name[: -len(".dist-info")].partition("-") for path in site.glob("*.dist-info"))
    return {canonical(name): version for name, _, version in sorted(names)}


def site_packages(env: Path) -> Path | None:
    """Where the environment's interpreter, asked itself, finds its packages; ``None`` when it does not run.

    After an upgrade of the system the interpreter may run, but look into another version's folder.
    """
    code = "import sys; print('py', '%d.%d' % sys.version_info[:2])"
    try:
        words = [str(env / "bin" / "python"), "-I", "-S", "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    site = env / "lib" / f"python{done.stdout.partition(' ')[2].strip()}" / "site-packages"
    return site if done.returncode == 0 and site.is_dir() else None


def is_healthy(env: Path, manifest: dict, site: Path | None) -> bool:
    """Whether what the manifest names is still there."""
    return bool(site and manifest) and manifest["packages"].items() <= installed_packages(site).items()


def leftovers(prefix: Path) -> list[Path]:
    """Candidates whose build was cut off; never the environment that serves."""
    envs, current = (prefix / "envs").glob("hub-*"), current_env(prefix)
    return [env for env in envs if number_of(env) and env != current and not read_manifest(env)]


def reusable(prefix: Path, source: Source) -> Path | None:
    """The newest complete candidate of this source that was never switched to."""
    current = current_env(prefix)
    newer = [
        env for env in (prefix / "envs").glob("hub-*") if number_of(env) > (number_of(current) if current else 0)
    ]
    return next(
        (env for env in sorted(newer, key=number_of, reverse=True) if source.installed_in(read_manifest(env))),
        None,
    )


def next_env(prefix: Path) -> Path:
    """The path of the next candidate."""
    return prefix / "envs" / f"hub-{1 + max(map(number_of, (prefix / 'envs').glob('hub-*')), default=0)}"


def hub_environment(run: Run, source: Source | None, version: str) -> Path:
    """An environment that holds the project: the one that serves, a finished candidate, or a new one."""
    current = current_env(run.prefix)
    manifest = read_manifest(current) if current else {}
    healthy = bool(current) and is_healthy(current, manifest, site_packages(current))
    if source is None:  # a release: which one, is asked of the network only when it matters
        spec = manifest.get("sources", {}).get(PROJECT, {}).get("spec", "")
        source = Source(spec) if healthy and not version else latest_release(run, version)
    if healthy and source.installed_in(manifest):
        run.console.say(f"{current.name} holds this version already", "✓", "32")
        return current
    for env in leftovers(run.prefix):
        run.console.log(f"removing {env}, which an interrupted run left behind")
        shutil.rmtree(env)
    env = reusable(run.prefix, source)
    if env and is_healthy(env, read_manifest(env), site_packages(env)):
        run.console.say(f"{env.name} was built by an earlier run and is used", "✓", "32")
        return env
    python = system_python()
    if not source.editable and source.digest:
        with run.console.step("installer"):
            source = build_wheel(run, source, python)
    env = next_env(run.prefix)
    with run.console.step(f"environment {env.name}"):
        build_environment(run, env, source, python, current if healthy else None, manifest)
    return env


def latest_release(run: Run, version: str) -> Source:
    """The release that RELEASES lists under this version, or its latest."""
    try:
        body, kind, base = Fetcher(run.settings, run.console).get(RELEASES)
    except OSError as error:
        raise Stop(
            f"the releases at {redact(RELEASES)} cannot be listed: {reason_of(error)}", "check the network"
        ) from error
    return pick_release(parse_index(body.decode(errors="replace"), kind, base), version, RELEASES)


def build_environment(run: Run, env: Path, source: Source, python: str, base: Path | None, before: dict) -> None:
    """Make ``env`` with the project and what it needs; nothing stays of it when that fails.

    Files are linked from uv's cache, which is removed then: nothing is copied, and yet the environment shares no
    file with anything. A cache that the admin names (UV_CACHE_DIR) is copied from, and stays.

    Args:
        base: The environment that serves, if it is in order: only what differs from it is downloaded.
        before: Its manifest: versions are kept where the requirements allow it.
    """
    again = "see what it says above; the machine is as it was, and the same command tries again"
    try:
        if base and not run.bundle:  # a bundle says exactly what there is to be
            copy_environment(base, env)
        else:
            run.call_uv("venv", "--relocatable", "--python", python, env, todo=again)
        cache = Path(run.uv_env["UV_CACHE_DIR"])
        ours = cache == run.prefix / "cache" / "uv"
        with tempfile.TemporaryDirectory(dir=run.state, prefix=f"{FRESH}{os.getpid()}-") as folder:
            lock, interpreter = Path(folder, "lock.txt"), ("--python", env / "bin" / "python")
            if run.bundle:
                lock.write_text(bundle_lines(run.bundle, source))
            else:
                wanted, overrides = Path(folder, "wanted.in"), Path(folder, "overrides.txt")
                wanted.write_text(source.requirement + "\n")
                overrides.write_text("\n".join([source.requirement, *LEFT_OUT, ""]))
                kept = before.get("packages", {}).items()
                lock.write_text("".join(f"{name}=={number}\n" for name, number in kept if name != PROJECT))
                run.call_uv(
                    *("pip", "compile", "--no-header", "--no-annotate", *interpreter, "--override", overrides),
                    *("--output-file", lock, wanted),
                    todo=again,
                )
            run.call_uv(
                *("pip", "install", *interpreter, "--no-deps"),
                *(["--require-hashes"] if run.bundle else []),
                *("--link-mode", "hardlink" if ours else "copy", "--requirement", lock),
                todo=again,
            )
            if ours:
                shutil.rmtree(cache)
            site = site_packages(env)
            compile_bytecode(run, env, source.checkout / "installer" if source.editable else site, again)
            sources = before.get("sources", {})
            write_manifest(env, source, lock.read_text().split("\n"), installed_packages(site), sources)
    except BaseException:
        shutil.rmtree(env, ignore_errors=True)
        raise


def copy_environment(base: Path, env: Path) -> None:
    """Copy an environment. It bears its name only when all is there, and its record isn't."""
    fresh = env.with_name(f"{FRESH}{os.getpid()}-{env.name}")
    try:
        subprocess.run(["cp", "--archive", "--reflink=auto", str(base), str(fresh)], check=True)
        (fresh / MANIFEST).unlink()
        os.rename(fresh, env)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def sync_disk(folder: Path) -> None:
    """Have all of the file system that ``folder`` is on on the disk (syncfs(2))."""
    import ctypes

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def compile_bytecode(run: Run, env: Path, ours: Path, todo: str) -> None:
    """Byte-compile the environment by the installer's own means.

    In this way, and not in uv's, the same source gives the same byte code everywhere, and what is here can be
    taken over into the user environment.

    Args:
        ours: The folder that the installed package lies in.
    """
    alone = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
    worker = ours / "tljh" / "resources" / "environments" / "bytecode_worker.py"
    run.call([env / "bin" / "python", "-S", worker, env], alone, "byte-compiling", todo)


def write_manifest(env: Path, source: Source, lock: list[str], packages: dict[str, str], sources: dict) -> None:
    """Say, in one step, that the environment is complete and what it holds.

    Args:
        sources: Of the environment before it: the installer finds the plugins' there.
    """
    wheel = str(source.wheel or "")
    manifest = {
        "format": 1,
        "requirements": [{"requirement": source.requirement, "origin": "core"}],
        "lock": [line for line in map(str.strip, lock) if line],
        "packages": packages,
        "sources": {**sources, PROJECT: {"spec": source.spec, "digest": source.digest, "wheel": wheel}},
    }
    fresh = env / f".{MANIFEST}"
    fresh.write_text(json.dumps(manifest, indent=1) + "\n")
    # the manifest must not outlive a power failure that what it speaks of doesn't
    sync_disk(env)
    os.replace(fresh, env / MANIFEST)


# -------------------------------------------------------------------------- one installer at a time, and its page


def take_lock(path: Path, command: str, console: Console) -> int:
    """Hold the install lock until we, and every child that inherits it, have ended.

    Raises:
        Stop: another installer holds it.
    """
    end, told = time.monotonic() + LOCK_PATIENCE, False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(handle, 4096).decode(errors="replace")
            os.close(handle)
        else:
            os.ftruncate(handle, 0)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(handle, json.dumps({"pid": os.getpid(), "command": command, "started": started}).encode())
            return handle
        holders = processes_with({str(path.resolve())})
        holder_problem(text, holders)
        if holders and not told:
            names = ", ".join(f"{holder.name} (pid {holder.pid})" for holder in holders)
            console.say(f"waiting for {names}, which an earlier installer that is gone had started")
            told = True
        if time.monotonic() > end:
            raise Stop(
                f"{path} is still held after {LOCK_PATIENCE / 60:.0f} minutes", "end the processes named above"
            )
        time.sleep(0.3)


def holder_problem(text: str, holders: list[Process]) -> None:
    """Stop when the one who wrote the lock's text still holds the lock."""
    try:
        note = json.loads(text)
        pid = int(note["pid"])
    except (ValueError, KeyError, TypeError):  # being written at this moment
        return
    if pid in [holder.pid for holder in holders]:
        raise Stop(
            f"another installer is at work (pid {pid}, started {note.get('started')}, {note.get('command')})",
            "wait until it has ended, then run the same command again if it is still needed",
        )


def progress_html(lines: str, now: float) -> str:
    """The page: each stage with its state and seconds; nothing else of what the installer knows."""
    import html

    stages: dict[str, tuple[str, float, float]] = collections.OrderedDict()
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, KeyError):  # a line being written
            entry = json.loads(line)
            begun = stages.get(entry["stage"], ("", entry["time"], 0.0))[1]
            stages[entry["stage"]] = (entry["state"], begun, entry["time"])
    rows = ""
    for name, (state, begun, last) in stages.items():
        seconds = (now if state == "started" else last) - begun
        shown = "under way" if state == "started" else state
        rows += f"<tr><td>{html.escape(name)}<td>{html.escape(shown)}<td>{seconds:.0f} s\n"
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
        "<title>JupyterHub is being installed</title><style>body{font:1em sans-serif;margin:3em}"
        "td{padding:.2em 1em}</style><h1>JupyterHub is being installed</h1>"
        f"<p>This page becomes the hub's login page when it is ready.</p><table>\n{rows}</table></html>"
    )


def page_server(port: int, progress: Path):
    """A server that answers every path with the page; it says nothing of who looked."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Page(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a browser to say what it wants

        def do_GET(self) -> None:
            body = progress_html(_text(progress), time.time()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("", port), Page)


def show_progress_page(run: Run, port: int) -> None:
    """Serve the page from a child until the installer ends it, or until nobody is left who would."""
    progress = Path("/run/tljh/progress.jsonl")
    progress.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    progress.write_text("")
    try:
        server = page_server(port, progress)
    except OSError as error:
        run.console.say(f"no progress page: port {port}: {error.strerror}")
        return
    run.console.progress, parent = progress, os.getpid()
    run.page_pid = os.fork()
    if run.page_pid:
        server.server_close()
        run.console.say(f"the stages can be watched at http://ADDRESS-OF-THIS-MACHINE:{port}/")
        return
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(run.lock_fd)  # the page must not keep the next installer waiting
        server.timeout = 1.0
        while os.getppid() == parent:
            server.handle_request()
    finally:
        os._exit(0)


def http_port(config: str) -> int:
    """``http.port`` in the text of config.yaml, read without a YAML parser; the installer reads it properly."""
    section = re.search(r"^http:[ \t]*\n((?:[ \t]+.*\n?|\s*\n)+)", config, re.MULTILINE)
    port = re.search(r"^\s+port:\s*(\d+)", section[1], re.MULTILINE) if section else None
    return int(port[1]) if port else HTTP_PORT


# -------------------------------------------------------------------------------------------------- the whole run


def hand_over(run: Run, env: Path, wishes: Wishes) -> None:
    """Become the installer. Passwords go through memory that no process list shows."""
    arguments, passed = list(wishes.arguments), {"TLJH_LOCK_FD": str(run.lock_fd), "TLJH_UV": run.uv}
    passed["TLJH_BEGAN"] = str(run.began)
    os.set_inheritable(run.lock_fd, True)
    if wishes.passwords:
        secrets = os.memfd_create("tljh-secrets")
        os.write(secrets, json.dumps({"admins": wishes.passwords}).encode())
        os.lseek(secrets, 0, os.SEEK_SET)
        os.set_inheritable(secrets, True)
        passed["TLJH_SECRETS_FD"] = str(secrets)
    if run.page_pid:
        arguments += ["--progress-page-server-pid", str(run.page_pid)]
        passed["TLJH_PROGRESS_FILE"] = str(run.console.progress)
    python = str(env / "bin" / "python")
    # -I: neither the folder that we are called in nor PYTHON* variables decide what a root process imports
    command = [python, "-I", "-m", "tljh.installer", *arguments]
    run.console.log("handing over: " + shlex.join(command))
    run.console.doing = "handing over to the installer"
    sys.stdout.flush()
    os.execve(python, command, {**run.uv_env, **passed})


def bootstrap(argv: list[str], console: Console) -> None:
    """Everything, in order; returns only by an exception, or not at all.

    Raises:
        Stop: something is missing or failed, and what to do.
    """
    wishes, env = parse_arguments(argv), dict(os.environ)
    console.secrets += wishes.passwords.values()
    prefix = Path(os.path.abspath(env.get("TLJH_INSTALL_PREFIX") or "/opt/tljh"))
    source, manifest = None, {}
    if not wishes.bundle:
        source = find_source(globals().get("__file__", ""), env, wishes.version, RELEASES)
    check_host(prefix, env)
    if wishes.bundle:
        manifest = check_bundle(wishes.bundle, console)
    os.umask(0o022)
    run = Run(prefix, env, console)
    run.envs.mkdir(parents=True, exist_ok=True)
    run.state.mkdir(mode=0o700, exist_ok=True)
    command = redact(shlex.join(["bootstrap.py", *wishes.arguments]), console.secrets)
    run.lock_fd = take_lock(run.state / "tljh.lock", command, console)
    console.open_log(prefix / "installer.log")
    console.log(f"settings of pip and uv read: {', '.join(run.settings.read) or 'none'}")
    try:
        if wishes.progress_page:
            show_progress_page(run, http_port(_text(prefix / "config" / "config.yaml")))
        if wishes.bundle:
            kept = keep_bundle(run, wishes.bundle, manifest)
            source = bundle_source(kept, manifest)
            if wishes.arguments[:1] != ["restore"]:  # a backup says itself what there is to be
                wishes = wishes._replace(arguments=wishes.arguments + bundle_arguments(kept, manifest))
        run.uv = find_uv(run)
        hand_over(run, hub_environment(run, source, wishes.version), wishes)
    finally:
        if run.page_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(run.page_pid, signal.SIGTERM)


def interrupt(number: int, _: object) -> None:
    """Turn a signal into an exception, once."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def main(argv: list[str]) -> int:
    """Run, and say in words how it ended.

    Returns:
        The exit status: 1, 2 for a wrong command line, 128 + the signal's number.
    """
    console = Console()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        bootstrap(argv, console)
    except Stop as stop:
        console.complain(str(stop))
        return stop.code
    except Interrupted as end:
        during = f" while {console.doing}" if console.doing else ""
        name = signal.Signals(end.number).name
        console.complain(
            f"ended by {name}{during}; what is finished is kept\n  → the same command goes on from there"
        )
        return 128 + end.number
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            stop = Stop(
                f"the disk is full{where}; what was half done is removed",
                MAKE_ROOM,
            )
        else:
            stop = Stop(f"{error.strerror or error}{where}", "see the message; the same command tries again")
        console.complain(str(stop))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
