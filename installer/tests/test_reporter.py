"""What the admin sees, and what only the log and the progress page are told."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tljh import reporter as module
from tljh.reporter import Reporter, log_to


def test_a_stage_is_a_plain_line_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    with reporter.stage("proxy"):
        reporter.detail("not shown")
        reporter.note("2 created")
        reporter.note("1 changed")
    with reporter.stage("services"):
        pass
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["✓", "proxy", "0.0", "s", "2", "created,", "1", "changed"]
    assert lines[1].split() == ["✓", "services", "0.0", "s"]
    assert "\x1b" not in out
    assert err == ""


def test_a_failed_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Reporter().stage("proxy"):
        raise KeyboardInterrupt
    assert capsys.readouterr().out.split()[:2] == ["✗", "proxy"]


def test_a_line_is_not_printed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().stage("preflight", again=1):
        pass
    assert capsys.readouterr().out == ""


def test_a_stage_that_has_nothing_to_do_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    with reporter.stage("lock", idle=True):
        pass
    with reporter.stage("verification", idle=True):
        reporter.note("JupyterHub 6.1.1 answers")
    assert "lock" not in (said := capsys.readouterr().out) and "JupyterHub 6.1.1 answers" in said
    with Reporter(verbose=True).stage("lock", idle=True):
        pass
    assert "lock" in capsys.readouterr().out


def test_details_and_no_secrets_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(verbose=True)
    reporter.detail("fetching https://me:s3cr3t@host/x")
    reporter.detail("  \n")
    assert capsys.readouterr().out == "    fetching https://me:***@host/x\n"


def test_quiet_says_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(quiet=True, verbose=True)
    with reporter.stage("proxy"):
        reporter.detail("x")
        reporter.say("x")
        reporter.warn("look")
    assert capsys.readouterr() == ("", "! look\n")


def test_off_a_terminal_nobody_draws() -> None:
    reporter = Reporter()
    with reporter.stage("proxy"), reporter.drawing() as terminal:
        assert not terminal


def test_a_warning_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter().warn("a key that nobody knows")
    assert capsys.readouterr() == ("", "! a key that nobody knows\n")


def test_a_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    reporter.warn("the disk is nearly full")
    reporter.warn("the disk is nearly full")
    assert capsys.readouterr().err.count("nearly full") == 1


def test_the_log_is_roots_and_holds_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "new" / "installer.log"
    path.parent.mkdir()
    path.touch(0o644)
    log_to(path)
    logging.getLogger("tljh.machine").debug("run: %s", "--password=hunter2")
    Reporter(quiet=True).say("https://me:s3cr3t@host/")
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "DEBUG run: --password=***\n" in text
    assert "INFO https://me:***@host/\n" in text


def test_a_traceback_in_the_log_holds_no_secrets(tmp_path: Path) -> None:
    log_to(tmp_path / "installer.log")
    try:
        raise ValueError("token=abcdef")
    except ValueError:
        logging.getLogger("tljh").exception("a fault")
    text = (tmp_path / "installer.log").read_text()
    assert "Traceback" in text
    assert "abcdef" not in text


def test_the_progress_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "progress.jsonl"
    monkeypatch.setenv(module.PROGRESS_VARIABLE, str(page))
    reporter = Reporter(quiet=True)
    with reporter.stage("one"):
        reporter.note("password=hunter2")
    with pytest.raises(ValueError, match="no"), reporter.stage("two"):
        raise ValueError("no")
    lines = [json.loads(line) for line in page.read_text().splitlines()]
    assert [(line["stage"], line["state"]) for line in lines] == [
        ("one", "started"),
        ("one", "done"),
        ("two", "started"),
        ("two", "failed"),
    ]
    assert all(set(line) == {"stage", "state", "time"} for line in lines), "no log, no secrets"


def test_a_large_log_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_SIZE", 10)
    log = tmp_path / "installer.log"
    log.write_text("x" * 11)
    log_to(log)
    assert (tmp_path / "installer.log.1").read_text() == "x" * 11
    assert log.read_text() == ""
    log_to(log)
    assert (tmp_path / "installer.log.1").read_text() == "x" * 11, "a small one stays"


def test_a_warning_without_a_log_is_printed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``tljh plan`` keeps none; logging prints by itself what nobody handles."""
    monkeypatch.setattr(module.log, "handlers", [])
    monkeypatch.setattr(module.log, "propagate", False)
    Reporter(quiet=True).warn("watch out")
    assert capsys.readouterr().err == "! watch out\n"
