"""What a plugin that has stages of its own is written against: ``tljh.Stage``.

Here are the class, the context that it is given, and how its data is described for the installer, which never
imports a plugin. Its code (``deploy``, ``destroy``, ``check``) runs in ``stage_host.py``.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tljh.engine import build
from tljh.paths import Paths
from tljh.plugins.values import WrongValue, shown

if TYPE_CHECKING:
    from tljh.declare import Declared

IMPERATIVE = ("deploy", "destroy", "check")
"""The methods that are code, not data."""

_MOST = 10_000  # an iterator without an end must not fill the memory


@dataclass(frozen=True)
class StageContext:
    """What a stage may know.

    Attributes:
        config: config.yaml as it will be, with all defaults.
        prefix: Where this installation is: ``/opt/tljh``.
        settings: What config.yaml says for its plugin (``plugins.NAME``), with the defaults of a typed plugin.
    """

    config: Mapping[str, Any]
    prefix: Path = field(default_factory=lambda: Paths.from_environment().prefix)
    settings: Mapping[str, Any] = field(default_factory=dict)


class Stage(build.Stage[StageContext]):
    """A part of an install that a plugin adds, or puts in the place of another.

    Every method is optional. ``resources`` and ``render`` say what there is to be, and are called while planning;
    the others are code, which runs in an install only.

    Attributes:
        name: What the admin sees. A stage of the same name and a lower priority is replaced.
        priority: Lower runs earlier; the core's own go from 20 (config) to 100 (plugins' hooks).
        context: What it was made with.
    """

    name = ""
    priority = 50

    def __init__(self, context: StageContext) -> None:
        self.context = context

    def resources(self, context: StageContext) -> Iterable[Declared]:  # type: ignore[override]  # data, not a Resource
        """What there is to be on the machine, as ``tljh.declare`` has it."""
        return ()

    def render(self) -> Mapping[str | Path, str]:
        """Files that are to be there: absolute path → text. They belong to root and all can read them."""
        return {}

    def deploy(self, stage_outputs: dict[str, Any]) -> Any:
        """Do what can't be declared, when this stage's resources are as wanted.

        A context manager (``contextlib.contextmanager``) goes on after its ``yield`` when all stages are done, or
        sees there the exception that stopped them. What it yields, or a plain function returns, is
        ``stage_outputs[name]`` for later stages: anything that JSON can hold.
        """

    def destroy(self, stage_outputs: dict[str, Any]) -> Any:
        """Take back what ``deploy`` did, when nobody wants this stage any more. May be a context manager."""

    def check(self, stage_outputs: dict[str, Any]) -> Any:  # type: ignore[override]  # see ``resources``
        """Look whether it works: raise, or return ``False`` or a sentence, where it does not."""


class StageFailed(Exception):
    """The code of a stage failed; the text says where, the cause is what the plugin raised."""


def describe_stages(returned: Iterable[object], context: StageContext | None = None) -> list[dict[str, Any]]:
    """The stages that ``tljh_stages`` returned, as data: what they are, and what they want on the machine.

    Args:
        returned: What the hook returned, once for each implementation; ``None`` is nothing.
        context: What the stages are made with.

    Returns:
        For each stage its ``name``, ``priority``, what it ``has`` (of ``IMPERATIVE``), its ``resources`` and the
        files that it ``rendered``.

    Raises:
        WrongValue: a stage is none, or says what can't be used.
        StageFailed: a stage's own code failed.
    """
    context = context or StageContext({})
    return [_described(found, context) for found in stage_classes(returned)]


def stage_classes(returned: Iterable[object]) -> list[type[Stage]]:
    """The classes that ``tljh_stages`` returned, in order.

    Raises:
        WrongValue: it is something else, or one of them has no name or no priority.
    """
    found: list[type[Stage]] = []
    for value in returned:
        if value is None:
            continue
        if isinstance(value, (str, bytes, Mapping, type)) or not isinstance(value, Iterable):
            raise WrongValue(f"returned {shown(value)} instead of a list of tljh.Stage classes")
        found += [_checked(item) for item in itertools.islice(value, _MOST)]
    return found


def instance(found: type[Stage], context: StageContext) -> Stage:
    """A stage, made.

    Raises:
        StageFailed: its constructor failed.
    """
    try:
        return found(context)
    except Exception as error:
        raise _failed(found, "making it", error) from error


def _checked(item: object) -> type[Stage]:
    if not (inspect.isclass(item) and issubclass(item, Stage)):
        raise WrongValue(f"returned a list with {shown(item)} in it, which is no subclass of tljh.Stage")
    name, priority = item.name, item.priority
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or ":" in name:
        what = f"whose name is {shown(name)}"
        raise WrongValue(f"returned the stage {item.__name__}, {what}; it is a text in one line without a colon")
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise WrongValue(f"returned the stage {name}, whose priority is {shown(priority)}; it is a whole number")
    return item


def _described(found: type[Stage], context: StageContext) -> dict[str, Any]:
    stage = instance(found, context)
    try:
        declared = list(itertools.islice(stage.resources(context) or (), _MOST))
    except Exception as error:
        raise _failed(found, "resources()", error) from error
    try:
        rendered = stage.render() or {}
    except Exception as error:
        raise _failed(found, "render()", error) from error
    return {
        "name": found.name,
        "priority": found.priority,
        "has": [name for name in IMPERATIVE if getattr(found, name) is not getattr(Stage, name)],
        "resources": [_as_dict(found, item) for item in declared],
        "rendered": _texts(found, rendered),
    }


def _as_dict(found: type[Stage], item: object) -> dict[str, Any]:
    as_dict = getattr(item, "as_dict", None)
    if not callable(as_dict) or isinstance(item, type):
        raise WrongValue(
            f"returned the stage {found.name}, whose resources() yields {shown(item)}; "
            "it yields what tljh.declare has (File, Unit …)"
        )
    return dict(as_dict())


def _texts(found: type[Stage], rendered: object) -> dict[str, str]:
    wrong = f"returned the stage {found.name}, whose render() returns"
    if not isinstance(rendered, Mapping):
        raise WrongValue(f"{wrong} {shown(rendered)}; it returns a mapping of paths to texts")
    for path, text in rendered.items():
        if not isinstance(path, (str, Path)) or not Path(path).is_absolute():
            raise WrongValue(f"{wrong} the path {shown(path)}; it is absolute: /etc/…")
        if not isinstance(text, str):
            raise WrongValue(
                f"{wrong} {shown(text)} for {path}; it is a text (for bytes: tljh.declare.File in resources())"
            )
    return {str(path): str(text) for path, text in rendered.items()}


def _failed(found: type[Stage], what: str, error: Exception) -> StageFailed:
    text = " ".join(str(error).split())
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return StageFailed(f"stage {found.name}, {what}: {said}")
