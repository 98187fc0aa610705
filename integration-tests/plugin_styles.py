"""Plugins in the styles of published ones, each with an effect that can be seen.

What they do is what such plugins do; the code is ours.
"""

from __future__ import annotations

from plugin_packages import Package

QUOTA = Package(
    "tljh-quota",
    """
    from pathlib import Path

    from tljh.config import CONFIG_FILE
    from tljh.hooks import hookimpl
    from tljh.yaml import yaml

    @hookimpl
    def tljh_config_post_install(config):
        config["quota"] = {"soft": "1G", **config.get("quota", {})}

    @hookimpl
    def tljh_post_install():
        with open(CONFIG_FILE) as file:
            settings = yaml.load(file)
        Path("/etc/quota.test").write_text(f"soft {settings['quota']['soft']}\\n")
    """,
)

UNIT = Package(
    "tljh-unit",
    """
    from tljh.hooks import hookimpl
    from tljh.systemd import enable_service, install_unit, reload_daemon, start_service

    UNIT = "[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"

    @hookimpl
    def tljh_post_install():
        install_unit("plugin-clock.service", UNIT)
        reload_daemon()
        enable_service("plugin-clock.service")
        start_service("plugin-clock.service")
    """,
)

SPAWNER = Package(
    "tljh-spawner",
    """
    from tljh.hooks import hookimpl
    from tljh.user_creating_spawner import UserCreatingSpawner

    class CourseSpawner(UserCreatingSpawner):
        def get_env(self):
            return {**super().get_env(), "COURSE": "statistics"}

    @hookimpl
    def tljh_custom_jupyterhub_config(c):
        c.JupyterHub.spawner_class = CourseSpawner
    """,
)

ORDER = [
    Package(
        f"tljh-{name}",
        f"""
        from tljh.hooks import hookimpl

        @hookimpl{mark}
        def tljh_custom_jupyterhub_config(c):
            c.Test.order = c.Test.get("order", "") + "{name} "
            c.JupyterHub.tornado_settings = {{"headers": {{"X-Order": c.Test.order}}}}
        """,
    )
    for name, mark in (("alpha", "(trylast=True)"), ("beta", ""), ("gamma", "(tryfirst=True)"))
]
"""Called as gamma, beta, alpha."""

INDEX = Package(
    "tljh-index",
    """
    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_extra_user_pip_packages():
        return ["--extra-index-url=http://127.0.0.1:8077/simple", "only-in-this-index"]
    """,
)
ONLY_THERE = Package("only-in-this-index", "HERE = 'from the other index'\n", entry="-")

FOLDERS = Package(
    "tljh-folders",
    """
    import subprocess
    from pathlib import Path

    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_config_post_install(config):
        Path("/srv/shared").mkdir(exist_ok=True)
        subprocess.run(["ln", "-s", "/srv/shared", "/etc/skel/shared"])  # a second time makes a link in the folder
        config.setdefault("user_environment", {})["default_app"] = "jupyterlab"
    """,
)

NOTHING = Package(
    "tljh-nothing",
    """
    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_extra_user_pip_packages():
        return None

    @hookimpl
    def tljh_extra_apt_packages():
        pass
    """,
)

CLASS = Package(
    "tljh-class",
    """
    import pwd
    from pathlib import Path

    from tljh.hooks import hookimpl

    class Greeter:
        text = "hello"

        @hookimpl
        def tljh_new_user_create(self, username):
            Path(pwd.getpwnam(username).pw_dir, "greeting.txt").write_text(f"{self.text} {username}")
    """,
    entry="tljh_class:Greeter",
)

REQUIRES = Package(
    "tljh-requires",
    """
    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_custom_jupyterhub_config(c):
        c.JupyterHub.template_vars.update({"announcement": "requires TLJH and got it"})
    """,
    requires=["the-littlest-jupyterhub @ git+https://git.invalid/jupyterhub/the-littlest-jupyterhub"],
)

ENVIRONMENTS = Package(
    "tljh-teaching",
    """
    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_environments():
        return {"teaching": {"title": "Teaching", "packages": {"pip": ["art"]}}}
    """,
)

ALL = [QUOTA, UNIT, SPAWNER, *ORDER, INDEX, FOLDERS, NOTHING, CLASS, REQUIRES, ENVIRONMENTS]
