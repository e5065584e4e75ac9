"""A build that nobody waits for any more ends vLLM's wait for its cores."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.abandonment import CURRENT, UNKNOWN_CORE, Abandonment, watched


def can_be_read(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_vllm_sees_a_process_that_ends_when_the_caller_leaves() -> None:
    build = Abandonment()
    assert (build.exitcode, can_be_read(build.sentinel)) == (None, False)
    build.give_up()
    build.give_up()
    assert (build.exitcode, can_be_read(build.sentinel)) == (0, True)
    build.close()


def test_a_build_that_is_over_cannot_be_given_up() -> None:
    build = Abandonment()
    build.close()
    build.give_up()
    assert build.exitcode is None


@contextmanager
def launch(address: str, before: tuple[Any, ...] = ()) -> Iterator[Any]:
    """As vLLM's function: what it yields is read when the block ends."""
    addresses = SimpleNamespace(inputs=[address])
    yield SimpleNamespace(addresses=addresses, watched_frontend_processes=before)


def test_the_build_of_the_thread_is_watched_beside_others() -> None:
    build = Abandonment()
    with watched(launch)("ipc://nowhere", ("other",)) as launched:
        assert launched.watched_frontend_processes == ("other",)
    token = CURRENT.set(build)
    try:
        with watched(launch)("ipc://nowhere", ("other",)) as launched:
            assert launched.watched_frontend_processes == ("other", build)
    finally:
        CURRENT.reset(token)
        build.close()


def test_a_core_that_asks_for_no_requests_is_not_waited_for() -> None:
    """VLLM's wait for the last messages of cores ends by one that it does not expect."""
    zmq: Any = pytest.importorskip("zmq")
    context = zmq.Context()
    try:
        socket = context.socket(zmq.ROUTER)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        build = Abandonment()
        build.expect_cores(f"tcp://127.0.0.1:{port}")
        build.give_up()
        assert socket.recv_multipart() == [UNKNOWN_CORE, b""]
        build.close()
    finally:
        context.destroy(linger=0)
