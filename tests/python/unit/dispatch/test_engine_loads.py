"""What has changed of the engines is told once, of engines that clients share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.dispatch import engine_loads
from python_worker.dispatch.engine_loads import EngineLoads
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.clock import clock_of


class Engine:
    """An engine whose numbers the test sets."""

    def __init__(self) -> None:
        self.requests = 0
        self._outputs_handled = 0

    def get_num_unfinished_requests(self) -> int:
        """How many requests it has."""
        return self.requests


class Audience:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, pb.EngineLoad]] = []
        self.forgotten: list[str] = []
        self.sent = 0

    def put_load(self, ref_id: str, engine: object, load: bytes) -> None:
        """Note a load."""
        (it,) = pb.ServerFrame.FromString(load).loads
        assert it.ref == ref_id
        self.told.append((engine, it))

    def forget_load(self, ref_id: str) -> None:
        """Note an engine that is there no more."""
        self.forgotten.append(ref_id)

    def send_loads(self) -> None:
        """Count."""
        self.sent += 1

    def take(self) -> list[tuple[str, int]]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return [(it.ref, it.running) for _engine, it in told]


class Worker:
    """The loads of some objects."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.audience = Audience()
        self.loads = EngineLoads(self, self.audience)  # type: ignore[arg-type]

    def pinned(self) -> list[Any]:
        """The engines."""
        return self.entries

    def add(self, ref_id: str, engine: object, kind: str = "AsyncLLM") -> None:
        """An engine is built."""
        self.entries.append(SimpleNamespace(id=ref_id, target=engine, type=kind))


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_each_change_is_told_once(worker: Worker) -> None:
    engine, other = Engine(), Engine()
    worker.add("a", engine)
    worker.loads.look()
    assert worker.audience.take() == [("a", 0)]
    worker.loads.look()
    assert worker.audience.take() == []
    engine.requests = 2
    worker.add("b", other)
    worker.loads.look()
    assert worker.audience.take() == [("a", 2), ("b", 0)]
    assert worker.audience.sent == 3


def test_the_same_load_of_other_requests_is_told(worker: Worker) -> None:
    engine = Engine()
    worker.add("a", engine)
    worker.loads.look()
    engine._outputs_handled = 7
    worker.loads.look()
    assert worker.audience.take() == [("a", 0), ("a", 0)]


def test_an_engine_that_was_shut_down_is_forgotten(worker: Worker) -> None:
    worker.add("a", Engine())
    worker.loads.look()
    worker.entries.clear()
    worker.loads.look()
    assert worker.audience.forgotten == ["a"]
    worker.loads.look()
    assert worker.audience.forgotten == ["a"]


def test_other_objects_are_left_out(worker: Worker) -> None:
    worker.add("llm", Engine(), kind="LLM")
    worker.add("foreign", object())
    worker.loads.look()
    assert worker.audience.take() == []


def test_it_looks_again_and_again_until_it_is_stopped(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clock_of(engine_loads, monkeypatch)
    worker.loads.stop()
    worker.loads.start()
    assert worker.audience.sent == 0
    for looks in (1, 2, 3):
        assert clock.look() == pytest.approx(engine_loads.INTERVAL_SECONDS)
        assert worker.audience.sent == looks
    worker.loads.stop()
    assert clock.timers == set()
