"""What stands in the files of a new plugin; ``<<word>>`` is replaced by ``scaffold.py``."""

from __future__ import annotations

PYPROJECT = """\
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "<<distribution>>"
version = "0.1.0"
description = "<<title>>: <<about>>"
readme = "README.md"
requires-python = ">=3.10"
dependencies = []  # what the module imports itself; never TLJH, which is there already

# this is what makes the package a plugin: its name, and where its hooks are
[project.entry-points.tljh]
<<plugin>> = "<<value>>"

[tool.setuptools.packages.find]
where = ["src"]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""

GITIGNORE = """\
__pycache__/
*.egg-info/
/build/
/dist/
"""

README = """\
# <<distribution>>

A plugin for The Littlest JupyterHub: <<about>>

## Use it

On the server, as root:

```bash
tljh plugin add <<distribution>>     # once it is published; until then the path of this folder
tljh plugin info <<plugin>>
tljh plugin remove <<plugin>>        # takes away all that it brought
```

Adding and removing show what will be changed, and ask.

## Work on it

```bash
tljh plugin check .        # hooks, signatures, answers and packaging, as an install would see them
pytest                     # its own tests
tljh plugin add .          # again after each change: the content of the folder counts, not the version
```

On a server without pytest, `uv` brings it for one run, beside what the hub's environment has:

```bash
VIRTUAL_ENV=/opt/tljh/hub /opt/tljh/bin/uv run --active --no-project --with pytest pytest
```

## Publish it

Raise `version` in `pyproject.toml`, then `uv build` and `uv publish`. Others install it with
`tljh plugin add <<distribution>>`.
"""

FUNCTIONS = '''\
"""<<title>>: <<about>>

Each hook is a function with a name of TLJH's and the mark ``@hookimpl``. Take out what you don't need.
"""

from tljh.hooks import hookimpl


@hookimpl
def tljh_extra_user_pip_packages():
    """Python packages for everybody's notebooks."""
    return ["cowsay>=6"]


@hookimpl
def tljh_custom_jupyterhub_config(c):
    """Anything that a jupyterhub_config.py can do; runs at each start of the hub."""
    c.JupyterHub.template_vars.update({"announcement": "<<title>> says hello"})
'''

TEST_FUNCTIONS = '''\
"""The hooks are plain functions, so they are simply called."""

from types import SimpleNamespace

import <<module>>
from tljh import PluginManager


def test_it_is_a_plugin():
    manager = PluginManager(plugins=[<<module>>])
    assert manager.hook.tljh_extra_user_pip_packages() == [["cowsay>=6"]]


def test_the_announcement():
    c = SimpleNamespace(JupyterHub=SimpleNamespace(template_vars={}))
    <<module>>.tljh_custom_jupyterhub_config(c)
    assert c.JupyterHub.template_vars == {"announcement": "<<title>> says hello"}
'''

TYPED = '''\
"""<<title>>: <<about>>

The fields are the plugin's settings: an admin writes them below ``plugins.<<plugin>>`` in config.yaml, they are
checked, and the hooks find them in ``self``.
"""

from pydantic import Field
from tljh import Plugin, hookimpl


class <<type>>(Plugin):
    """<<title>>."""

    announcement: str = Field("<<title>> says hello", description="Shown on every page of the hub.")
    packages: list[str] = Field(["cowsay>=6"], description="Python packages for everybody's notebooks.")

    @hookimpl
    def tljh_extra_user_pip_packages(self):
        """Python packages for everybody's notebooks."""
        return self.packages

    @hookimpl
    def tljh_custom_jupyterhub_config(self, c):
        """Anything that a jupyterhub_config.py can do; runs at each start of the hub."""
        c.JupyterHub.template_vars.update({"announcement": self.announcement})
'''

TEST_TYPED = '''\
"""A typed plugin is made with its settings, as an install makes it from config.yaml."""

from types import SimpleNamespace

import pytest
from <<module>> import <<type>>
from pydantic import ValidationError
from tljh import PluginManager


def test_its_settings_reach_the_hooks():
    manager = PluginManager(plugins=[<<type>>(packages=["numpy"])])
    assert manager.hook.tljh_extra_user_pip_packages() == [["numpy"]]


def test_the_announcement():
    c = SimpleNamespace(JupyterHub=SimpleNamespace(template_vars={}))
    <<type>>(announcement="Hi").tljh_custom_jupyterhub_config(c)
    assert c.JupyterHub.template_vars == {"announcement": "Hi"}


def test_a_wrong_setting_is_refused():
    with pytest.raises(ValidationError):
        <<type>>(packages=3)
'''

STAGES = '''\
"""<<title>>: <<about>>

A stage is a named part of an install. What it declares is planned, compared, owned and taken away again with the
plugin; ``deploy`` and ``destroy`` (not here) are for what can't be declared.
"""

from pathlib import Path

from tljh import Stage, hookimpl
from tljh.declare import File, Folder

FOLDER = "/srv/<<plugin>>"


class <<type>>(Stage):
    """A folder that everybody can read, with a note in it."""

    name = "<<plugin>>"
    priority = 65  # after the accounts (60), before the services (80)

    def resources(self, context):
        """What should be there; nothing is changed here."""
        yield Folder(path=FOLDER)
        yield File(path=f"{FOLDER}/README.txt", content="<<title>> says hello\\n")

    def check(self, stage_outputs):
        """Runs after the resources are as wanted; raise an error if it doesn't work."""
        if not Path(FOLDER, "README.txt").is_file():
            raise RuntimeError(f"{FOLDER}/README.txt is missing")


@hookimpl
def tljh_stages():
    """The stages that this plugin adds."""
    return [<<type>>]
'''

TEST_STAGES = '''\
"""What a stage declares is data, so it is simply compared."""

from types import SimpleNamespace

import <<module>>
from <<module>> import <<type>>
from tljh import PluginManager


def test_it_is_a_plugin():
    assert PluginManager(plugins=[<<module>>]).hook.tljh_stages() == [[<<type>>]]


def test_what_it_declares():
    context = SimpleNamespace(config={}, prefix="/opt/tljh", settings={})
    folder, note = <<type>>(context).resources(context)
    assert folder.path == "/srv/<<plugin>>"
    assert note.content == "<<title>> says hello\\n"
'''

# style → module, test, what it does
BY_STYLE = {
    "functions": (FUNCTIONS, TEST_FUNCTIONS, "a package for everybody, and a sentence on the hub's pages."),
    "typed": (
        TYPED,
        TEST_TYPED,
        "a package for everybody, and a sentence on the hub's pages, both as you set them.",
    ),
    "stages": (STAGES, TEST_STAGES, "a folder with a note that everybody can read."),
}
