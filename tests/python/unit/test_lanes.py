"""`tests/lanes.py`: the table of lanes that a test run ends with."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import lanes

ROOT = Path(__file__).parents[3]
SCRIPT = [sys.executable, str(ROOT / "tests" / "lanes.py")]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("===== 562 passed in 61.13s (0:01:01) =====", (562, 0, 0)),
        ("== 2 failed, 30 passed, 4 skipped, 1 error in 3.00s ==", (30, 3, 4)),
        ("= 1 passed, 2 xfailed, 1 xpassed, 3 warnings in 0.10s =", (2, 0, 2)),
        ("===== no tests ran in 0.01s =====", (0, 0, 0)),
        (
            "\x1b[32m====\x1b[0m \x1b[32m\x1b[1m3 passed\x1b[0m in 0.02s\x1b[32m ====\x1b[0m",
            (3, 0, 0),
        ),
        ("7 doctests, 768 tests, 0 failures", (775, 0, 0)),
        ("13 tests, 2 failures, 1 excluded, 3 skipped", (8, 2, 3)),
        ("1 test, 1 failure", (0, 1, 0)),
        ("4 tests, 0 failures, 3 invalid", (1, 3, 0)),
        ("\x1b[31m2 tests, 1 failure\x1b[0m", (1, 1, 0)),
        ("Result: 1076 passed (12 doctests, 1064 tests)", (1076, 0, 0)),
        (
            "Result: 6/8 passed (1/1 doctest, 5/7 tests), 3 skipped, 1 excluded\nFailed: 2",
            (3, 2, 3),
        ),
        ("Result: 4 passed, 3 invalid", (1, 3, 0)),
        ("\x1b[32mResult: 2 passed\x1b[0m", (2, 0, 0)),
        ("Result: 0 tests", (0, 0, 0)),
    ],
)
def test_the_summary_lines_of_both_test_tools_are_read(
    summary: str, expected: tuple[int, int, int]
) -> None:
    found = lanes.counts(f"collected 3 items\n....\n{summary}\n\nRandomized with seed 1\n")
    assert (found["passed"], found["failed"], found["skipped"]) == expected


def test_output_without_a_summary_has_no_counts() -> None:
    assert lanes.counts("All checks passed!\n258 files already formatted\n") == {}


def record(lane: str, began: float, seconds: float, **more: Any) -> lanes.Record:
    return {"lane": lane, "began": began, "seconds": seconds, "status": 0, **more}


def test_the_table_lists_lanes_in_the_order_they_began_and_joins_their_parts() -> None:
    records = [
        record("Elixir life", 30.0, 614.2, passed=13, failed=0, skipped=0),
        record("lint", 1.0, 2.0),
        record("lint", 3.0, 4.6),
        record("Python unit", 9.0, 27.4, passed=2519, failed=1, skipped=3) | {"status": 1},
    ]
    assert lanes.table(records, 700.0).splitlines() == [
        "lane                                            tests  seconds",
        "--------------------------------------------------------------",
        "lint                                                -        7",
        "Python unit         2,519 passed, 3 skipped, 1 failed       27  FAILED",
        "Elixir life                                 13 passed      614",
        "--------------------------------------------------------------",
        "total (wall clock)  2,532 passed, 3 skipped, 1 failed      700",
    ]


# --- As `make` runs it. A script stands for pytest, a shell for make.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SCRIPT, *arguments], capture_output=True, text=True, check=False)


def lane(name: str, script: str) -> str:
    return " ".join(shlex.quote(part) for part in [*SCRIPT, "lane", name, "sh", "-c", script])


def rows(output: str) -> dict[str, str]:
    """The rows of the table in an output, by their lanes."""
    table = output[output.index("\nlane ") :].splitlines()[3:]
    return {name: rest for name, _, rest in (row.partition("  ") for row in table) if rest}


def test_output_passes_through_unchanged_and_the_table_follows() -> None:
    ended = run("table", "sh", "-c", lane("quick", "echo '== 2 passed in 0.10s =='; echo bad >&2"))
    assert ended.returncode == 0
    assert ended.stdout.startswith("== 2 passed in 0.10s ==\n\nlane ")
    assert ended.stderr == "bad\n"
    assert rows(ended.stdout)["quick"].split()[:2] == ["2", "passed"]


def test_a_lane_that_fails_is_marked_and_its_status_is_that_of_the_run() -> None:
    both = f"{lane('one', 'exit 3')} && {lane('two', 'true')}"
    ended = run("table", "sh", "-c", both)
    assert ended.returncode == 3
    table = rows(ended.stdout)
    assert table["one"].endswith("FAILED")
    assert "two" not in table


def test_lanes_that_run_at_once_are_all_in_the_table(tmp_path: Path) -> None:
    """Each waits for the other, so they do run at once."""
    first, second = tmp_path / "first", tmp_path / "second"
    os.mkfifo(first)
    os.mkfifo(second)
    ended = run(
        *("table", *SCRIPT, "at-once"),
        *(*SCRIPT, "lane", "left", "sh", "-c", f"echo > {first}; cat {second}; echo 1 left", "--"),
        *(*SCRIPT, "lane", "right", "sh", "-c", f"cat {first}; echo > {second}; exit 7"),
    )
    assert ended.returncode == 7
    table = rows(ended.stdout)
    assert "FAILED" not in table["left"]
    assert table["right"].endswith("FAILED")
    assert "1 left" in ended.stdout


def test_a_lane_ends_with_its_command_although_a_daemon_holds_its_output_open(
    tmp_path: Path,
) -> None:
    """The daemon ends only when the test lets it, after the lane."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ended = run("table", *SCRIPT, "lane", "it", "sh", "-c", f"cat {gate} 2>/dev/null & echo over")
    gate.write_text("")
    assert ended.stdout.startswith("over\n")


def test_without_a_table_a_lane_only_runs_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lanes.RECORDS, raising=False)
    ended = run("lane", "it", "sh", "-c", "echo out; exit 5")
    assert (ended.returncode, ended.stdout) == (5, "out\n")


def test_every_file_of_real_engines_is_in_its_lane() -> None:
    """Its goal lists them by their first ``use``, so that those with one engine come together."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (listing,) = re.findall(r"^BY_ENGINE := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    command = listing.replace("\\\n", " ")
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folder = ROOT / "tests" / "elixir" / "vllm"
    files = {it for it in folder.rglob("*_test.exs") if "life" not in it.parts}
    assert [ROOT / it for it in sorted(done.stdout.split())] == sorted(files)
