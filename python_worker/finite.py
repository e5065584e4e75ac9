"""Finds numbers that are none: NaN and infinity, also those that another dtype makes of a number.

A model that is given one answers with noise, and writes NaN into its KV cache, from where it can
reach the answers of other requests. So every tensor that reaches a model is looked at first.

The smallest and the largest number of a tensor tell, in one pass and without a copy: NaN becomes
both of them. Only a tensor that is refused is looked at number by number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

CHUNK = 2**20
"""How many numbers are looked at together where the first wrong one is searched."""

# torch knows no minimum of these. Without its sign, a byte from here on is NaN or infinity.
ONE_BYTE_DTYPES: Mapping[str, int] = {"torch.float8_e4m3fn": 0x7F, "torch.float8_e5m2": 0x7C}


class NotFinite(NamedTuple):
    """A number that is none.

    Attributes:
        position: Its index in each dimension.
        value: The number as it was given.
        dtype: The dtype in which it is none, where it is one as it was given.
    """

    position: tuple[int, ...]
    value: float
    dtype: str | None = None

    @property
    def text(self) -> str:
        """What it is, for an error message."""
        if self.dtype is None:
            return f"{self.value}"
        return f"{self.value:g}, which is infinite as {self.dtype}"


def first_not_finite(numbers: Any, dtype: Any = None) -> NotFinite | None:
    """The first number of an array that is not finite; None if all are.

    Args:
        numbers: A tensor of torch's, an array of numpy's, or a list of numbers. Integers are
            finite.
        dtype: The dtype of torch's that the numbers will have; None if they stay as they are.
    """
    if isinstance(numbers, (list, tuple)):
        return _first_in_list(numbers)
    tensor = _plain(numbers)
    if tensor is None or tensor.numel() == 0 or _is_finite(tensor, dtype):
        return None
    return _located(tensor, dtype, complex_parts=_is_complex(numbers))


def is_array(value: object) -> bool:
    """Whether a value is a tensor of torch's or an array of numpy's."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _first_in_list(numbers: Iterable[Any]) -> NotFinite | None:
    for index, number in enumerate(numbers):
        if type(number) is float and not math.isfinite(number):
            return NotFinite((index,), number)
    return None


def _is_complex(numbers: Any) -> bool:
    return "complex" in str(numbers.dtype)


def _plain(numbers: Any) -> Any:
    """A dense tensor of floats with the same numbers; None for integers."""
    import torch

    if not isinstance(numbers, torch.Tensor):
        if numbers.dtype.kind not in "fc":
            return None
        numbers = torch.from_numpy(numbers.astype(numbers.dtype.newbyteorder("="), "C", copy=False))
    if not (numbers.is_floating_point() or numbers.is_complex()):
        return None
    tensor = numbers.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.element_size() == 1 and str(tensor.dtype) not in ONE_BYTE_DTYPES:
        return tensor.to(torch.float32)
    return tensor


def _is_finite(tensor: Any, dtype: Any) -> bool:
    import torch

    first_wrong = ONE_BYTE_DTYPES.get(str(tensor.dtype))
    if first_wrong is not None:
        # Whatever is finite in one byte is so in every other dtype.
        chunks = tensor.contiguous().view(-1).view(torch.uint8).split(CHUNK)
        return all(int((chunk & 0x7F).max()) < first_wrong for chunk in chunks)
    ends = torch.stack(torch.aminmax(tensor))
    return bool(torch.isfinite(ends if dtype is None else ends.to(dtype)).all())


def _located(tensor: Any, dtype: Any, *, complex_parts: bool) -> NotFinite:
    import torch

    numbers = tensor.reshape(-1)
    wanted = torch.float32 if tensor.element_size() == 1 else dtype or tensor.dtype
    for start in range(0, numbers.numel(), CHUNK):
        chunk = numbers[start : start + CHUNK]
        wrong = ~torch.isfinite(chunk.to(wanted))
        if bool(wrong.any()):
            index = start + int(wrong.nonzero()[0])
            break
    value = float(numbers[index])
    position = tuple(int(it) for it in torch.unravel_index(torch.tensor(index), tensor.shape))
    name = str(dtype).removeprefix("torch.") if math.isfinite(value) else None
    return NotFinite(position[:-1] if complex_parts else position, value, name)
