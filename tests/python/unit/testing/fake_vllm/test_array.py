"""The array of a fake engine on a machine without numpy."""

from __future__ import annotations

import sys

import pytest

from python_worker.testing.fake_vllm import array


def test_an_array_needs_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    made = array.array([[1.0, 2.0], [3.0, 4.0]])
    assert f"{type(made).__module__}.{type(made).__qualname__}" == "numpy.ndarray"
    assert (made.shape, made.dtype.name) == ((2, 2), "float32")
    monkeypatch.undo()
    import numpy as np

    assert made.tobytes() == np.array([[1, 2], [3, 4]], np.float32).tobytes()
    assert made[:0].shape == (0,)
    with pytest.raises(ValueError, match="uneven"):
        array.ndarray([[1.0], [1.0, 2.0]]).tobytes()
