"""Tells when workers serve: ``tests/bench/startup.exs`` asks for it.

For each path of a Unix socket on stdin it prints at what time ``grpc.health.v1`` there has said
SERVING, in nanoseconds of the clock that the whole machine shares.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def wait_connectable(path: str) -> None:
    """Returns once a socket is listened on. Not by gRPC, which would wait a second to try again."""
    while True:
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(path)
            return
        time.sleep(0.001)


def wait_serving(path: str) -> int:
    """Returns the time of the first answer that says SERVING."""
    wait_connectable(path)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        while True:
            with contextlib.suppress(grpc.RpcError):
                if health.Check(request).status == health_pb2.HealthCheckResponse.SERVING:
                    return time.perf_counter_ns()
            time.sleep(0.001)


def main() -> None:
    """See the module's documentation."""
    print("ready", flush=True)
    while path := sys.stdin.readline().strip():
        print(wait_serving(path), flush=True)


if __name__ == "__main__":
    main()
