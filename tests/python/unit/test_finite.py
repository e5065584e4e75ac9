"""Numbers that are none are found in every dtype and layout, and numbers that are some are not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_worker.finite import CHUNK, NotFinite, first_not_finite, is_array

DTYPES = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]


def tensor(dtype: str, value: float) -> Any:
    numbers = torch.ones(2, 3, 4, dtype=torch.float64)
    numbers[1, 2, 3] = value
    return numbers.to(getattr(torch, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cast", [None, torch.float16])
def test_nan_is_found_in_every_dtype(dtype: str, cast: Any) -> None:
    found = first_not_finite(tensor(dtype, math.nan), cast)
    assert found is not None
    assert found.position == (1, 2, 3)
    assert found.text == "nan"
    assert first_not_finite(tensor(dtype, -2.0), cast) is None


@pytest.mark.parametrize("dtype", [it for it in DTYPES if it != "float8_e4m3fn"])
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_is_found_in_every_dtype_that_has_it(dtype: str, value: float) -> None:
    assert first_not_finite(tensor(dtype, value)) == NotFinite((1, 2, 3), value)


@pytest.mark.parametrize(
    ("dtype", "value", "cast", "wrong"),
    [
        ("float32", 1e38, torch.float16, True),
        ("float32", -65520.0, torch.float16, True),  # the least that is rounded to infinity
        ("float32", 65519.0, torch.float16, False),
        ("float32", 1e38, torch.bfloat16, False),
        ("float64", 1e300, torch.float32, True),
        ("float8_e5m2", 57344.0, torch.float16, False),
    ],
)
def test_a_number_that_a_cast_makes_infinite_is_found(
    dtype: str, value: float, cast: Any, wrong: bool
) -> None:
    found = first_not_finite(tensor(dtype, value), cast)
    assert (found is not None) == wrong
    if found is not None:
        assert "which is infinite as float" in found.text
        assert math.isfinite(found.value)
    assert first_not_finite(tensor(dtype, value)) is None


def test_the_first_of_several_is_found_also_far_behind() -> None:
    numbers = torch.zeros(3, CHUNK)
    numbers[2, 7] = math.inf
    numbers[2, 9] = math.nan
    assert first_not_finite(numbers) == NotFinite((2, 7), math.inf)


@pytest.mark.parametrize(
    "numbers",
    [
        torch.tensor(math.nan),
        torch.tensor([1 + 1j, complex(0, math.nan)]).conj(),
        torch.tensor([1.0, math.nan]).to_sparse(),
        torch.tensor([[1.0, 2.0], [math.nan, 0.0]]).T,
        torch.nn.Parameter(torch.tensor([math.nan])),
        np.array([1.0, math.nan], ">f4"),
        np.array([math.nan, 1.0, 1.0, 1.0], "f2")[::-3],
        np.array([complex(math.nan, 0)]),
        [1, True, math.nan],
    ],
)
def test_every_layout_of_torch_and_numpy_is_looked_at(numbers: Any) -> None:
    assert first_not_finite(numbers) is not None


@pytest.mark.parametrize(
    "numbers",
    [
        torch.arange(3),
        torch.tensor([True]),
        torch.empty(0, 4),
        np.arange(3),
        np.array(["nan"]),
        np.empty((0, 2)),
        [],
        [2**70, 1.5],
    ],
)
def test_integers_and_nothing_are_finite(numbers: Any) -> None:
    assert first_not_finite(numbers) is None


def test_a_complex_number_has_one_position() -> None:
    numbers = torch.zeros(2, 3, dtype=torch.complex64)
    numbers[1, 2] = complex(0, math.inf)
    assert first_not_finite(numbers) == NotFinite((1, 2), math.inf)


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_it_finds_what_looking_at_each_number_finds(numbers: list[float]) -> None:
    expected = next((i for i, it in enumerate(numbers) if not math.isfinite(it)), None)
    for given_as in (torch.tensor(numbers), np.array(numbers, "f4"), numbers):
        found = first_not_finite(given_as)
        assert (None if found is None else found.position[0]) == expected


def test_what_is_an_array() -> None:
    assert is_array(torch.ones(1))
    assert is_array(np.ones(1))
    assert not is_array([1.0])
