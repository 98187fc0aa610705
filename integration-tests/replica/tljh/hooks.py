"""How plugins mark their hooks."""

import pluggy

hookspec = pluggy.HookspecMarker("tljh")
hookimpl = pluggy.HookimplMarker("tljh")


@hookspec
def tljh_custom_jupyterhub_config(c):
    """Change the hub's configuration."""
