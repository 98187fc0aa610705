"""Accounts and groups."""

import pwd
import subprocess


def ensure_user(name):
    """An account with a home that others can't read."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", name], check=True)
        subprocess.run(["chmod", "o-rwx", f"/home/{name}"], check=True)


def ensure_group(name):
    """A group."""
    subprocess.run(["groupadd", "--force", name], check=True)


def ensure_user_group(name, group):
    """An account in a group."""
    subprocess.run(["gpasswd", "--add", name, group], check=True, stdout=subprocess.DEVNULL)


def remove_user_group(name, group):
    """An account that is no more in a group."""
    subprocess.run(["gpasswd", "--delete", name, group], check=False, capture_output=True)
