"""A machine that starts nothing, a uv that installs nothing, and things that live in memory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import FileStatus, Machine
from tljh.engine.processes import Completed
from tljh.engine.resource import Diff, Resource, State
from tljh.engine.store import Store
from tljh.errors import CommandFailed
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.resources.conda.environment import CondaBuilder
from tljh.resources.conda.settings import CondaSettings
from tljh.resources.environments.python_environment import Builder
from tljh.stages.context import Context, Options

Answer = str | Completed | BaseException | Callable[[list[str]], "Answer | None"]

RECORDED = Path(__file__).parent


def recorded(name: str) -> str:
    """What a real program or file said once: ``engine/proc-net-tcp`` …"""
    folder, _, file = name.partition("/")
    return (RECORDED / folder / "recorded" / file).read_text()


class FakeMachine(Machine):
    """A machine below a folder: programs answer from a script, and owners are only noted.

    Attributes:
        commands: What was run, as one would type it.
        options: What ``run`` was given beside each command.
        owners: Who everything that was written belongs to; what was not written here is root's.
    """

    def __init__(self, root: Path = Path("/"), answers: Mapping[str, Answer] | None = None) -> None:
        super().__init__(root)
        self.answers = dict(answers or {})
        self.commands: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.owners: dict[tuple[int, int], str] = {}

    def run(self, command: Sequence[str | Path], **options: Any) -> Completed:
        words = [str(word) for word in command]
        words[0] = Path(words[0]).name
        self.commands.append(shlex.join(words))
        self.options.append(options)
        done = self._answer(words)
        for line in done.stderr.splitlines():
            if options.get("on_line"):
                options["on_line"](line)
        if options.get("check", True) and done.returncode:
            raise CommandFailed(words, done.returncode, done.output)
        return done

    def _answer(self, words: list[str]) -> Completed:
        """The longest beginning of the command that has an answer wins; without one it ends well, silently."""
        typed = " ".join(words)
        fitting = [start for start in self.answers if typed.startswith(start)]
        if words[0] == "cp" and not fitting:
            Path(words[-1]).mkdir(parents=True)
        answer: Answer | None = self.answers[max(fitting, key=len)] if fitting else ""
        while callable(answer):
            answer = answer(words)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Completed) else Completed(0, answer or "", "")

    def ran(self, start: str) -> list[str]:
        """The commands that begin so."""
        return [command for command in self.commands if command.startswith(start)]

    def put(self, path: str, text: str | bytes) -> Path:
        """A file that was there before."""
        here = self.at(Path(path))
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(text.encode() if isinstance(text, str) else text)
        here.chmod(0o644)
        return here

    def status(self, path: Path) -> FileStatus | None:
        found = super().status(path)
        return replace(found, owner=self.owners.get(self._number(self.at(path)), "root:root")) if found else None

    def remove(self, path: Path) -> None:
        if super().status(path):
            self.owners.pop(self._number(self.at(path)), None)
        super().remove(path)

    def _chown(self, path: int | Path, owner: str) -> None:
        user, _, group = owner.partition(":")
        self.owners[self._number(path)] = f"{user}:{group or user}"

    @staticmethod
    def _number(path: int | Path) -> tuple[int, int]:
        found = os.fstat(path) if isinstance(path, int) else path.lstat()
        return found.st_dev, found.st_ino


class FakeUv:
    """Answers for uv: environments are folders of empty distributions.

    Args:
        newest: Name → version that a resolve takes where nothing says another; ``1.0`` for the rest.
    """

    def __init__(self, newest: Mapping[str, str] | None = None) -> None:
        self.newest = dict(newest or {})
        self.asked: list[str] = []
        self.preferred: list[str] = []
        self.overrides: list[str] = []

    def __call__(self, words: list[str]) -> Answer:
        if words[1] == "venv":
            make_environment(Path(words[-1]), {})
        elif words[1:3] == ["pip", "compile"]:
            self._compile(words)
        elif words[1:3] == ["pip", "sync"]:
            lines = Path(words[-1]).read_text().splitlines()
            make_environment(Path(_after(words, "--python")).parent.parent, dict(map(_split, _named(lines))))
        elif words[1:3] == ["pip", "install"] and "--requirement" in words:
            for line in _named(Path(_after(words, "--requirement")).read_text().splitlines()):
                add_distribution(Path(_after(words, "--python")).parent.parent, *_split(line), installer="uv")
        elif words[1] == "build":
            name = Path(words[-1]).name.replace("-", "_")
            (Path(_after(words, "-o")) / f"{name}-0.1-py3-none-any.whl").write_text("a wheel")
        return ""

    def _compile(self, words: list[str]) -> None:
        lock = Path(_after(words, "-o"))
        self.asked = Path(words[-1]).read_text().splitlines()
        self.preferred = lock.read_text().splitlines()
        self.overrides = Path(_after(words, "--override")).read_text().splitlines()
        newest = {**self.newest, **dict(map(_split, self.preferred))}
        left_out = {word.partition("=")[2] for word in words if word.startswith("--no-emit-package=")}
        lines = []
        for line in _named(self.asked):
            name, version = _split(line)
            if name in left_out:
                continue
            lines.append(line if " @ " in line else f"{name}=={version or newest.get(name, '1.0')}")
        lock.write_text("".join(f"{line}\n" for line in lines))


def _after(words: Sequence[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def _named(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line and not line.startswith("-")]


def _split(line: str) -> tuple[str, str]:
    if " @ " in line:
        return line.split(" @ ")[0], "0.1"
    name = re.split(r"[^\w.-]", line)[0]
    return name, line.partition("==")[2]


def make_environment(path: Path, packages: Mapping[str, str], *, installer: str = "uv") -> Path:
    """A folder that looks like a Python environment with these distributions and no others."""
    site = path / "lib/python3.11/site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (path / "bin").mkdir(exist_ok=True)
    (path / "bin/python").touch()
    (path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
    for old in site.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    for name, version in packages.items():
        add_distribution(path, name, version, installer=installer)
    return path


def add_distribution(path: Path, name: str, version: str, *, installer: str = "pip") -> None:
    """Install a distribution behind our back; another version of it goes."""
    site = path / "lib/python3.11/site-packages"
    for old in site.glob(f"{name.replace('-', '_')}-*.dist-info"):
        old.rename(site / f"~{old.name}")
        (site / f"~{old.name}" / "METADATA").unlink()
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: {name}\n")
    (folder / "INSTALLER").write_text(f"{installer}\n")


@dataclass
class Things(Resource):
    """A resource whose machine is a dictionary.

    Attributes:
        wanted: What should be there.
        there: What is there; changes are made to it.
        stubborn: Keys that a change does not change, though it says nothing.
        error: What a change raises after its first key.
        calls: Every difference that it was told to mend.
    """

    wanted: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    stubborn: set[str] = field(default_factory=set)
    error: BaseException | None = None
    calls: list[Diff] = field(default_factory=list)
    on_change: Callable[[], None] = lambda: None

    def desired(self) -> State:
        return self.wanted

    def observe(self, facts: Facts) -> State:
        return dict(self.there)

    def change(self, diff: Diff, machine: Machine) -> None:
        self.calls.append(diff)
        self.on_change()
        for key, value in diff.put.items():
            if key not in self.stubborn:
                self.there[key] = value
            if self.error:
                raise self.error
        for key in diff.drop:
            if key not in self.stubborn:
                del self.there[key]


@dataclass
class NotOwned(Things):
    owns: ClassVar[bool] = False


def store_in_memory() -> Store:
    return Store(Path("/nonexistent/tljh.sqlite"), read_only=True)


class FakeConda:
    """Answers for the process in which rattler works: environments are folders of empty records.

    Args:
        machine: Whose answers these are; what the process reads is noted there.
        channel: Name → versions of what can be had, the newest last; ``None`` means any name, in version 1.0.
    """

    COMMAND = "python -I -m tljh.resources.conda.worker"

    def __init__(
        self,
        machine: FakeMachine,
        channel: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.machine = machine
        self.channel = channel
        self.asked: list[dict[str, Any]] = []
        self.fault: dict[str, str] | None = None
        machine.answers[Path(sys.executable).name + self.COMMAND.removeprefix("python")] = self

    def __call__(self, words: list[str]) -> Answer:
        asked = json.loads(self.machine.options[-1]["input"])
        self.asked.append(asked)
        if self.fault:
            return json.dumps(self.fault)
        return json.dumps(self._solve(asked) if asked["op"] == "solve" else self._install(asked))

    def _solve(self, asked: dict[str, Any]) -> dict[str, Any]:
        taken = [next((spec for spec in row if self._has(spec)), None) for row in asked["preferred"]]
        optional = [spec for spec in asked["optional"] if self.channel is not None and self._has(spec)]
        known = {said["name"]: said for said in asked["locked"]}
        found = {}
        for spec in [*asked["specs"], *(spec for spec in taken if spec), *optional]:
            name = re.split(r"[ =<>]", spec)[0]
            exact = spec.partition("==")[2]
            version = exact or ((self.channel or {}).get(name) or ["1.0"])[-1]
            old = known.get(name)
            found[name] = old if old and exact in ("", old["version"]) else conda_package(name, version)
        return {"packages": [found[name] for name in sorted(found)], "taken": taken, "seconds": 0.1}

    def _has(self, spec: str) -> bool:
        return self.channel is None or re.split(r"[ =<>]", spec)[0] in self.channel

    def _install(self, asked: dict[str, Any]) -> dict[str, Any]:
        add_conda_packages(Path(asked["prefix"]), asked["packages"])
        return {"downloaded": [], "seconds": 0.1}


def conda_package(name: str, version: str = "1.0", build: str = "h1_0", **more: Any) -> dict[str, Any]:
    """A package of a channel, as JSON has it."""
    url = f"https://conda.example.org/forge/linux-64/{name}-{version}-{build}.conda"
    said = {"name": name, "version": version, "build": build, "build_number": 0, "subdir": "linux-64"}
    return {**said, "url": url, "sha256": hashlib.sha256(url.encode()).hexdigest(), **more}


def add_conda_packages(path: Path, packages: Sequence[Mapping[str, Any]]) -> None:
    """Make an environment hold exactly these conda packages, and whatever pip put there."""
    meta = path / "conda-meta"
    for folder in (meta, path / "bin", path / "lib/python3.11/site-packages"):
        folder.mkdir(parents=True, exist_ok=True)
    (path / "bin/python").touch()
    for old in meta.glob("*.json"):
        old.unlink()
    for said in packages:
        stem = f"{said['name']}-{said['version']}-{said['build']}"
        (meta / f"{stem}.json").write_text(json.dumps(dict(said)))
        folder = (
            path / f"lib/python3.11/site-packages/{said['name'].replace('-', '_')}-{said['version']}.dist-info"
        )
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Name: {said['name']}\n")
        (folder / "INSTALLER").write_text("conda\n")


def make_context(folder: Path, *, uv: FakeUv | None = None, **settings: Any) -> Context:
    """A context whose prefix is ``folder/tljh``, on a machine that starts nothing."""
    paths = Paths(folder / "tljh")
    for path in (paths.envs, paths.state, paths.config, folder / "scratch"):
        path.mkdir(parents=True, exist_ok=True)
    machine = FakeMachine(answers={"uv": uv or FakeUv(), "uv --version": "uv 0.0\n"})
    builder = Builder(machine, Path("uv"), Path("/usr/bin/python3"), paths.cache / "uv", say=lambda text: None)
    known: dict[str, Any] = {
        "paths": paths,
        "options": Options(),
        "machine": machine,
        "facts": Facts(machine),
        "store": store_in_memory(),
        "reporter": Reporter(quiet=True),
        "builder": builder,
        "conda": CondaBuilder(
            machine,
            builder,
            paths.cache / "conda",
            settings=CondaSettings,
            private=folder / "scratch",
            say=lambda text: None,
        ),
        "scratch": folder / "scratch",
        "planning": False,
        "with_systemd": True,
    }
    return Context(**{**known, **settings})


def real(path: Path) -> Path:
    """``path`` without links; the folder that pytest gives may lie behind one."""
    return Path(os.path.realpath(path))
