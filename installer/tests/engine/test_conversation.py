"""A process that answers line by line, as a thread of this one."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import IO, Any

import pytest
from tljh.engine.conversation import Conversation, Silence

Program = Callable[[IO[str], IO[str], IO[str]], int]
"""Reads its input, writes to its output and to its standard error; returns its exit status."""


class FakeProcess:
    """A program that runs in a thread, with pipes."""

    def __init__(self, program: Program) -> None:
        (its_in, our_out), (our_in, its_out), (our_err, its_err) = os.pipe(), os.pipe(), os.pipe()
        self.stdin: IO[str] | None = os.fdopen(our_out, "w")
        self.stdout: IO[str] | None = os.fdopen(our_in)
        self.stderr: IO[str] | None = os.fdopen(our_err)
        self.killed = False
        self.status: int | None = None
        self._streams = (os.fdopen(its_in), os.fdopen(its_out, "w"), os.fdopen(its_err, "w"))
        self._thread = threading.Thread(target=self._run, args=(program,), daemon=True)
        self._thread.start()

    def _run(self, program: Program) -> None:
        try:
            self.status = program(*self._streams)
        finally:
            for stream in self._streams:
                stream.close()

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        if self.killed:
            return -9
        if self._thread.is_alive():
            raise TimeoutError
        return self.status or 0

    def kill(self) -> None:
        self.killed = True


def talk(program: Program, **more: Any) -> tuple[Conversation, FakeProcess]:
    process = FakeProcess(program)
    return Conversation(process, kill=process.kill, **more), process


def ask(conversation: Conversation, line: str, timeout: float) -> str:
    conversation.tell(line)
    return conversation.hear(timeout)


def echo(requests: IO[str], answers: IO[str], errors: IO[str]) -> int:
    for line in requests:
        errors.write(f"asked {line}")
        errors.flush()
        answers.write(line.upper())
        answers.flush()
    return 0


def test_one_answer_for_each_line() -> None:
    said: list[str] = []
    conversation, process = talk(echo, on_line=said.append)
    assert ask(conversation, "one", 5) == "ONE"
    assert ask(conversation, "two", 5) == "TWO"
    conversation.close()
    assert said == ["asked one", "asked two"]
    assert (process.status, process.killed) == (0, False)


def test_a_process_that_ends_instead() -> None:
    def end(requests: IO[str], answers: IO[str], errors: IO[str]) -> int:
        requests.readline()
        errors.write("".join(f"line {number}\n" for number in range(20)))
        return 3

    conversation, _ = talk(end)
    with pytest.raises(Silence) as caught:
        ask(conversation, "one", 5)
    assert caught.value.how == "ended the process (status 3)"
    assert caught.value.said.splitlines() == [f"line {number}" for number in range(5, 20)]
    with pytest.raises(Silence):
        ask(conversation, "two", 0.2)


def test_a_process_that_hangs_is_killed() -> None:
    ended = threading.Event()

    def hang(requests: IO[str], answers: IO[str], errors: IO[str]) -> int:
        ended.wait(20)
        return 0

    conversation, process = talk(hang)
    with pytest.raises(Silence, match=r"^did not end within 0\.05 s$"):
        ask(conversation, "one", 0.05)
    assert process.killed
    ended.set()


def test_one_that_does_not_end_when_there_is_nothing_more_to_ask_is_killed() -> None:
    ended = threading.Event()

    def stubborn(requests: IO[str], answers: IO[str], errors: IO[str]) -> int:
        ended.wait(20)
        return 0

    conversation, process = talk(stubborn)
    conversation.close(timeout=0.05)
    assert process.killed
    ended.set()


def test_without_a_standard_input_nothing_can_be_asked() -> None:
    class Mute:
        stdin = None
        stdout = io.StringIO()
        stderr = io.StringIO()

        def wait(self, timeout: float | None = None) -> int:
            return 0

    conversation = Conversation(Mute(), kill=lambda: None)
    with pytest.raises(RuntimeError, match="without a standard input"):
        conversation.tell("one")
    conversation.close()
