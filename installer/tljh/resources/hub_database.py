"""The hub's database as a resource: its schema is the one that the hub reads which is to be started.

JupyterHub migrates it one way (alembic). A copy is made before that, and a hub that cannot read what is there gets
back the newest copy that it can read. Both happen beside the database, which is replaced in one step.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine import sqlite
from tljh.engine.facts import Facts
from tljh.engine.files import put_in_place
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import TljhError
from tljh.resources.service import Manager

REVISION = "revision"
KEPT_COPIES = 10
HUB = "jupyterhub"
_ASSIGNED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*(.+?)\s*$", re.MULTILINE)
_UPGRADE = "import sys; from jupyterhub.dbutil import upgrade; upgrade(sys.argv[1])"


@dataclass(frozen=True)
class Schema:
    """What a version of JupyterHub can read.

    Attributes:
        head: The revision that its database must have.
        known: All revisions that it can migrate to that.
    """

    head: str
    known: frozenset[str]


def schema_of(environment: Path) -> Schema | None:
    """The schema of the JupyterHub in an environment, from its migrations; ``None`` where it has none."""
    known: set[str] = set()
    replaced: set[str] = set()
    for file in environment.glob("lib/python3*/site-packages/jupyterhub/alembic/versions/*.py"):
        said = dict(_ASSIGNED.findall(file.read_text()))
        if REVISION in said:
            known.add(ast.literal_eval(said[REVISION]))
            before = ast.literal_eval(said.get("down_revision", "None"))
            replaced |= {before} if isinstance(before, str) else set(before or ())
    heads = known - replaced
    return Schema(heads.pop(), frozenset(known)) if len(heads) == 1 else None


def revision_of(path: Path) -> str:
    """The revision of a hub's database; empty where there is none, or it can't be read."""
    try:
        with sqlite.reading(path) as database:
            row = database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def keep(path: Path, folder: Path, machine: Machine) -> None:
    """Keep a copy of a hub's database, named after its revision and the time."""
    machine.make_directory(folder, mode=0o700)
    name = f"{HUB}-{revision_of(path) or 'unknown'}-{time.strftime('%Y%m%d-%H%M%S')}.sqlite"
    sqlite.copy(path, folder / name)


# ---- what a copy does not know


@dataclass(frozen=True)
class Server:
    """A person's server that runs.

    Attributes:
        state: What its spawner needs to find it again, as JSON.
    """

    user: str
    name: str
    started: str
    state: str


@dataclass(frozen=True)
class Loss:
    """What is lost when a copy takes the place of the database."""

    users: Sequence[str]
    tokens: int
    servers: Sequence[Server]

    @property
    def in_words(self) -> str:
        """For people: how many users and tokens, whose servers must stop."""
        users = f"{_count(len(self.users), 'user')} ({', '.join(self.users)})" if self.users else "no users"
        names = sorted({server.user for server in self.servers})
        stop = f"{_count(len(names), 'server')} must stop ({', '.join(names)})" if names else "no server must stop"
        return f"{users} and {_count(self.tokens, 'token')} that came since are lost; {stop}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"


def loss(now: Path, then: Path) -> Loss:
    """Compare a database with an earlier copy of it."""
    users, tokens, servers = _contents(now)
    old_users, old_tokens, old_servers = _contents(then)
    known = {(server.user, server.name, server.started) for server in old_servers}
    gone = [server for server in servers if (server.user, server.name, server.started) not in known]
    return Loss(sorted(users - old_users), len(tokens - old_tokens), gone)


def _contents(path: Path) -> tuple[set[str], set[str], list[Server]]:
    query = (
        "select u.name, s.name, s.started, s.state from spawners s join users u on u.id = s.user_id"
        " where s.server_id is not null"
    )
    try:
        with sqlite.reading(path) as database:
            users = {str(row[0]) for row in database.execute("select name from users")}
            # those of services are in the configuration
            hashed = database.execute("select hashed from api_tokens where user_id is not null")
            tokens = {str(row[0]) for row in hashed}
            servers = [Server(*(str(value or "") for value in row)) for row in database.execute(query)]
    except sqlite3.Error as error:
        raise TljhError(f"the hub's database {path} cannot be read: {error}") from error
    return users, tokens, servers


def stop_server(machine: Machine, server: Server) -> None:
    """End a person's server that the hub will not know any more."""
    try:
        state: dict[str, Any] = json.loads(server.state or "{}")
    except ValueError:
        state = {}
    if state.get("unit_name"):
        machine.run(["systemctl", "stop", f"{state['unit_name']}.service"], check=False, timeout=120.0)
    elif state.get("pid"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(state["pid"]), signal.SIGTERM)


# ---- the resource


@dataclass
class HubDatabase(Resource):
    """The database of the hub that is to be started.

    Attributes:
        path: A file of SQLite's.
        schema: Of that hub.
        environment: Where that hub is.
        copies: The folder of copies.
        earlier: A copy to go back to, where the hub can't read what is there.
        rehearse: Raises what would keep that hub from starting; called before the one that runs is stopped.
        starts: Whether nothing else will start the hub again that is stopped here.
    """

    path: Path
    schema: Schema | None
    environment: Path
    copies: Path
    manager: Manager
    earlier: Path | None = None
    rehearse: Callable[[Machine], None] | None = None
    starts: bool = False
    _lost: list[Loss] = field(default_factory=list)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        # without a database the hub makes its own
        return {REVISION: self.schema.head} if self.schema and revision_of(self.path) else {}

    def observe(self, facts: Facts) -> State:
        found = revision_of(self.path)
        return {REVISION: found} if found else {}

    def effect(self, diff: Diff) -> str:
        if self.earlier is None:
            return f"a copy is kept in {self.copies}, then it is migrated"
        lost = loss(self.path, self.earlier).in_words
        return f"{self.earlier.name} takes its place, of which a copy is kept: {lost}"

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.rehearse:
            self.rehearse(machine)
        self.manager.stop(HUB)
        keep(self.path, self.copies, machine)
        if self.earlier:
            for server in loss(self.path, self.earlier).servers:
                stop_server(machine, server)
        self._replace(machine, self.earlier or self.path)
        self._drop_old_copies(machine)
        if self.starts:
            self.manager.start(HUB)

    def _replace(self, machine: Machine, source: Path) -> None:
        """Put a copy of ``source``, migrated as far as need be, in the place of the database."""
        if self.schema is None:
            raise RuntimeError("nothing is wanted of a database whose hub is not known")
        new = self.path.with_name(f".{self.path.name}.migrated")
        status = self.path.stat()
        sqlite.copy(source, new)
        if revision_of(new) != self.schema.head:
            programs = {"PATH": f"{self.environment / 'bin'}:{os.environ.get('PATH', os.defpath)}"}
            python = self.environment / "bin" / "python"
            machine.run([python, "-I", "-c", _UPGRADE, f"sqlite:///{new}"], env=programs, timeout=600.0)
        new.chmod(status.st_mode & 0o777)
        os.chown(new, status.st_uid, status.st_gid)
        sqlite.remove_beside(self.path)
        put_in_place(new, self.path)

    def _drop_old_copies(self, machine: Machine) -> None:
        there = sorted(self.copies.glob(f"{HUB}-*.sqlite"), key=lambda path: path.stat().st_mtime)
        for path in there[:-KEPT_COPIES]:
            machine.remove(path)


def readable_copy(schema: Schema, places: Sequence[Path]) -> Path | None:
    """The newest copy that a hub can read."""
    found = [path for path in places if revision_of(path) in schema.known]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
