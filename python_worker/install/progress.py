"""What set-up shows while it works: one line per step, and the log of every program it runs.

A terminal gets one line that is rewritten each second. Anything else (a CI log, `mix`) gets a new
line when ten seconds have passed and the news has changed, so that nobody has to guess whether a
minute of silence is a hang. The full output of every program goes to a log file, and only its
last lines are shown, when it fails.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

QUIET_SECONDS = 10.0
LAST_LINES = 15


class SetupError(Exception):
    """A step cannot be done; the message says why, `advice` what to do about it."""

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Progress:
    """One step's line of news, with the seconds since the step began."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._started = time.monotonic()
        self._printed_at = 0.0
        self._text = ""
        self._on_terminal = sys.stderr.isatty()

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Shows `text` at once."""
        self._text = text
        self._print()

    def update(self, text: str = "") -> None:
        """Shows `text`, or the last text with a new time, if it is time to show anything."""
        self._text = text or self._text
        quiet = time.monotonic() - self._printed_at
        if quiet >= (1.0 if self._on_terminal else QUIET_SECONDS):
            self._print()

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        erase = "\r\033[K" if self._on_terminal else ""
        print(f"{erase}{self._step}: {text}", file=sys.stderr, flush=True)

    def finish(self, text: str) -> None:
        """Replaces the line by the step's result."""
        self.note(f"{text} ({self.seconds:.1f} s)")

    def _print(self) -> None:
        line = f"{self._step}: {self._text} … {self.seconds:.0f} s"
        self._printed_at = time.monotonic()
        if self._on_terminal:
            line = f"\r\033[K{line[: _terminal_columns() - 1]}"
        print(line, end="" if self._on_terminal else "\n", file=sys.stderr, flush=True)


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def run(
    command: Sequence[str],
    *,
    log: Path,
    progress: Progress,
    news: Callable[[str], str | None] = lambda _line: None,
    in_silence: Callable[[], str] = lambda: "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    advice: str = "",
) -> str:
    """Runs a program to its end, its output in `log`, and returns that output.

    Args:
        command: The program and its arguments.
        log: Where the output is appended.
        progress: Where the news goes.
        news: Turns a line of output into a line of progress, or None if it says nothing.
        in_silence: The line of progress while the program prints nothing, or "" to keep the last.
        cwd: Working directory.
        env: Environment variables beside the inherited ones.
        advice: What to do if the program fails.

    Raises:
        SetupError: The program is missing or failed; the message ends in its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    output: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n")
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            raise SetupError(f"cannot run {command[0]}: {error}", advice=advice) from error
        with process:
            try:
                for line in _lines(process, progress, in_silence):
                    file.write(line + "\n")
                    output.append(line)
                    if text := news(line):
                        progress.update(text)
                status = process.wait()
            except BaseException:  # Ctrl-C, a full disk: what we started ends with us
                process.terminate()
                raise
    if status != 0:
        last = "\n    ".join(deque((line for line in output if line.strip()), maxlen=LAST_LINES))
        raise SetupError(
            f"`{' '.join(command[:4])} …` ended with status {status}:\n    {last}\n"
            f"  the whole output: {log}",
            advice=advice,
        )
    return "\n".join(output)


def _lines(
    process: subprocess.Popen[bytes], progress: Progress, in_silence: Callable[[], str]
) -> Iterator[str]:
    """Yields lines as they come, and moves the clock of the progress line between them."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(timeout=1.0):
                progress.update(in_silence())
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                break
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line.decode(errors="replace").rstrip("\r")
            progress.update()
    if rest:
        yield rest.decode(errors="replace")
