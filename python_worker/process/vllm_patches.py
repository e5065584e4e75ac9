"""Patches errors of vLLM in its own processes, where a subclass cannot reach.

On a CPU a request without a LoRA adapter has the index -1 among the adapter slots, which PyTorch
reads as the last slot. Beside a request with an adapter, a request to the base model is then
answered with the adapter in that slot: with ``max_loras`` left at 1, with that of the other
request. vLLM's kernels for GPUs skip -1. Here the rows of such requests become zeros: nothing is
added to them, also where the adapter's large weights have made a row infinite before.

What is patched about the loading of adapters is in ``adapter_loading``, about the KV cache in
``fresh_blocks``, about the rows that a head with adapters is given in ``adapter_rows``, about seeds
in ``seeded_prompts``, about a model of LLaMA-Factory's in ``yi_vl``, about cores whose head is on
another host in ``head_link``, and about worker processes on other hosts in ``remote_workers``.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

from python_worker.process import (
    adapter_loading,
    adapter_rows,
    fresh_blocks,
    head_link,
    remote_workers,
    seeded_prompts,
    yi_vl,
)

LORA_OPS = "vllm.lora.ops.torch_ops.lora_ops"

# The functions that add an adapter's part to a layer's output. All others call these.
EXPANDING = ("bgmv_expand", "bgmv_expand_slice")


def skip_base_rows(expand: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function, changed to add nothing to rows whose index is negative."""

    @functools.wraps(expand)
    def patched(
        inputs: Any, weights: Any, output: Any, indices: Any, *args: Any, **kwargs: Any
    ) -> Any:
        inputs = inputs.masked_fill((indices < 0).unsqueeze(-1), 0)
        return expand(inputs, weights, output, indices, *args, **kwargs)

    return patched


def patch_lora_ops(module: Any) -> None:
    """Patches vLLM's module ``lora_ops``, as far as this version has the functions."""
    for name in EXPANDING:
        if hasattr(module, name):
            setattr(module, name, skip_base_rows(getattr(module, name)))


class PatchOnImport(MetaPathFinder):
    """Patches a module when it is imported. Importing it here would take seconds.

    Args:
        name: The module's full name.
        patch: Called with the module when it has been executed.
    """

    def __init__(self, name: str, patch: Callable[[Any], None]) -> None:
        self._name = name
        self._patch = patch

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Finds the module as usual, and has it patched once it has been executed."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_patch(module: Any) -> None:
                execute(module)
                self._patch(module)

            spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Has vLLM's modules patched when they are imported."""
    for name, patch in PATCHES:
        sys.meta_path.insert(0, PatchOnImport(name, patch))


PATCHES: Sequence[tuple[str, Callable[[Any], None]]] = (
    (LORA_OPS, patch_lora_ops),
    (adapter_loading.ADAPTER_MODEL, adapter_loading.patch_adapter_model),
    (adapter_loading.WORKER_BASE, adapter_loading.patch_worker_base),
    (adapter_loading.WORKER_MANAGER, adapter_loading.patch_worker_manager),
    (adapter_rows.GPU_MODEL_RUNNER, adapter_rows.patch_gpu_model_runner),
    (fresh_blocks.KV_CACHE_INTERFACE, fresh_blocks.patch_kv_cache_interface),
    (fresh_blocks.CPU_MODEL_RUNNER, fresh_blocks.patch_cpu_model_runner),
    (head_link.ENGINE_CORE, head_link.patch_engine_core),
    (remote_workers.MULTIPROC_EXECUTOR, remote_workers.patch_multiproc_executor),
    (seeded_prompts.CPU_MODEL_RUNNER, seeded_prompts.patch_cpu_model_runner),
    (yi_vl.LLAVA, yi_vl.patch_llava),
)
"""The modules of vLLM's that are patched, each with a function that does it."""
