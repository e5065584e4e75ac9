"""Adapters in use: names and slots of requests that have not ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.lora_usage import MIN_REMEMBERED, AdaptersInUse


def lora(lora_id: int, name: str | None = None) -> Any:
    return SimpleNamespace(lora_int_id=lora_id, lora_name=name or f"adapter {lora_id}")


class Processor:
    """vLLM's, which counts how often its requests are looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self._states: dict[str, Any] = {}

    @property
    def request_states(self) -> dict[str, Any]:
        self.looks += 1
        return self._states

    def add(self, request_id: str, lora_request: Any) -> None:
        self._states[request_id] = SimpleNamespace(lora_request=lora_request)

    def end(self, request_id: str) -> None:
        del self._states[request_id]


@pytest.fixture
def processor() -> Any:
    return Processor()


def test_a_name_belongs_to_one_adapter_while_it_is_in_use(processor: Any) -> None:
    in_use = AdaptersInUse(processor)
    with in_use.arrival(lora(1, "a")):
        assert in_use.namesake(lora(2, "a")) == 1
        assert in_use.namesake(lora(1, "a")) is None
        processor.add("r", lora(1, "a"))
    assert in_use.namesake(lora(2, "a")) == 1
    processor.end("r")
    processor.add("other", None)
    assert in_use.namesake(lora(2, "a")) is None


def test_requests_are_looked_at_only_where_a_refusal_would_follow(processor: Any) -> None:
    in_use = AdaptersInUse(processor)
    for lora_id in range(1, 4):
        with in_use.arrival(lora(lora_id)):
            assert in_use.fit(4, {1})
    assert processor.looks == 0
    with in_use.arrival(lora(4)):
        assert in_use.fit(2, {4})
    assert processor.looks == 1
    processor.add("r", lora(5))
    with in_use.arrival(lora(6)):
        assert not in_use.fit(2, {7})


def test_without_pins_everything_fits(processor: Any) -> None:
    in_use = AdaptersInUse(processor)
    with in_use.arrival(lora(1)), in_use.arrival(lora(2)):
        assert in_use.fit(1, set())
    assert processor.looks == 0


def test_what_was_used_once_is_forgotten_in_time(processor: Any) -> None:
    in_use = AdaptersInUse(processor)
    for lora_id in range(1, 10 * MIN_REMEMBERED + 1):
        with in_use.arrival(lora(lora_id)):
            pass
    assert len(in_use._seen) <= MIN_REMEMBERED
    assert processor.looks == 9
