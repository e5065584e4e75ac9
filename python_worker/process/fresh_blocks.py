"""Zeroes blocks of the KV cache before another request uses them, on a CPU.

vLLM's attention for CPUs multiplies what is left behind the end of a request in its last block by
zero. NaN stays NaN: one request whose numbers overflow, as with weights or embeddings that are
large though finite, spoils the answers of those that get its blocks next. The kernels for GPUs skip
what is left. vLLM can have fresh blocks zeroed, for other reasons and by a kernel for GPUs; here it
always does on a CPU. That writes a block once more, where a model writes it in each of its layers
after reading all weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

KV_CACHE_INTERFACE = "vllm.v1.kv_cache_interface"
CPU_MODEL_RUNNER = "vllm.v1.worker.cpu_model_runner"


def patch_kv_cache_interface(module: Any) -> None:
    """Patches vLLM's module ``kv_cache_interface``: on a CPU every cache needs zeroing."""
    needed: property | None = getattr(module.KVCacheConfig, "needs_kv_cache_zeroing", None)
    if needed is None:
        return

    def needs_kv_cache_zeroing(self: Any) -> bool:
        return is_on_cpu() or bool(needed.__get__(self))

    module.KVCacheConfig.needs_kv_cache_zeroing = property(needs_kv_cache_zeroing)


def is_on_cpu() -> bool:
    """Whether vLLM runs models on a CPU here."""
    return bool(sys.modules["vllm.platforms"].current_platform.is_cpu())


def patch_cpu_model_runner(module: Any) -> None:
    """Patches vLLM's module ``cpu_model_runner``: torch zeroes blocks, and prepares nothing."""
    if hasattr(module.CPUModelRunner, "_zero_block_ids"):
        module.CPUModelRunner._init_kv_zero_meta = lambda self: None
        module.CPUModelRunner._zero_block_ids = zero_blocks


def zero_blocks(runner: Any, block_ids: Sequence[int]) -> None:
    """Zero blocks of all layers.

    Args:
        runner: The model runner, whose ``kv_caches`` are tensors with blocks in their first
            dimension. A block may be several of the kernel's.
        block_ids: Of the blocks.
    """
    import torch

    ids = torch.tensor(block_ids)
    for cache in runner.kv_caches:
        if not isinstance(cache, torch.Tensor):
            continue  # the state of a layer without attention
        if cache.element_size() == 1:  # torch fills no floats of one byte
            cache = cache.view(torch.uint8)
        parts = cache.shape[0] // runner.kv_cache_config.num_blocks
        cache.unflatten(0, (-1, parts)).index_fill_(0, ids, 0)
