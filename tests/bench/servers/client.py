"""What the clients of the reference servers have in common.

A client is a process of its own. It waits until its server answers, prints
``ready``, and then, for each line with a number of streams, generates so many
at once and prints the tokens they yielded and the seconds they took. It ends
with its stdin.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Protocol

import uvloop

# A server takes 15 to 60 s to start. Who started it sees it end, and closes our stdin.
POLL_SECONDS = 0.2


class Client(Protocol):
    """One way to reach a server."""

    async def answers(self) -> bool:
        """Whether the server is ready."""

    async def open(self, streams: int) -> None:
        """Prepares so many streams, before the clock runs."""

    async def generate(self, index: int) -> int:
        """Generates once; returns how many tokens came."""


def options() -> argparse.Namespace:
    """What a client is told on its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="the path of the server's Unix socket")
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    return parser.parse_args()


def run(client: Client) -> None:
    """Serves the numbers on stdin."""
    uvloop.run(_run(client))


async def _run(client: Client) -> None:
    line = _read_line()
    while not await client.answers():
        ended, _ = await asyncio.wait([line], timeout=POLL_SECONDS)
        if ended:
            return
    print("ready", flush=True)
    while text := await line:
        streams = int(text)
        await client.open(streams)
        began = time.perf_counter()
        tokens = sum(await asyncio.gather(*(client.generate(n) for n in range(streams))))
        print(tokens, time.perf_counter() - began, flush=True)
        line = _read_line()


def _read_line() -> asyncio.Future[str]:
    return asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
