"""The fake engine, with tensors to give and to take: ``tests/bench/tensors.exs`` asks for it.

torch is imported, as in a worker with real engines: what a client sends becomes a torch tensor.
"""

from __future__ import annotations

from typing import Any

import torch

from python_worker.testing.fake_engine.engine import FakeAsyncLLM


class TensorAsyncLLM(FakeAsyncLLM):
    """See the module's documentation."""

    _kept: Any = None

    async def keep_tensor(self, shape: list[int]) -> None:
        """Makes the tensor that ``give`` returns: not all zeros, which a kernel may share."""
        self._kept = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)

    async def give(self) -> Any:
        """Returns the tensor."""
        return self._kept

    async def give_rows(self) -> list[Any]:
        """Returns its rows, each a tensor of its own."""
        return list(self._kept)

    async def take(self, tensor: Any) -> list[int]:
        """Takes a tensor, and returns its shape."""
        return list(tensor.shape)
