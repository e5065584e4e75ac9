"""What a client built and never received is shut down, by a call that nobody waits for."""

from __future__ import annotations

import asyncio
import logging

import pytest

from python_worker.dispatch import unreceived
from python_worker.dispatch.call import Call, start
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import Draining

ENGINE = ServedClass(name="Engine", shutdown="end", stop=lambda _: None)


class Worker:
    """Serves the method ``end``, which may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.references = References()
        self.failure = failure
        self.ended: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def build(self, builder: str) -> str:
        return self.references.hold(object(), builder, served=ENGINE, pin=True).id

    def start(self, call: Call) -> asyncio.Task[None] | None:
        task = start(call, self.perform)
        if task is not None:
            self.tasks.append(task)
        return task

    async def perform(self, call: Call) -> None:
        assert call.request.method == "end"
        if self.failure is not None:
            raise self.failure
        self.references.find(call.request.incarnation, call.request.ref)
        self.ended.append(call.request.ref)
        call.return_value([b"v"])


async def test_what_has_no_receipt_is_shut_down_once() -> None:
    worker = Worker()
    lost, kept, other = worker.build("a"), worker.build("a"), worker.build("b")
    worker.references.receive(kept, "a")
    for _ in range(2):
        unreceived.shut_down(worker.references, worker.start, "a")
    await asyncio.gather(*worker.tasks)
    assert worker.ended == [lost]
    unreceived.shut_down(worker.references, worker.start, "b", [kept])
    assert len(worker.tasks) == 1
    unreceived.shut_down(worker.references, worker.start, "b", [other])
    await asyncio.gather(*worker.tasks)
    assert worker.ended == [lost, other]


async def test_a_shutdown_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(ValueError("it does not stop"))
    ref_id = worker.build("a")
    with caplog.at_level(logging.WARNING):
        unreceived.shut_down(worker.references, worker.start, "a")
        await asyncio.gather(*worker.tasks)
    assert f"shutting down the Engine {ref_id}" in caplog.text
    assert f"{ref_id} was not shut down: it does not stop" in caplog.text


async def test_a_worker_that_is_stopping_says_nothing_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(Draining("the worker is stopping and takes no new calls"))
    worker.build("a")
    with caplog.at_level(logging.WARNING):
        unreceived.shut_down(worker.references, worker.start, "a")
        await asyncio.gather(*worker.tasks)
    assert "was not shut down" not in caplog.text
