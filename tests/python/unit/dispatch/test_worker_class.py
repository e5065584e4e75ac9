"""What the worker says of its engines."""

from __future__ import annotations

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


def worker(*engines: object) -> Worker:
    references = References()
    for engine in engines:
        references.hold(engine, "holder", pin=True)
    watches: Any = type("NoWatches", (), {"of": lambda self, engine: None})()
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


async def test_the_metrics_say_the_token_path_of_each_engine() -> None:
    metrics: Any = await worker(Engine("turned off")).metrics()
    assert [(it["token_path"], it["token_path_reason"]) for it in metrics] == [
        ("outputs", "turned off")
    ]
