"""Arrays of torch and numpy, of every dtype and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from python_worker import codec, exceptions
from python_worker.codec import tensors
from tests.python.support.codec_values import round_trip


@pytest.mark.parametrize(
    "dtype",
    list(tensors.ITEM_SIZES),
)
def test_torch_tensors_of_every_dtype(dtype: str) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).to(getattr(torch, dtype))
    for tensor in (base, base.transpose(0, 2), base[:, 1:, ::2], base[0, 0, 1], base[:0]):
        back = round_trip(tensor)
        assert back.dtype == tensor.dtype
        assert back.shape == tensor.shape
        assert back.tolist() == tensor.tolist() if "float8" not in dtype else True


def test_torch_tensors_that_are_not_plain() -> None:
    grown = torch.tensor([1.5], requires_grad=True)
    assert round_trip(grown).tolist() == [1.5]
    assert round_trip(torch.nn.Parameter(torch.ones(2))).tolist() == [1, 1]
    assert round_trip(torch.eye(2).to_sparse()).tolist() == [[1, 0], [0, 1]]
    assert round_trip(torch.tensor([1 + 2j]).conj()).tolist() == [1 - 2j]
    with pytest.raises(exceptions.EncodeError, match="Tensor cannot be sent"):
        codec.encode(torch.ones(2, device="meta"))


def test_numpy_arrays() -> None:
    base = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    for array in (base, base.T, base[:, ::2], np.array(3.5), base[:0], base.astype(">i8")):
        back = round_trip(array)
        assert tuple(back.shape) == array.shape
        assert back.tolist() == array.tolist()


def test_without_torch_arrays_are_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(np.array([[1.5, 2.5]], dtype=np.float32))
    brain = codec.encode(torch.ones(1, dtype=torch.bfloat16))
    monkeypatch.delitem(__import__("sys").modules, "torch")
    back: Any = codec.decode(data)
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.float32
    back[0, 0] = 9  # it owns its memory
    with pytest.raises(exceptions.DecodeError, match="numpy alone cannot hold"):
        codec.decode(brain)
