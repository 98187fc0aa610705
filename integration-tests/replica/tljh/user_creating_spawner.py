"""Makes the account of whoever starts a server."""

from systemdspawner import SystemdSpawner

from tljh import user


class UserCreatingSpawner(SystemdSpawner):
    """Servers of systemd, of accounts ``jupyter-<name>``."""

    def start(self):
        """Make the account first."""
        system_name = f"jupyter-{self.user.name}"
        self.username_template = system_name
        user.ensure_user(system_name)
        user.ensure_user_group(system_name, "jupyterhub-users")
        if self.user.admin:
            self.disable_user_sudo = False
            user.ensure_user_group(system_name, "jupyterhub-admins")
        else:
            self.disable_user_sudo = True
            user.remove_user_group(system_name, "jupyterhub-admins")
        return super().start()
