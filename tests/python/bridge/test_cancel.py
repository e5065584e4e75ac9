"""Clients that go away, in every phase of a request, leave nothing in the worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.python.support.client import Client, Failed, sampling
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Record, Ref
from tests.python.support.worker import ROOT, TOKEN, Worker

pytestmark = BOTH_WAYS

#: Where a request may be when its client goes: what keeps it there.
PHASES = {
    "admission": {"hang_in": "admission"},
    "adding": {"hang_in": "adding"},
    "before the first token": {"hang": True},
    "in the middle": {"hang": True, "after": 3},
    "running": {"delay": 0.001},
}

METHODS: dict[str, Any] = {
    "generate": sampling(max_tokens=None),
    "generate, four completions": sampling(max_tokens=None, n=4),
    "encode": Record("PoolingParams", {}),
}


async def wait_nothing_left(client: Client, engine: Ref, tasks: int) -> None:
    """Returns when no request, session or task is left but those that were there before."""
    await client.call(engine, "wait_requests", 0)
    async with asyncio.timeout(120):
        while True:
            live = await client.call(engine, "live")
            status = await client.call("Worker", "status")
            if live["tasks"] <= tasks and (status["sessions"], status["calls"]) == (0, 1):
                return


async def tasks_of(client: Client, engine: Ref) -> int:
    """The tasks of the worker when nothing goes on: a first request starts what stays."""
    await client.generate(engine, "hi", sampling(max_tokens=1))
    tasks: int = (await client.call(engine, "live"))["tasks"]
    return tasks


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("end", ["cancel", "deadline", "session", "connection"])
async def test_every_end_in_every_phase_leaves_nothing(
    end: str,
    method: str,
    phase: str,
    native: bool,
    client: Client,
    engine: Ref,
    worker: Worker,
) -> None:
    tasks = await tasks_of(client, engine)
    before = len(await client.call(engine, "calls", method.split(",")[0]))
    await client.call(engine, "script", PHASES[phase])
    async with Client.of(worker, native=native) as other:
        session = other.session()
        await session.__aenter__()
        started = [
            await session.start(
                engine,
                method.split(",")[0],
                "hi",
                METHODS[method],
                f"r{n}",
                timeout_ms=20 if end == "deadline" else 0,
            )
            for n in range(5)
        ]
        # On a busy machine a deadline may pass before the engine is called.
        if end != "deadline":
            await client.call(engine, "wait_called", method.split(",")[0], before + 5)
        if end == "cancel":
            for running in started:
                await running.cancel()
        if end in ("cancel", "deadline"):
            for running in started:
                try:
                    await running.items()
                except Failed as failed:
                    assert failed.kind in ("CANCELLED", "TIMEOUT")  # noqa: PT017
                else:
                    # Only a pooling request has an end of its own, where nothing holds it.
                    assert method == "encode"
        if end == "connection":
            await other.close()
        await session.__aexit__()
    await wait_nothing_left(client, engine, tasks)


CLIENT = """
import asyncio, sys
from tests.python.support.client import Client, sampling
from tests.python.support.values import Ref

async def main():
    client = Client(sys.argv[1], session_address=sys.argv[2] or None)
    engine = Ref(*sys.argv[3:])
    async with client.session() as session:
        for n in range(20):
            params = sampling(max_tokens=None)
            stream = await session.start(engine, "generate", "hi", params, f"r{n}")
            await stream.accepted()
        print("accepted", flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_a_client_whose_process_is_killed_leaves_nothing(
    sign: signal.Signals, native: bool, client: Client, engine: Ref, worker: Worker
) -> None:
    tasks = await tasks_of(client, engine)
    await client.call(engine, "script", {"delay": 0.001})
    session_address = worker.session_address if native else ""
    command = [sys.executable, "-c", CLIENT, worker.address, session_address]
    command += [engine.incarnation, engine.id, engine.type]
    environment = {**os.environ, "VLLM_BRIDGE_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"accepted\n"
    assert (await client.call(engine, "live"))["requests"] == 20
    process.send_signal(sign)
    await process.wait()
    await wait_nothing_left(client, engine, tasks)
    assert len(await client.call(engine, "aborted")) == 20


async def test_cancelling_after_the_end_and_twice_is_harmless(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        done = await session.start(engine, "generate", "hi", sampling(max_tokens=3), "done")
        assert (await done.items())[-1].finished
        await done.cancel()
        running = await session.start(engine, "generate", "hi", sampling(max_tokens=None), "r")
        await running.accepted()
        for _ in range(3):
            await running.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await running.items()
        assert await session.call(engine, "echo", 1) == 1
        assert await client.call(engine, "aborted") == ["r"]
        assert running.waiting.empty(), "one last reply, and nothing after it"
