"""Mends what vLLM gets wrong in its own processes, where no subclass reaches.

On a CPU a request without an adapter has the index -1 among the slots of
adapters, which PyTorch reads as the last slot. So beside a request with an
adapter the model itself answers with whatever adapter lies there: with
``max_loras`` left at 1, with the other request's. vLLM's kernels for GPUs skip
-1; here such rows are multiplied by zero.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from typing import Any

LORA_OPS = "vllm.lora.ops.torch_ops.lora_ops"

# What adds an adapter's part to a layer's output; the others call these.
EXPANDING = ("bgmv_expand", "bgmv_expand_slice")


def skip_base_rows(expand: Callable[..., Any]) -> Callable[..., Any]:
    """The function with nothing added to rows whose index is no slot's."""

    @functools.wraps(expand)
    def mended(
        inputs: Any, weights: Any, output: Any, indices: Any, *args: Any, **kwargs: Any
    ) -> Any:
        inputs = inputs * (indices >= 0).unsqueeze(-1)
        return expand(inputs, weights, output, indices, *args, **kwargs)

    return mended


def mend_lora_ops(module: Any) -> None:
    """Mend vLLM's module of that name, as far as this version has what is wrong."""
    for name in EXPANDING:
        if hasattr(module, name):
            setattr(module, name, skip_base_rows(getattr(module, name)))


class WhenImported(MetaPathFinder):
    """Mends a module as soon as it is imported: importing it here would take seconds."""

    def __init__(self, name: str, mend: Callable[[Any], None]) -> None:
        self._name = name
        self._mend = mend

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Finds the module the usual way, and has it mended when it has run."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_mend(module: Any) -> None:
                run(module)
                self._mend(module)

            spec.loader.exec_module = run_and_mend  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Have vLLM's modules mended when they are imported."""
    sys.meta_path.insert(0, WhenImported(LORA_OPS, mend_lora_ops))
