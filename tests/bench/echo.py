"""The least that a unary call of grpc.aio takes: the reference of control calls.

The server answers with what it got, over a Unix socket and on uvloop, as the
worker does, in a process of its own. This process is the client: for each line
with a number it makes so many calls, one after the other, and prints the
microseconds each took. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time

import grpc
import uvloop

METHOD = "/bench.Echo/Echo"


async def _serve(address: str) -> None:
    async def echo(request: bytes, _context: object) -> bytes:
        return request

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "bench.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    )
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(address)
    await server.start()
    # The client holds the other end.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


async def _measure(address: str) -> None:
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD, None, None)
        await call(b"x", wait_for_ready=True)
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            times = []
            for _ in range(int(line)):
                began = time.perf_counter()
                await call(b"x")
                times.append((time.perf_counter() - began) * 1e6)
            print(*(f"{one:.1f}" for one in times), flush=True)


def main() -> None:
    """Runs the client, which runs the server."""
    if len(sys.argv) > 1:
        uvloop.run(_serve(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/echo"
        command = [sys.executable, "-m", "tests.bench.echo", address]
        with subprocess.Popen(command, stdin=subprocess.PIPE):
            # Leaving closes the server's stdin, and waits for it.
            uvloop.run(_measure(address))


if __name__ == "__main__":
    main()
