"""A prefix that can be locked: rattler, uv and conda-lock answer as the real ones do."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes import Answer, FakeConda, FakeMachine, FakeUv, conda_package, make_context
from ruamel.yaml import YAML
from tljh.configurer import with_defaults
from tljh.resources.locks.conda_lock_environment import SCRIPT
from tljh.resources.locks.lock import CondaPackage, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.locks import locking

FILES = "https://files.example.org"
ASKED = (
    Requested("forge", "config.yaml", "channel"),
    Requested("python >=3.10", "core", "conda"),
    Requested("jupyterlab>=4", "core", "either"),
    Requested("cowsay", "x"),
)
CHANNEL = {"python": ["3.11.2"], "jupyterlab": ["4.1", "4.4"], "numpy": ["1.26", "2.1"], "r": ["1.0"]}


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def package(name: str, version: str = "1.0", **more: Any) -> CondaPackage:
    """A conda package with all that a lock needs."""
    return CondaPackage.of(conda_package(name, version, **{"md5": "0" * 32, **more}))


class LockConda(FakeConda):
    """Knows whether specs are met, too: by the name, and by the version after ``==`` or ``>=``."""

    def __init__(self, machine: FakeMachine, channel: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(machine, channel)
        self.lacks: list[list[str]] = []

    def __call__(self, words: list[str]) -> Answer:
        asked = json.loads(self.machine.options[-1]["input"])
        if asked["op"] != "check" or self.fault:
            return super().__call__(words)
        self.asked.append(asked)
        there = {said["name"]: said["version"] for said in asked["packages"]}
        return json.dumps({"unmet": [s for s in asked["specs"] if not _met(s, there)], "machine": self.lacks})

    def _solve(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = super()._solve(asked)
        for said in answer["packages"]:
            said["md5"] = "0" * 32
            said["url"] = said["url"].replace("linux-64", asked["platform"])
            said["subdir"] = asked["platform"]
        return answer


def _met(spec: str, there: Mapping[str, str]) -> bool:
    name, _, asked = spec.partition(" ")
    if asked.startswith(">="):
        return name in there and _number(there[name]) >= _number(asked[2:])
    return name in there and asked in ("", f"=={there[name]}")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class LockUv(FakeUv):
    """Writes ``pylock.toml`` and hashes, too; every package has one wheel for any platform.

    Attributes:
        flags: What the last of them was told beside the requirements.
    """

    def __init__(self, newest: Mapping[str, str] | None = None) -> None:
        super().__init__(newest)
        self.flags: list[str] = []

    def __call__(self, words: list[str]) -> Answer:
        if words[1:3] in (["pip", "install"], ["pip", "sync"]):
            listed = Path(words[-1])
            lines = [line.partition(" --hash=")[0] for line in listed.read_text().splitlines()]
            listed.write_text("".join(f"{line}\n" for line in lines))
        if words[1:3] != ["pip", "compile"]:
            return super().__call__(words)
        self.flags = words[3:-1]
        if "--format" not in words:
            if "--generate-hashes" in words and "-o" not in words:
                lines = [line for line in Path(words[-1]).read_text().splitlines() if not line.startswith("-")]
                return "".join(f"{line} --hash=sha256:{sha256(line)}\n" for line in lines)
            return super().__call__([*words, "--override", "/dev/null"] if "--override" not in words else words)
        lock = Path(words[words.index("-o") + 1])
        self.preferred = lock.read_text().splitlines() if lock.exists() else []
        self.asked = Path(words[-1]).read_text().splitlines()
        left_out = {word.partition("=")[2] for word in words if word.startswith("--no-emit-package=")}
        seeds = dict(re.findall(r'name = "(.*)"\nversion = "(.*)"', "\n".join(self.preferred)))
        rows = [self._row(line, seeds) for line in self.asked if not line.startswith("-")]
        lock.write_text("".join(text for name, text in rows if name not in left_out) or "packages = []\n")
        return ""

    def _row(self, line: str, seeds: Mapping[str, str]) -> tuple[str, str]:
        name, at, url = line.partition(" @ ")
        if at:
            hashes = f'{{ sha256 = "{sha256(url)}" }}'
            said = f'archive = {{ url = "{url}", hashes = {hashes} }}'
            return name, f'[[packages]]\nname = "{name}"\nversion = "0.1"\n{said}\n'
        name = line.split("=")[0].split(">")[0].split("<")[0]
        version = line.partition("==")[2] or seeds.get(name) or self.newest.get(name, "1.0")
        place = f"{FILES}/{name}-{version}-py3-none-any.whl"
        wheel = f'{{ url = "{place}", hashes = {{ sha256 = "{sha256(f"{name}=={version}")}" }} }}'
        return name, f'[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [{wheel}]\n'


def conda_lock(machine: FakeMachine) -> None:
    """Let conda-lock write what it is told, in its own form."""

    def written(words: list[str]) -> str:
        said = json.loads(machine.options[-1]["input"])
        return text_of(said)

    machine.answers[f"python -I {SCRIPT}"] = written


def text_of(document: Mapping[str, Any]) -> str:
    """The text of a ``conda-lock.yml``, as conda-lock writes it."""
    metadata = {
        "content_hash": document["content_hash"],
        "channels": [{"url": url, "used_env_vars": []} for url in document["channels"]],
        "platforms": document["platforms"],
        "sources": document["sources"],
        "custom_metadata": document["custom"],
    }
    package = [{**entry, "category": "main", "optional": False} for entry in document["packages"]]
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump({"version": 1, "metadata": metadata, "package": package}, text)
    return text.getvalue()


class Locked:
    """A prefix with a hub environment and a user environment, and what an admin does with it."""

    def __init__(self, folder: Path, provider: str = "conda") -> None:
        self.uv = LockUv({"cowsay": "6.0", "jupyterlab": "4.4"})
        self.context: Context = make_context(folder, uv=self.uv, config=with_defaults({}))
        assert isinstance(self.context.machine, FakeMachine)
        self.machine = self.context.machine
        self.machine.answers["python3 --version"] = "Python 3.11.2\n"
        conda_lock(self.machine)
        self.conda = LockConda(self.machine, dict(CHANNEL))
        self.provider = provider
        self.asked: list[Requested] = list(ASKED)
        if provider == "pypi":
            self.asked = [Requested("jupyterlab>=4", "core"), Requested("cowsay", "x")]

    def options(self, **options: Any) -> None:
        self.context.options = replace(self.context.options, **options)

    def settle(self) -> tuple[Lock, Path]:
        """What the user environment comes to, in a new run."""
        self.context.facts.refresh()
        self.context.held = None
        self.conda.asked.clear()
        locking.look(self.context)
        return locking.settle(self.context, self.context.paths.user, self.asked, self.provider)

    def build(self) -> Path:
        """The same, built and switched to."""
        lock, path = self.settle()
        if not path.exists() or path in self.context.conda.begun:
            self.context.builder_of(lock).build(lock, path)
        self.context.paths.user.unlink(missing_ok=True)
        self.context.paths.user.symlink_to(f"envs/{path.name}")
        self.context.user_lock, self.context.user_target = lock, path
        self.context.facts.refresh()
        return path

    def hub(self, *lines: str) -> None:
        """A hub environment of these packages."""
        path = self.context.paths.envs / "hub-1"
        rows = tuple(Requested(line, "core") for line in lines)
        self.context.builder.build(Lock(rows, lines), path)
        self.context.paths.hub.symlink_to("envs/hub-1")
        self.context.facts.refresh()
