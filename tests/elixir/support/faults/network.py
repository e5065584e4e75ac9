"""Two ends of a network that loses, delays and swaps packets, without any module of the kernel.

    python network.py NAMESPACE ADDRESS PEER

Makes a device in this namespace with ADDRESS and one in NAMESPACE with PEER, and passes packets
between them as the last line on stdin says: ``pass``, ``delay MILLISECONDS``, ``lose PERCENT``,
``swap PERCENT`` (so many packets wait until the next ones have passed) or ``drop`` (nothing passes,
as if the cable was pulled). Prints a line when it is ready, and ends with stdin.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000

#: Which packets are lost is the same in every run.
SEED = 1

#: How long one that is swapped waits.
SWAPPED_SECONDS = 0.01


def device(name: str, address: str, peer: str) -> int:
    """A device of the present namespace; returns what its packets are read from and written to."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    for command in (
        ["addr", "add", address, "peer", peer, "dev", name],
        ["link", "set", name, "up"],
    ):
        subprocess.run(["ip", *command], check=True)
    return descriptor


class Network:
    """What is on its way, and what happens to it."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self._other = {ends[0]: ends[1], ends[1]: ends[0]}
        self._mode = ["pass"]
        # When each packet is due, its number, where it goes to, and what it is.
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._random = random.Random(SEED)

    def run(self) -> None:
        """Passes packets until stdin ends."""
        stdin = sys.stdin.fileno()
        while True:
            due = self._waiting[0][0] - time.monotonic() if self._waiting else None
            ready, _, _ = select.select(
                [stdin, *self._other], [], [], None if due is None else max(due, 0)
            )
            if stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                self._mode = line.split()
            for end in self._other.keys() & set(ready):
                self._take(os.read(end, 65536), self._other[end])
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(self._waiting)
                os.write(to, packet)

    def _take(self, packet: bytes, to: int) -> None:
        mode, *number = self._mode
        hit = bool(number) and self._random.random() * 100 < float(number[0])
        if mode == "drop" or (mode == "lose" and hit):
            return
        wait = 0.0
        if mode == "delay":
            wait = float(number[0]) / 1000
        elif mode == "swap" and hit:
            wait = SWAPPED_SECONDS
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + wait, self._count, to, packet))


def main(namespace: str, address: str, peer: str) -> None:
    """Runs the network."""
    near = device("vb0", address, peer)
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{namespace}", "rb") as other:
        if libc.setns(other.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    far = device("vb0", peer, address)
    print("ready", flush=True)
    Network((near, far)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
