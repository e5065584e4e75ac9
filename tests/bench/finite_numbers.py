"""What it costs to look for numbers that are none, and to zero fresh blocks of the KV cache.

``python -m tests.bench.finite_numbers``. A check is compared with the transport of the same tensor
through the worker to EngineCore: decoded from the wire, encoded and decoded as vLLM does, and no
socket on either side. Zeroing is compared with reading the weights that a model of that shape reads
once in each step. By turns; each figure is the median of the rounds.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch
from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

from python_worker import codec
from python_worker.finite import first_not_finite
from python_worker.process.fresh_blocks import zero_blocks

ROUNDS = 15
MEGABYTES = (0.1, 1, 10, 64)
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn)

# A model of 8 billion parameters in bfloat16: layers, heads of keys and values, block, numbers of a
# key and a value, and the bytes of a layer's weights.
LAYERS, HEADS, BLOCK, NUMBERS, LAYER_BYTES = 32, 8, 128, 256, 436 * 2**20
BLOCKS = 4


def seconds(work: Callable[[], object]) -> float:
    """How long it takes once."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def by_turns(*works: Callable[[], object]) -> list[float]:
    """The median times of several things, done one after the other in each round."""
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def transported(data: bytes) -> object:
    """What EngineCore gets of a tensor that a client has sent."""
    parts = MsgpackEncoder().encode(codec.decode(data))
    return MsgpackDecoder(torch.Tensor).decode([bytearray(part) for part in parts])


def checks() -> None:
    """Prints a line for each size and dtype."""
    print("| tensor | check, ms | transport, ms | check / transport |")
    print("| --- | --- | --- | --- |")
    for dtype in DTYPES:
        for size in MEGABYTES:
            tensor = torch.randn(int(size * 2**20) // dtype.itemsize).to(dtype)
            check_s, transport_s = by_turns(
                functools.partial(first_not_finite, tensor, torch.bfloat16),
                functools.partial(transported, codec.encode(tensor)),
            )
            name = str(dtype).removeprefix("torch.")
            print(
                f"| {size} MB {name} | {check_s * 1e3:.3f} | {transport_s * 1e3:.3f} "
                f"| {check_s / transport_s:.3f} |"
            )


def zeroing() -> None:
    """Prints what a fresh block costs beside the weights that a step reads."""
    shape = (BLOCKS, HEADS, BLOCK, NUMBERS)
    caches = [torch.ones(shape, dtype=torch.bfloat16) for _ in range(LAYERS)]
    config = SimpleNamespace(num_blocks=BLOCKS)
    runner = SimpleNamespace(kv_caches=caches, kv_cache_config=config)
    weights = torch.ones(LAYER_BYTES // 4)
    zero_s, layer_s = by_turns(lambda: zero_blocks(runner, [2]), weights.sum)
    step_s = LAYERS * layer_s
    print(
        f"\na fresh block of {BLOCK} tokens: {zero_s * 1e3:.2f} ms; the weights of a step: ", end=""
    )
    print(f"{step_s * 1e3:.0f} ms; {zero_s / step_s / BLOCK:.6f} of a step for each token")


if __name__ == "__main__":
    checks()
    zeroing()
