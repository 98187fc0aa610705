"""The accounts and groups that this system knows (passwd(5), group(5)), from wherever it knows them."""

from __future__ import annotations

import grp
import pwd


def account(name: str) -> pwd.struct_passwd | None:
    """The account of this name; ``None`` where there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def group(name: str) -> grp.struct_group | None:
    """The group of this name; ``None`` where there is none."""
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def user_name(uid: int) -> str:
    """The account with this number; the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The group with this number; the number where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
