"""The parent's side of ``stage_host.py``: starts it when it is needed, asks, and names what stopped it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tljh.engine.conversation import Conversation, Silence
from tljh.engine.machine import Machine, redact

DEPLOY = 900.0  # seconds for one stage
DESTROY = 300.0
CHECK = 120.0
LEAVE = 300.0
GRACE = 10.0
"""Seconds beyond a time limit, for the process to interrupt the plugin's code itself; then it is killed."""


class Deployed(NamedTuple):
    """What ``deploy`` came to.

    Attributes:
        outputs: What it put into ``stage_outputs``.
        entered: Whether it is a context that is left when all stages are done.
    """

    outputs: dict[str, Any]
    entered: bool


class StageFailure(Exception):
    """The code of a plugin's stage failed.

    Attributes:
        problem: One sentence: plugin, version, stage and what happened.
        traceback: For the log; empty where the process ended without one.
    """

    def __init__(self, problem: str, traceback: str = "", *, plugin: str = "", stage: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.traceback = traceback
        self.plugin = plugin
        self.stage = stage


@dataclass
class StageHost:
    """The process that runs the code of plugins' stages; it is started by the first request.

    Attributes:
        python: The interpreter of the environment that the plugins are in.
        text: config.yaml as it will be.
        variables: What the process must have in its environment beside ours.
        cwd: Its working folder.
        open: Label and stage of the contexts that were entered and not left.
    """

    machine: Machine
    python: Path
    text: str = field(repr=False)
    prefix: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    open: list[str] = field(default_factory=list)
    _process: Conversation | None = field(default=None, repr=False)
    _gone: bool = False
    _asked: int = 0

    def deploy(
        self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any], *, seconds: float = DEPLOY
    ) -> Deployed:
        """Run ``deploy`` of a stage and keep its context.

        Args:
            label: What messages call the plugin.
            outputs: What earlier stages gave in earlier runs.

        Raises:
            StageFailure: it failed, took too long or ended the process.
        """
        return self._call("deploy", plugin, label, stage, outputs, seconds)

    def destroy(
        self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any], *, seconds: float = DESTROY
    ) -> None:
        """Run ``destroy`` of a stage and keep its context.

        Raises:
            StageFailure: as ``deploy``.
        """
        self._call("destroy", plugin, label, stage, outputs, seconds)

    def check(
        self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any], *, seconds: float = CHECK
    ) -> None:
        """Let a stage look whether it works.

        Raises:
            StageFailure: it does not, or it could not look.
        """
        self._call("check", plugin, label, stage, outputs, seconds)

    def leave(self, error: str | None = None, *, seconds: float = LEAVE) -> list[StageFailure]:
        """Leave all contexts, the last one first.

        Args:
            error: What stopped the install; the contexts see it as an exception.
            seconds: For each of them.

        Returns:
            Those that failed.
        """
        if not self.open:
            return []
        there, self.open = self.open, []
        if self._gone or self._process is None:
            left = ", ".join(there)
            return [StageFailure(f"not ended, because the process that held them is gone: the stages {left}")]
        try:
            answer = self._ask({"do": "leave", "error": error, "seconds": seconds}, seconds * len(there))
        except Silence as silence:
            return [StageFailure(f"{', '.join(there)}: deploy, as it ended, {silence.how}", silence.said)]
        return [
            StageFailure(row["problem"], row.get("traceback", ""), plugin=row["plugin"], stage=row["stage"])
            for row in answer["failures"]
        ]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _call(
        self, what: str, plugin: str, label: str, stage: str, outputs: Mapping[str, Any], seconds: float
    ) -> Deployed:
        request = {"do": what, "plugin": plugin, "stage": stage, "outputs": dict(outputs), "seconds": seconds}
        try:
            answer = self._ask(request, seconds)
        except Silence as silence:
            raise StageFailure(f"{label}: {what} of the stage {stage} {silence.how}", silence.said) from silence
        if "problem" in answer:
            raise StageFailure(answer["problem"], answer.get("traceback", ""), plugin=plugin, stage=stage)
        if answer["entered"]:
            self.open.append(f"{stage} of {label}")
        return Deployed(answer["outputs"], answer["entered"])

    def _ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        if self._gone:
            raise Silence("can't be run: an earlier stage ended the process", "")
        if self._process is None:
            self._process = self._started()
        return self._answer_of(self._process, request, seconds + GRACE)

    def _answer_of(self, process: Conversation, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Tell it a request and wait for the answer to this one: to an earlier one it may come late."""
        self._asked += 1
        try:
            process.tell(json.dumps({"id": self._asked, **request}, default=str))
            while True:
                answer = dict(json.loads(process.hear(timeout)))
                if answer["id"] == self._asked:
                    return answer
        except Silence as silence:
            self._gone = True
            raise Silence(silence.how, redact(silence.said)) from silence
        except KeyboardInterrupt:
            process.interrupt()  # so that it can leave what it has entered
            raise

    def _started(self) -> Conversation:
        command: list[str | Path] = [self.python, "-m", "tljh.plugins.stage_host"]
        # otherwise a file in the working folder that is named like a module of ours would be imported instead
        env = {**self.variables, "PYTHONSAFEPATH": "1"}
        process = self.machine.converse(command, env=env, cwd=self.cwd)
        begin = {"do": "begin", "text": self.text, "prefix": str(self.prefix)}
        try:
            self._answer_of(process, begin, 60.0)
        except Silence as silence:
            raise Silence(f"can't be run: its process {silence.how}", silence.said) from silence
        return process
