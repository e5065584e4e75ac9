"""Fresh blocks are zeroed on a CPU, and only where vLLM wants it elsewhere.

That it keeps requests apart is tested with a real engine in ``vllm/test_tensors.py``.
"""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from python_worker.process import fresh_blocks


class KVCacheConfig:
    """As vLLM's."""

    mixed = False

    @property
    def needs_kv_cache_zeroing(self) -> bool:
        return self.mixed


class CPUModelRunner:
    """As vLLM's."""

    def _zero_block_ids(self, block_ids: list[int]) -> None:
        raise AssertionError("for GPUs")

    def _init_kv_zero_meta(self) -> None:
        raise AssertionError("for GPUs")


@pytest.mark.parametrize(
    ("on_cpu", "mixed", "needed"),
    [(True, False, True), (False, False, False), (False, True, True)],
)
def test_every_cache_needs_it_on_a_cpu(
    on_cpu: bool, mixed: bool, needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = SimpleNamespace(is_cpu=lambda: on_cpu)
    monkeypatch.setitem(
        sys.modules,
        "vllm.platforms",
        SimpleNamespace(current_platform=platform),
    )
    patched: Any = type("KVCacheConfig", (KVCacheConfig,), {"mixed": mixed})
    fresh_blocks.patch_kv_cache_interface(SimpleNamespace(KVCacheConfig=patched))
    assert patched().needs_kv_cache_zeroing is needed


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2])
def test_the_blocks_of_all_layers_are_zeroed_and_no_others(parts: int, dtype: Any) -> None:
    patched: Any = type("CPUModelRunner", (CPUModelRunner,), {})
    fresh_blocks.patch_cpu_model_runner(SimpleNamespace(CPUModelRunner=patched))
    runner = patched()
    caches = [torch.full((4 * parts, 2, 3), math.nan).to(dtype) for _ in range(2)]
    runner.kv_caches = [*caches, [torch.ones(1)]]
    runner.kv_cache_config = SimpleNamespace(num_blocks=4)
    runner._init_kv_zero_meta()
    runner._zero_block_ids([1, 3])
    for cache in caches:
        blocks = cache.float().unflatten(0, (4, parts))
        assert [bool(block.isnan().all()) for block in blocks] == [True, False, True, False]
        assert not blocks[1].any()
        assert not blocks[3].any()


def test_a_vllm_without_zeroing_stays_as_it_is() -> None:
    older = SimpleNamespace(KVCacheConfig=SimpleNamespace(), CPUModelRunner=SimpleNamespace())
    fresh_blocks.patch_kv_cache_interface(older)
    fresh_blocks.patch_cpu_model_runner(older)
    assert vars(older.KVCacheConfig) == vars(older.CPUModelRunner) == {}
