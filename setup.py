"""Packaging metadata. The build system and the tools' settings are in ``pyproject.toml``."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The lines of one of our requirement lists that say something."""
    text = (here / "installer" / "tljh" / "requirements" / name).read_text()
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


class BuildWithBootstrap(build_py):
    """Puts ``bootstrap.py`` into the wheel: `tljh bundle create` makes bundles with it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "tljh", "bootstrap.py")
            self.copy_file(str(here / "bootstrap" / "bootstrap.py"), str(target))


setup(
    # the name that plugins require: whoever asks for TLJH gets this installation
    name="the-littlest-jupyterhub",
    version="3.0.0.dev0",
    description="A JupyterHub for one server, installed by one command and kept that way",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    python_requires=">=3.10",
    package_dir={"": "installer"},
    packages=find_packages("installer", include=["tljh", "tljh.*"]),
    package_data={"tljh": ["requirements/*.txt", "py.typed"]},
    cmdclass={"build_py": BuildWithBootstrap},
    install_requires=requirements("hub.txt"),
    entry_points={
        "console_scripts": [
            "tljh = tljh.cli:main",
            "tljh-config = tljh.cli.config:main",
        ]
    },
)
