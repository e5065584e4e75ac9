"""The running call hears when the engine has taken its request, and of every id."""

from __future__ import annotations

from typing import Any

from python_worker.engines.guards.guarded import guard_foreign
from python_worker.streaming.admission import ADMISSION
from tests.python.support.engine_class import EngineClass


class Record:
    """In place of the call's Admission."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.heard: list[Any] = []

    def note(self, request_id: str) -> None:
        self.heard.append(("note", request_id, len(self.engine.engine_core.sent)))

    def collect(self, collector: Any, engine: Any) -> None:
        assert engine is self.engine
        self.heard.append(("collect", collector.request_id, len(self.engine.engine_core.sent)))


async def test_an_id_is_noted_before_the_request_is_sent_and_collected_after() -> None:
    engine: Any = guard_foreign(EngineClass)()
    record: Any = Record(engine)
    token = ADMISSION.set(record)
    try:
        collector = await engine.add_request("r", [1], None, priority=3)
    finally:
        ADMISSION.reset(token)
    assert record.heard == [("note", "r-1", 0), ("collect", "r-1", 1)]
    assert collector.request_id == "r-1"
    assert engine.calls == [("add_request", "r", [1], None, 3)]


async def test_without_a_call_the_engine_is_as_it_was() -> None:
    engine: Any = guard_foreign(EngineClass)()
    assert (await engine.add_request("r", [1], None)).request_id == "r-1"
