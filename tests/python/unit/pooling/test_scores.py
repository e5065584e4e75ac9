"""Cosines in plain Python, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from python_worker.pooling.scores import cosine, cosines


def test_the_cosine_is_that_of_numpy() -> None:
    one, other = np.array([1.0, 2.0, -3.0]), np.array([0.5, -1.0, 4.0])
    expected = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    assert cosine(one.tolist(), other.tolist()) == pytest.approx(expected)
    assert cosine([0.0, 0.0], [1.0, 2.0]) == 0.0


def test_a_single_query_is_in_every_pair() -> None:
    rows = [np.array(row, np.float32) for row in ([1.0, 0.0], [0.0, 2.0], [-3.0, 0.0])]
    assert cosines(rows[:1], rows).tolist() == [1.0, 0.0, -1.0]
    assert cosines(rows, rows).tolist() == [1.0, 1.0, 1.0]
    assert cosines(rows, rows).dtype == np.float32
