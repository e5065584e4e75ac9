"""Unit tests that are collected once, and run in a fork for each change.

A process imports the worker and collects the tests. A first fork runs all of them and notes which
functions each calls. After that a change of a function costs a fork and the tests that call it: the
fork puts the changed code in the place of the function's, and ends with the first test that fails.
A test that fails without the change too is believed no more.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import IO, Any

import pytest

from tests.mutants import python_child
from tests.mutants.modules import Module
from tests.mutants.mutation import Mutation
from tests.mutants.outcome import Outcome
from tests.mutants.python_patch import Key, changed_function, key_of, patch

START_SECONDS = 600
BASELINE_SECONDS = 1800
TEST_SECONDS = 20
# Of one change, tests of so many seconds of a core are run.
MOST_SECONDS = 10.0
# So many calls of the worker's functions are looked at in one test: behind them it goes on at its
# own speed.
CALLS = 30_000
# What a change may need more than the process has.
MORE_BYTES = 4 << 30


class Coverage:
    """Which functions of the worker are called; of a test that calls many, the first."""

    def __init__(self, tree: Path, calls: int = CALLS) -> None:
        self.called: set[Key] = set()
        self._left = calls
        self._beginning = f"{tree}/python_worker/"
        self._root = f"{tree}/"

    def __enter__(self) -> Coverage:
        threading.settrace(self._on_call)
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)

    def _on_call(self, frame: FrameType, _event: str, _argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self._beginning):
            self._left -= 1
            if not self._left:
                sys.settrace(None)
            self.called.add(key_of(code, code.co_filename.removeprefix(self._root)))


class Server:
    """The process with the collected tests, as a plugin of pytest.

    Args:
        tree: The copy of the tree.
        commands: Where requests come from, a line of JSON each.
        answers: Where the answers go.
        coverage: Of what runs while tests are collected.
    """

    def __init__(self, tree: Path, commands: IO[str], answers: IO[str], coverage: Coverage) -> None:
        self._tree = tree
        self._commands = commands
        self._answers = answers
        self._coverage = coverage
        self._failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes failures."""
        if report.failed:
            kind = "hang" if python_child.timed_out(report.longreprtext) else "killed"
            self._failed += [kind, report.nodeid]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Answers requests instead of running the tests."""
        self._coverage.__exit__()
        self._say({"imported": sorted(self._coverage.called), "tests": len(session.items)})
        for line in self._commands:
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                self._be_run(session, request)
            status = python_child.wait(pid, request["seconds"])
            python_child.end(pid, ended=status is not None)
            self._say({"status": None if status is None else os.waitstatus_to_exitcode(status)})
        return True

    def _say(self, answer: dict[str, object]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _be_run(self, session: pytest.Session, request: dict[str, Any]) -> None:
        result: dict[str, object] = {"kind": "fault", "test": "the run ended early"}
        output = Path(request["result"])
        try:
            os.setpgrp()
            python_child.end_with_parent()
            if request["kind"] == "baseline":
                result = self._baseline(session)
            else:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
                resource.setrlimit(resource.RLIMIT_AS, (used + MORE_BYTES, -1))
                result = self._changed(session, request)
        except BaseException as error:
            result = {"kind": "killed", "test": f"the run itself: {error!r}"}
        finally:
            output.write_text(json.dumps(result))
            os._exit(0)

    def _run(self, session: pytest.Session, items: Sequence[pytest.Item]) -> None:
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._failed:
                return
        del session

    def _baseline(self, session: pytest.Session) -> dict[str, object]:
        tests: dict[str, object] = {}
        for item, after in zip(session.items, [*session.items[1:], None], strict=True):
            self._failed, started = [], time.process_time()
            with Coverage(self._tree) as coverage:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            seconds = time.process_time() - started
            tests[item.nodeid] = [not self._failed, seconds, sorted(coverage.called)]
        return {"kind": "passed", "tests": tests}

    def _changed(self, session: pytest.Session, request: dict[str, Any]) -> dict[str, object]:
        if request["source"] is not None:
            mutation = Mutation(*request["mutation"])
            code = changed_function(request["path"], request["source"], mutation)
            if code is None or not patch(request["path"], code):
                return {"kind": "unfit", "test": ""}
        by_name = {item.nodeid: item for item in session.items}
        self._failed = []
        self._run(session, [by_name[it] for it in request["tests"]])
        kind, test = self._failed[:2] if self._failed else ("passed", "")
        return {"kind": kind, "test": test}


class PythonSession:
    """Asks such a process.

    Args:
        tree: The copy of the tree.
        files: The test files to collect.
    """

    def __init__(self, tree: Path, files: Sequence[str]) -> None:
        self._result = tree.parent / "result.json"
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._commands)
            os.close(self._answers)
            _be_server(tree, files, commands, answers)
        os.close(commands)
        os.close(answers)
        self._reading = os.fdopen(self._answers, encoding="utf-8")
        self._writing = os.fdopen(self._commands, "w", encoding="utf-8")
        started = time.monotonic()
        greeting = self._read()
        self.imported: set[Key] = {_key(it) for it in greeting["imported"]}
        collected = time.monotonic()
        tests = self._ask({"kind": "baseline", "seconds": BASELINE_SECONDS}).get("tests", {})
        self._seconds = {name: it[1] for name, it in tests.items()}
        self._calls = {name: {_key(k) for k in it[2]} for name, it in tests.items() if it[0]}
        self.unsound = [name for name, it in tests.items() if not it[0]]
        self.summary = (
            f"{len(tests)} tests collected in {collected - started:.0f} s, and run in "
            f"{time.monotonic() - collected:.0f} s"
        )

    def covering(self, module: Module, code: CodeType) -> list[str]:
        """Returns the tests that call a function: the nearest first, and of these the quickest."""
        name = code.co_qualname
        near = {file: place for place, stage in enumerate(module.stages) for file in stage}
        found: list[tuple[int, float, str]] = []
        for test, calls in self._calls.items():
            if any(
                path == module.path and (called == name or called.startswith(f"{name}.<locals>"))
                for path, called, _line in calls
            ):
                place = near.get(test.partition("::")[0], len(module.stages))
                found.append((place, self._seconds[test], test))
        chosen: list[str] = []
        seconds = 0.0
        for _place, took, test in sorted(found):
            seconds += took
            if seconds < MOST_SECONDS or not chosen:
                chosen.append(test)
        return chosen

    def quick(self, module: Module) -> list[str]:
        """Returns the quickest tests of a module's own and of its folder."""
        near = {file for stage in module.stages[:2] for file in stage}
        found = [it for it in self._calls if it.partition("::")[0] in near]
        chosen: list[str] = []
        seconds = 0.0
        for test in sorted(found, key=lambda it: self._seconds[it]):
            seconds += self._seconds[test]
            if seconds < MOST_SECONDS:
                chosen.append(test)
        return chosen

    def tried(self, module: Module, mutation: Mutation, source: str, tests: list[str]) -> Outcome:
        """Runs tests against a changed function; the kind is ``unfit`` if that cannot be done."""
        request: dict[str, object] = {
            "kind": "changed",
            "path": module.path,
            "source": source,
            "mutation": [mutation.start, mutation.end, mutation.new],
        }
        tests = list(tests)
        while tests:
            outcome = self._run(request, tests)
            if outcome.kind != "killed" or outcome.test not in tests:
                return outcome
            alone = self._run({**request, "source": None}, [outcome.test])
            if alone.kind == "passed":
                return outcome
            self.unsound.append(outcome.test)
            self._calls.pop(outcome.test, None)
            tests = tests[tests.index(outcome.test) + 1 :]
        return Outcome("passed", "")

    def close(self) -> None:
        """Ends the process."""
        self._writing.close()
        python_child.end(self._pid, ended=False)
        self._reading.close()

    def _run(self, request: dict[str, object], tests: list[str]) -> Outcome:
        seconds = 45.0 + 8 * sum(self._seconds[it] for it in tests)
        answer = self._ask({**request, "tests": tests, "seconds": seconds})
        return Outcome(answer["kind"], answer["test"])

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        self._result.unlink(missing_ok=True)
        self._writing.write(json.dumps({**request, "result": str(self._result)}) + "\n")
        self._writing.flush()
        status = self._read()["status"]
        if status is None:
            return {"kind": "hang", "test": "no end of the run"}
        if not self._result.exists():
            return {"kind": "killed", "test": f"exit status {status}"}
        answer: dict[str, Any] = json.loads(self._result.read_text())
        return answer

    def _read(self) -> dict[str, Any]:
        line = self._reading.readline()
        if not line:
            raise RuntimeError("the process with the collected tests has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _key(listed: Sequence[Any]) -> Key:
    path, name, line = listed
    return path, name, line


def _be_server(tree: Path, files: Sequence[str], commands: int, answers: int) -> None:
    try:
        python_child.enter(tree, tree.parent / "session.txt")
        reading = os.fdopen(commands, encoding="utf-8")
        writing = os.fdopen(answers, "w", encoding="utf-8")
        with Coverage(tree, sys.maxsize) as coverage:
            server = Server(tree, reading, writing, coverage)
            arguments = python_child.options(tree, files, TEST_SECONDS)
            pytest.main([it for it in arguments if it != "-x"], plugins=[server])
        sys.stdout.flush()
    finally:
        os._exit(0)
