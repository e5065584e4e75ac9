"""Rows of a library, as one array of that library."""

from __future__ import annotations

import numpy as np
import pytest

from python_worker.pooling.tensors import array_like, bytes_of, is_empty, stacked
from python_worker.testing.fake_vllm.array import ndarray


def test_rows_of_numpy_are_stacked() -> None:
    rows = [np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)]
    whole = stacked(rows)
    assert (whole.shape, whole.dtype, whole.tolist()) == ((2, 2), np.float32, [[1, 2], [3, 4]])


def test_rows_of_torch_are_stacked() -> None:
    torch = pytest.importorskip("torch")
    whole = stacked([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])])
    assert isinstance(whole, torch.Tensor)
    assert whole.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert stacked([torch.tensor(1.0), torch.tensor(2.0)]).tolist() == [1.0, 2.0]


def test_rows_without_a_library_are_stacked() -> None:
    whole = stacked([ndarray([1.0, 2.0]), ndarray([3.0, 4.0])])
    assert isinstance(whole, ndarray)
    assert (whole.shape, whole.tolist()) == ((2, 2), [[1.0, 2.0], [3.0, 4.0]])


def test_rows_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the shapes \[\(1,\), \(2,\)\]"):
        stacked([np.zeros(1), np.zeros(2)])


def test_an_array_is_made_like_another() -> None:
    assert array_like(np.zeros(1, np.float32), [1.5]).dtype == np.float32
    assert array_like(ndarray([0.0]), [1.5]).tolist() == [1.5]


def test_bytes_are_counted_where_they_are_known() -> None:
    assert bytes_of(np.zeros(3, np.float32)) == 12
    assert bytes_of(ndarray([1.0])) == 0


def test_only_one_dimension_of_no_numbers_is_empty() -> None:
    assert is_empty(np.zeros(0))
    assert not is_empty(np.zeros((0, 3)))
    assert not is_empty(np.zeros(1))
