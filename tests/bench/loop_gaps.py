"""How long does the worst request keep the worker's event loop, and a stream of somebody else?

    python -m tests.bench.loop_gaps [--only TEXT] [--rounds N] [--json] [--stacks]

One engine of a tiny model. A client in a process of its own reads one stream after another. This
process sends the shapes of ``loop_shapes``, one after another, each when the one before is over.
For each it shows the longest time that the loop did not run, from a watchdog inside the worker, the
longest time between two outputs of the other client's stream, how long the call took, how much
memory the worker has then, and what the call ended with. Of several rounds the shortest times are
shown: what the machine does meanwhile makes them longer, never shorter.

What it does not show: the engine's own step, which a large request makes longer, is part of the
stream's gap.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.testing.models.tiny_model import random_model
from tests.bench.loop_shapes import SHAPES, SHOW_STACKS, Shape
from tests.python.support.client import Client, Failed, Running, Session, sampling
from tests.python.support.native import http2_frame
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import REAL_ENVIRONMENT

ENGINE_CLASS = "tests.bench.watched_engine:WatchedAsyncLLM"
CALL_SECONDS = 30.0
SETTLE_SECONDS = 0.3


async def read_streams(address: str, session_address: str, engine: Ref) -> None:
    """Reads streams; at each line of stdin, prints the longest gap since the line before."""
    longest = 0.0
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def read() -> None:
        nonlocal longest
        params = sampling(max_tokens=1500, ignore_eos=True, output_kind="DELTA", temperature=0.0)
        async with (
            Client(address, session_address=session_address) as client,
            client.session() as session,
        ):
            while True:
                running = await session.start(engine, "generate", "hello", params, "other")
                await running.accepted()
                last = time.perf_counter()
                while (await running.reply()).WhichOneof("outcome") == "item":
                    now = time.perf_counter()
                    longest, last = max(longest, now - last), now

    task = asyncio.create_task(read())
    while await reader.readline():
        print(longest, flush=True)
        longest = 0.0
    task.cancel()


class Other:
    """The client with the streams, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, worker: Worker, engine: Ref) -> Other:
        """Starts it."""
        command = [sys.executable, "-m", "tests.bench.loop_gaps", "--read-streams"]
        command += [worker.address, worker.session_address, engine.incarnation, engine.id]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def longest(self) -> float:
        """The longest gap since the last time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return float(await self._process.stdout.readline())

    async def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        await self._process.wait()


def frame_of(shape: Shape, target: Ref | str, first_id: int) -> bytes:
    """The frame that starts the calls of a shape."""
    request = pb.CallRequest(method=shape.method, args=shape.args(), kwargs=shape.kwargs())
    if isinstance(target, Ref):
        request.ref, request.incarnation = target.id, target.incarnation
    else:
        request.class_name = target
    calls = [
        pb.StartCall(id=first_id + n, request=request, credit=1_000_000) for n in range(shape.calls)
    ]
    return pb.ClientFrame(calls=calls).SerializeToString()


async def send(session: Session, shape: Shape, target: Ref | str) -> list[int]:
    """Sends a shape; returns the ids of its calls."""
    ids = []
    messages = []
    for _ in range(shape.frames):
        first = session._last_id + 1
        session._last_id += shape.calls
        ids += range(first, first + shape.calls)
        messages.append(frame_of(shape, target, first))
    if len(messages) == 1:
        await session._rpc.send_message(messages[0])
    else:
        frames = [
            http2_frame(0, 0, 1, struct.pack(">BI", 0, len(data)) + data) for data in messages
        ]
        session._rpc.send(b"".join(frames))
    return ids


async def finish(session: Session, shape: Shape, ids: list[int]) -> str:
    """Waits for the last reply of each call; returns how the last ended."""
    ended = ""
    elements = shape.elements()
    for call_id in ids:
        running = Running(session, call_id, session._calls[call_id])
        while True:
            reply = await running.reply()
            outcome = reply.WhichOneof("outcome")
            if outcome == "input_wanted":
                step = {"element": elements.pop(0)} if elements else {"end": pb.End()}
                await session.write(pb.ClientFrame(inputs=[pb.Input(call=call_id, **step)]))
            if outcome in ("value", "end", "failure"):
                break
        ended = outcome
        if outcome == "failure":
            kind = pb.FailureKind.Name(reply.failure.kind).removeprefix("FAILURE_KIND_")
            ended = f"{kind.lower()}: {reply.failure.message[:90]}"
        del session._calls[call_id]
    return ended


async def measure(
    shape: Shape, target: Ref | str, engine: Ref, client: Client, other: Other, worker: Worker
) -> dict[str, Any]:
    """Sends one shape and returns its row."""
    await asyncio.sleep(SETTLE_SECONDS)
    await client.call(engine, "reset_watch")
    await other.longest()
    began = time.perf_counter()
    async with client.session() as session:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                ids = await send(session, shape, target)
                ended = await finish(session, shape, ids)
        except (TimeoutError, Failed) as error:
            ended = f"{type(error).__name__} {error}"
    took = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    return {
        "shape": shape.name,
        "loop_ms": 1000 * await client.call(engine, "longest_gap"),
        "stream_ms": 1000 * await other.longest(),
        "took_s": took,
        "megabytes": worker.rss_bytes() / 2**20,
        "ended": ended,
    }


async def run(worker: Worker, folder: Path, options: argparse.Namespace) -> None:
    """Measures all shapes."""
    async with Client(worker.address, session_address=worker.session_address) as client:
        arguments = {
            "model": str(random_model(folder / "model")),
            "dtype": "float32",
            "enforce_eager": True,
            "max_model_len": 2048,
            "max_logprobs": -1,
            "enable_prompt_embeds": True,
            "structured_outputs_config": {"backend": "xgrammar"},
        }
        engine: Ref = await client.call(
            "AsyncLLM", "from_engine_args", Record("AsyncEngineArgs", arguments)
        )
        tokenizer: Ref = await client.call(engine, "get_tokenizer")
        other = await Other.start(worker, engine)
        for shape in SHAPES:
            if options.only and not any(it in shape.name for it in options.only.split("|")):
                continue
            target: Ref | str = engine
            if shape.of_tokenizer:
                target = tokenizer
            if shape.of_worker:
                target = "Worker"
            rounds = [
                await measure(shape, target, engine, client, other, worker)
                for _ in range(options.rounds)
            ]
            row = rounds[-1] | {
                key: min(row[key] for row in rounds) for key in ("loop_ms", "stream_ms", "took_s")
            }
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{row['shape']:46} {row['loop_ms']:9.1f} {row['stream_ms']:9.1f} "
                    f"{row['took_s']:7.2f} {row['megabytes']:7.0f}  {row['ended']}",
                    flush=True,
                )
        await other.stop()
        await client.call(engine, "shutdown")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="shapes whose names hold one of these texts, parted by |")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stacks", action="store_true", help="show the worker's stacks in gaps")
    parser.add_argument("--read-streams", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read_streams:
        address, session_address, incarnation, ref_id = options.read_streams
        asyncio.run(read_streams(address, session_address, Ref(incarnation, ref_id, "AsyncLLM")))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        worker = Worker.start(
            folder / "worker",
            engine_class=ENGINE_CLASS,
            environment={
                **REAL_ENVIRONMENT,
                "PYTHONPATH": os.getcwd(),
                SHOW_STACKS: "1" if options.stacks else "",
            },
        )
        try:
            if not options.json:
                print(
                    f"{'shape':46} {'loop ms':>9} {'stream ms':>9} {'took s':>7} {'MB':>7}  ended"
                )
            asyncio.run(run(worker, folder, options))
            if options.stacks:
                print(worker.log.read_text(), file=sys.stderr)
        finally:
            worker.stop()


if __name__ == "__main__":
    main()
