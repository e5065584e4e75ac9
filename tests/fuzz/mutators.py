"""Other inputs from those that there are."""

from __future__ import annotations

import random
from collections.abc import Sequence

LONGEST = 4096

# Numbers at the edges of what a field holds.
EDGES = [
    *(b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\x7f\xff\xff\xff"),
    *(b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00", b"\xff" * 9 + b"\x01"),
]
# What the formats begin with: of MessagePack's values, and of HTTP/2's frames.
WORDS = [
    *(b"\xc0", b"\xc2", b"\xc3", b"\x90", b"\x91", b"\x80", b"\x81\xa1k", b"\xa0", b"\xa5stop_"),
    *(b"\xca\x7f\xc0\x00\x00", b"\xcb\x7f\xf8" + bytes(6), b"\xcf" + b"\xff" * 8, b"\xd3\x80"),
    *(b"\xc7\x03\x01", b"\xc7\x05\x0b", b"\xd4\x0a\x90", b"\xd6\xff", b"\xc8\xff\xff\x08"),
    *(
        bytes((0, 0, 4, kind, flags, 0, 0, 0, 1)) + bytes(4)
        for kind in range(10)
        for flags in (0, 5)
    ),
    *(b"\xa6params", b"\xa1n", b"\xa6prompt", b"\xaarequest_id", b"\xa5level", b"\xaamax_tokens"),
]


def mutated(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    """Returns one of the seeds with some changes, or two of them in one."""
    out = bytearray(dice.choice(seeds)[:LONGEST])
    for _ in range(1 + min(int(dice.expovariate(0.5)), 16)):
        place = dice.randrange(len(out) + 1)
        match dice.randrange(9):
            case 0 if out:
                out[place - 1] ^= 1 << dice.randrange(8)
            case 1 if out:
                out[place - 1] = dice.randrange(256)
            case 2:
                del out[place : place + dice.randrange(1, 9)]
            case 3:
                out[place:place] = out[place : place + dice.randrange(1, 33)]
            case 4:
                out[place:place] = dice.choice(WORDS)
            case 5:
                edge = dice.choice(EDGES)
                out[place : place + len(edge)] = edge
            case 6:
                other = dice.choice(seeds)
                start = dice.randrange(len(other) + 1)
                out[place:] = other[start : start + LONGEST]
            case 7 if out:
                out[place - 1] = (out[place - 1] + dice.choice((1, -1))) % 256
            case _:
                other = dice.choice(seeds)
                start = dice.randrange(len(other) + 1)
                out[place:place] = other[start : start + dice.randrange(1, 65)]
    return bytes(out[:LONGEST])
