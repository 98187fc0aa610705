"""Which system account and groups a hub user has; how accounts are made is in ``tljh.user``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tljh import user
from tljh.normalize import generate_system_username

USERS = "jupyterhub-users"
ADMINS = "jupyterhub-admins"  # /etc/sudoers.d/jupyterhub-admins is about them
PREFIX = "jupyter-"


def system_name(username: str) -> str:
    """Name of the system account of a hub user."""
    return generate_system_username(PREFIX + username)


def extra_groups(username: str, groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The groups of ``users.extra_user_groups`` (group → hub users) that a hub user is in."""
    return tuple(group for group, members in groups.items() if username in members)


@dataclass(frozen=True)
class Account:
    """What must be there before a server starts.

    Attributes:
        name: Of the system account.
        admin: Whether its owner is an admin of the hub, who may use sudo.
        groups: Further groups that it is in.
    """

    name: str
    admin: bool
    groups: tuple[str, ...] = ()

    def ensure(self) -> None:
        """Make the account and its memberships. Starts processes and plugins: not for the hub's event loop.

        Raises:
            TljhError: a program that does it failed.
        """
        user.ensure_user(self.name)
        for group in (USERS, *self.groups):
            user.ensure_group(group)
            user.ensure_user_group(self.name, group)
        if self.admin:
            user.ensure_group(ADMINS)
            user.ensure_user_group(self.name, ADMINS)
        elif ADMINS not in self.groups:
            user.remove_user_group(self.name, ADMINS)
