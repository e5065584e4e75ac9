"""What the worker says of its engines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.worker_class import Worker
from python_worker.streaming.token_tap import TokenTap


class Engine:
    """An engine with a token tap."""

    errored = False

    def __init__(self, reason: str | None) -> None:
        self._token_tap = TokenTap(None, reason)


class Watched:
    """Some engines are watched, and hang for some seconds."""

    def __init__(self, stalled: dict[object, float | None]) -> None:
        self.stalled = stalled

    def of(self, engine: object) -> object:
        if engine not in self.stalled:
            return None
        return SimpleNamespace(stalled_s=self.stalled[engine])


def worker(
    *engines: object,
    stalled: dict[object, float | None] | None = None,
    references: References | None = None,
) -> Worker:
    references = references or References()
    for engine in engines:
        references.hold(engine, "holder", pin=True)
    watches: Any = Watched(stalled or {})
    return Worker(
        references=references,
        watches=cast(Watches, watches),
        calls=lambda: 1,
        sessions=lambda: 0,
        anyone="anyone",
    )


async def test_the_status_says_the_token_path_of_each_engine() -> None:
    status: Any = await worker(Engine(None), Engine("turned off")).status()
    said = [(engine["token_path"], engine["token_path_reason"]) for engine in status["engines"]]
    assert said == [("direct", None), ("outputs", "turned off")]


async def test_the_status_says_how_long_an_engine_hangs() -> None:
    hangs, moves, unwatched = Engine(None), Engine(None), Engine(None)
    asked = worker(hangs, moves, unwatched, stalled={hangs: 7.5, moves: None})
    status: Any = await asked.status()
    assert [engine["stalled_s"] for engine in status["engines"]] == [7.5, None, None]


async def test_a_reference_that_a_call_has_returned_is_released_once() -> None:
    references = References()
    ref = references.hold(object(), "anyone")
    asked = worker(references=references)
    assert await asked.release(ref.id) is True
    assert await asked.release(ref.id) is False
    # Not for somebody else.
    assert await asked.release(references.hold(object(), "a session").id) is False
    assert len(references) == 1


async def test_the_metrics_say_the_token_path_of_each_engine() -> None:
    metrics: Any = await worker(Engine("turned off")).metrics()
    assert [(it["token_path"], it["token_path_reason"]) for it in metrics] == [
        ("outputs", "turned off")
    ]
