"""The programs that set-up runs: their output, their log, and their failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.install.progress import Progress, SetupError, run


def test_a_failing_program_is_shown_with_its_last_lines_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", "seq 100; echo no space left >&2; exit 7"]
    with pytest.raises(SetupError) as caught:
        run(command, log=log, progress=Progress("x"), advice="free some")
    message = str(caught.value)
    assert "status 7" in message
    assert "no space left" in message
    assert str(log) in message
    assert "\n    50\n" not in message
    assert "\n50\n" in log.read_text()


def test_a_missing_program_is_a_set_up_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot run /nowhere/pip"):
        run(["/nowhere/pip"], log=tmp_path / "log", progress=Progress("x"))


def test_a_program_that_prints_nothing_has_news_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = tmp_path / "seen"

    def in_silence() -> str:
        seen.touch()
        return "three are there"

    waits = f"while [ ! -e {seen} ]; do sleep 0.01; done"
    run(
        ["/bin/sh", "-c", waits],
        log=tmp_path / "log",
        progress=Progress("x"),
        in_silence=in_silence,
    )
    assert "x: three are there" in capsys.readouterr().err
