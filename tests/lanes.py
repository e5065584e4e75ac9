"""Runs the lanes of `make test` and prints a table of them: lane, tests, seconds.

    python3 tests/lanes.py table COMMAND …        runs COMMAND, then prints the table of its lanes
    python3 tests/lanes.py lane NAME COMMAND …    runs COMMAND as a lane, or as a part of one
    python3 tests/lanes.py at-once COMMAND -- COMMAND …   runs commands at the same time

`table` names a file in the environment, and each `lane` appends a record to it. Nothing else
connects the processes, so lanes may run one after the other or at once, at any depth of `make`.
Without a table a lane only runs its command. Output passes through unchanged. Every mode exits
with the status of its command, `at-once` with the status of the first command that failed.

Standard library only, for Python 3.9 or newer: `table` runs before set-up has made an environment.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

#: Names the file of the records.
RECORDS = "VLLM_BRIDGE_LANES"

#: Enough for the summary, which comes last.
TAIL_BYTES = 4096

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_PYTEST = re.compile(r"^=+ (.*) in [\d.]+s(?: \([\d:]+\))? =+$", re.MULTILINE)
_EXUNIT = re.compile(r"^((?:\d+ doctests?, )?\d+ tests?, \d+ failures?.*)$", re.MULTILINE)
# Since Elixir 1.20: "Result: 6/8 passed (…), 3 skipped"; the second number only if tests failed.
_RESULT = re.compile(
    r"^Result: (\d+)(?:/(\d+))? (?:passed|tests)(?: \([^)]*\))?(.*)$", re.MULTILINE
)
_COUNT = re.compile(r"(\d+) (\w+)")

# The words of the two summary lines. "tests" of ExUnit are all that were selected.
_PASSED = frozenset({"passed", "xpassed", "doctest", "doctests", "test", "tests"})
_FAILED = frozenset({"failed", "error", "errors", "failure", "failures", "invalid"})
_SKIPPED = frozenset({"skipped", "xfailed"})

Record = dict[str, "str | int | float"]


def counts(output: str) -> dict[str, int]:
    """Reads the last summary line of pytest or ExUnit in a lane's output.

    Returns:
        How many tests passed, failed and were skipped; empty if there is no summary line.
    """
    text = _COLOURS.sub("", output)
    if found := _PYTEST.findall(text):
        return _sums(found[-1])
    if results := _RESULT.findall(text):
        passed, tests, rest = results[-1]
        sums = _sums(rest)
        left_out = sums["failed"] + sums["skipped"]  # of these, "failed" has the invalid ones
        failed = sums["failed"] + int(tests or passed) - int(passed)
        return {"passed": int(passed) - left_out, "failed": failed, "skipped": sums["skipped"]}
    if not (found := _EXUNIT.findall(text)):
        return {}
    sums = _sums(found[-1])
    return {**sums, "passed": sums["passed"] - sums["failed"] - sums["skipped"]}


def _sums(summary: str) -> dict[str, int]:
    kinds = {"passed": _PASSED, "failed": _FAILED, "skipped": _SKIPPED}
    found = [(int(number), word) for number, word in _COUNT.findall(summary)]
    return {
        kind: sum(number for number, word in found if word in words)
        for kind, words in kinds.items()
    }


# --- The table


def table(records: Iterable[Record], seconds: float) -> str:
    """Lays the records out, with a last row for the whole.

    Args:
        records: In the order in which the lanes ended. Records of one name are parts of one lane.
        seconds: Of the whole, by the wall clock: lanes that ran at once add up to more.
    """
    lanes: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record["began"]):
        lanes.setdefault(str(record["lane"]), []).append(record)
    everything = [part for parts in lanes.values() for part in parts]
    rows = [_row(lane, parts) for lane, parts in lanes.items()]
    cells = [
        ("lane", "tests", "seconds", ""),
        *rows,
        ("total (wall clock)", _tests(everything), f"{seconds:.0f}", ""),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [
        f"{lane:<{widths[0]}}  {tests:>{widths[1]}}  {took:>{widths[2]}}  {note}".rstrip()
        for lane, tests, took, note in cells
    ]
    rule = "-" * (sum(widths) + 4)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _row(lane: str, parts: list[Record]) -> tuple[str, str, str, str]:
    failed = any(part["status"] for part in parts)
    took = sum(float(part["seconds"]) for part in parts)
    return (lane, _tests(parts), f"{took:.0f}", "FAILED" if failed else "")


def _tests(parts: list[Record]) -> str:
    if not any("passed" in part for part in parts):
        return "-"
    sums = {
        kind: sum(int(part.get(kind, 0)) for part in parts)
        for kind in ("passed", "skipped", "failed")
    }
    others = [f"{sums[kind]} {kind}" for kind in ("skipped", "failed") if sums[kind]]
    return ", ".join([f"{sums['passed']:,} passed", *others])


def run_table(command: Sequence[str]) -> int:
    """Runs a command and prints the table of the lanes that it ran."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vllm_bridge-lanes-") as folder:
        file = Path(folder) / "records"
        file.touch()
        status = _run(command, {RECORDS: str(file)})
        lines = file.read_text(encoding="utf-8").splitlines()
    if lines:
        print(f"\n{table(map(json.loads, lines), time.monotonic() - began)}", flush=True)
    return status


# --- A lane


def run_lane(lane: str, command: Sequence[str]) -> int:
    """Runs a command and appends to the records how it went."""
    began = time.time()
    started = time.monotonic()
    if (file := os.environ.get(RECORDS)) is None:
        return _run(command)
    status, tail = _run_reading(command)
    record: Record = {
        "lane": lane,
        "began": began,
        "seconds": time.monotonic() - started,
        "status": status,
        **counts(tail.decode(errors="replace")),
    }
    # One write of one line in append mode: lanes that end at once do not mix theirs.
    with open(file, "a", encoding="utf-8") as records:
        records.write(json.dumps(record) + "\n")
    return status


def _run_reading(command: Sequence[str]) -> tuple[int, bytes]:
    """Runs a command, passes its standard output on as it comes, and returns the end of it."""
    process = _start(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    output, tail = process.stdout.fileno(), b""
    os.set_blocking(output, False)
    ended = os.pidfd_open(process.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while True:
            # Until the process has ended, not until the pipe is closed: a daemon may hold it open.
            over = ended in {key.fd for key, _ in selector.select()}
            while chunk := _read(output):
                _write(chunk)
                tail = (tail + chunk)[-TAIL_BYTES:]
            if over:
                break
            if chunk == b"":  # closed, and the process goes on
                selector.unregister(output)
    os.close(ended)
    process.stdout.close()
    return _status(process), tail


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


# --- Commands at once


def run_at_once(commands: Sequence[Sequence[str]]) -> int:
    """Runs commands at once; the output of all but the first is printed when they have ended."""
    with tempfile.TemporaryDirectory(prefix="vllm_bridge-lanes-") as folder:
        processes, logs = [_start(commands[0])], []
        for number, command in enumerate(commands[1:]):
            logs.append(Path(folder) / str(number))
            with logs[-1].open("wb") as log:
                processes.append(_start(command, stdout=log, stderr=subprocess.STDOUT))
        statuses = [_status(process) for process in processes]
        for log_file in logs:
            _write(log_file.read_bytes())
    return next((status for status in statuses if status), 0)


# --- Processes


def _start(
    command: Sequence[str],
    *,
    stdout: IO[bytes] | int | None = None,
    stderr: int | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a command. Ctrl-C reaches it by itself; SIGTERM is passed on by `_forward`."""
    process = subprocess.Popen(
        command,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _running.append(process)
    return process


_running: list[subprocess.Popen[bytes]] = []


def _forward(signum: int, _frame: object) -> None:
    for process in _running:
        process.send_signal(signum)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> int:
    return _status(_start(command, environment=environment))


def _status(process: subprocess.Popen[bytes]) -> int:
    status = process.wait()
    return status if status >= 0 else 128 - status


def _split(arguments: Sequence[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for argument in arguments:
        if argument == "--":
            commands.append([])
        else:
            commands[-1].append(argument)
    return commands


def main(arguments: Sequence[str]) -> int:
    """Runs the command line."""
    # Ctrl-C reaches the commands, which end; this process stays for the records and the table.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _forward)
    mode, *rest = arguments
    if mode == "lane":
        return run_lane(rest[0], rest[1:])
    return run_table(rest) if mode == "table" else run_at_once(_split(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
