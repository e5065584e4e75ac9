"""Which dtype fits."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.dtypes import resolve_dtype

BILLION = 10**9


@pytest.mark.parametrize(
    ("param_count", "memory", "dtype"),
    [
        (BILLION, 5 * BILLION, "float32"),
        (BILLION, 4 * BILLION, "bfloat16"),
        (0, 0, "float32"),
        (7 * BILLION, 24 * BILLION, "bfloat16"),
        (BILLION, 0, "bfloat16"),
    ],
)
def test_the_most_exact_dtype_is_chosen_whose_weights_leave_room(
    param_count: int, memory: int, dtype: str
) -> None:
    assert resolve_dtype(param_count, memory) == dtype


@pytest.mark.parametrize("numbers", [(-1, 1), (1, -1)])
def test_a_negative_number_is_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgument, match="at least 0"):
        resolve_dtype(*numbers)
