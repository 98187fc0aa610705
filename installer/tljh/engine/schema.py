"""The tables of the state database, and how one of an earlier version gets those that came later."""

from __future__ import annotations

SCHEMA_VERSION = 3
"""Of the form ``100 * generation of the schema + step``.

A step only adds tables, so that a program of an earlier step can still use the database: a rollback goes on in the
hub environment of then. What can't be done so begins a new hundred, and programs of the one before refuse.
"""

_FIRST = """
create table runs (id integer primary key, started real not null, ended real, command text not null,
                   actor text not null, outcome text);
create table journal (id integer primary key, run integer not null references runs, time real not null,
                      stage text not null, resource text not null, key text not null, action text not null,
                      before text, after text, origin text not null, result text not null, saved text);
create index journal_of_run on journal (run);
create table blobs (digest text primary key, content blob not null);
create table owned (resource text not null, key text not null, origin text not null,
                    run integer not null, primary key (resource, key));
create table wishes (position integer primary key, kind text not null, value text not null, unique (kind, value));
create table hooks (plugin text not null, hook text not null, inputs text not null, time real not null,
                    keys text not null, primary key (plugin, hook));
create table accounts (name text primary key, uid integer not null, gid integer not null, home text not null,
                       origin text not null);
create table generations (id integer primary key, run integer not null, time real not null, reason text not null,
                          record text not null);
"""

# what plugins bring: what stood in the place of theirs, what their hooks did, the numbers of their accounts
_SECOND = """
create table replaced (resource text primary key, before text not null, saved text, written text not null);
create table deeds (id integer primary key, plugin text not null, kind text not null, name text not null,
                    data text not null, unique (plugin, kind, name));
create table numbers (kind text not null, name text not null, number integer not null, primary key (kind, name));
"""

# what is large in the records of generations, once for all that have it
_THIRD = "create table parts (digest text primary key, content blob not null);"

_STEPS = (_FIRST, _SECOND, _THIRD)


def is_readable(version: int) -> bool:
    """Whether this program can use a database of ``version``, which may be of a later step."""
    return version // 100 == SCHEMA_VERSION // 100


def script(version: int) -> str:
    """What makes the newest schema of one of ``version``, in one transaction; 0 is an empty database."""
    steps = "".join(_STEPS[version:])
    return f"begin; {steps} pragma user_version = {SCHEMA_VERSION}; commit;"
