"""Moves bytes with nothing around them: the reference of ``tests/bench/tensors.exs``.

``python -m tests.bench.bare_bytes SOCKET BYTES`` serves a Unix socket without any protocol: a
client sends ``g`` and is given so many bytes, or ``t`` and as many bytes, which are taken and
answered with one. Told ``give`` or ``take`` on stdin, it moves as many by a unary call of
``grpc.aio`` between two Python processes, and prints the seconds that took.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc

ENDLESS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
METHOD = "/bare/Move"


def serve_socket(path: str, size: int) -> None:
    """Serves one client after the other."""
    data, room = bytes(range(256)) * (size // 256), memoryview(bytearray(size))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client:
                while command := client.recv(1):
                    if command == b"g":
                        client.sendall(data)
                        continue
                    came = 0
                    while came < size:
                        came += client.recv_into(room[came:])
                    client.sendall(b".")


async def serve_grpc(path: str, size: int) -> None:
    """Serves calls with bytes both ways, which nothing encodes, until stdin ends."""
    data = bytes(range(256)) * (size // 256)

    async def move(request: bytes, _context: object) -> bytes:
        return data if request == b"g" else b"."

    server = grpc.aio.server(options=ENDLESS)
    handlers = {"Move": grpc.unary_unary_rpc_method_handler(move)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bare", handlers),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


async def call_grpc(path: str, size: int) -> None:
    """Does what stdin says, until it ends."""
    data = bytes(range(256)) * (size // 256)
    requests = {"give": b"g", "take": data}
    async with grpc.aio.insecure_channel(f"unix:{path}", options=ENDLESS) as channel:
        move = channel.unary_unary(METHOD)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            began = time.perf_counter()
            await move(requests[line])
            print(time.perf_counter() - began, flush=True)


def main() -> None:
    """See the module's documentation."""
    path, size = sys.argv[1], int(sys.argv[2])
    if sys.argv[3:] == ["grpc"]:
        asyncio.run(serve_grpc(path, size))
        return
    threading.Thread(target=serve_socket, args=(path, size), daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            sys.executable,
            "-m",
            "tests.bench.bare_bytes",
            f"{folder}/s",
            str(size),
            "grpc",
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(arguments, **pipes) as server:
            assert server.stdout is not None
            server.stdout.readline()
            print("ready", flush=True)
            asyncio.run(call_grpc(f"{folder}/s", size))
    os._exit(0)


if __name__ == "__main__":
    main()
