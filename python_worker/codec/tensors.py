"""Arrays of numbers, numpy's and torch's, in both directions.

On the wire an array is the name of its dtype, its shape, and its numbers, little-endian and in C
order. Encoding imports neither library: the caller that holds an array has imported its library.

The numbers of a large array are copied once from the array to the message, and once from the
message to the array. A copy of 64 MB takes 5 ms, and 40 ms if the kernel has to map memory for it:
hence `large_arrays` and `process.allocator`.
"""

from __future__ import annotations

import math
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final, cast

from python_worker.buffers import LARGE, Buffer

if TYPE_CHECKING:
    from collections.abc import Sequence

ITEM_SIZES: dict[str, int] = {
    "bool": 1,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""The dtypes that can be sent, by the names that torch and numpy share: bytes per number."""

TensorParts = tuple[str, list[int], Buffer]
"""The dtype, shape and bytes of an array."""

# numpy has no such dtypes, so a torch tensor of one is viewed as bytes before it goes to numpy.
_NOT_IN_NUMPY: Final = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


def from_numpy(array: Any) -> TensorParts | None:
    """Returns dtype, shape and bytes; None if the array does not hold plain numbers.

    The bytes of a large array may be a view of its memory.
    """
    name = array.dtype.name
    if name not in ITEM_SIZES:
        return None
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    return name, list(array.shape), _bytes_of(array)


def _bytes_of(array: Any) -> Buffer:
    if getattr(array, "nbytes", 0) < LARGE:
        return cast(bytes, array.tobytes("C"))
    return cast(memoryview, array.ravel("C").view("u1").data)


def from_torch(tensor: Any) -> TensorParts | None:
    """Returns dtype, shape and bytes, copied from any device; None if the tensor has no plain form.

    Tensors of quantized or packed dtypes have none. The bytes of a large tensor may be a view of
    its memory.
    """
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in ITEM_SIZES or tensor.is_meta:
        return None
    torch = sys.modules["torch"]
    plain = tensor.detach()
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    plain = plain.cpu().resolve_conj().resolve_neg()
    if name in _NOT_IN_NUMPY:
        plain = plain.contiguous().reshape(-1).view(torch.uint8)
    return name, list(tensor.shape), _bytes_of(plain.numpy())


def to_array(dtype: object, shape: object, data: object) -> object:
    """Returns a torch tensor if torch is imported, else a numpy array.

    The array owns its memory and is writable.

    Raises:
        ValueError: The parts do not fit together, or numpy alone does not have the dtype.
    """
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise ValueError(f"a tensor cannot have the dtype {dtype!r}")
    if not (
        isinstance(shape, list) and all(type(extent) is int and extent >= 0 for extent in shape)
    ):
        raise ValueError(f"a tensor cannot have the shape {shape!r}")
    if not isinstance(data, (bytes, memoryview)):
        raise ValueError(f"a tensor's data must be bytes, not {type(data).__name__}")
    expected = math.prod(shape) * ITEM_SIZES[dtype]
    if len(data) != expected:
        raise ValueError(
            f"a {dtype} tensor of shape {shape} holds {expected} bytes, but {len(data)} came"
        )
    extents = cast("Sequence[int]", shape)
    if (torch := sys.modules.get("torch")) is not None:
        return _to_torch(torch, dtype, extents, data)
    return _to_numpy(dtype, extents, data)


def _to_torch(torch: Any, dtype: str, shape: Sequence[int], data: Buffer) -> object:
    kind = getattr(torch, dtype)
    if not data:
        return torch.empty(tuple(shape), dtype=kind)
    if len(data) < LARGE:
        return torch.frombuffer(bytearray(data), dtype=kind).reshape(tuple(shape))
    # torch lets other threads run while it copies; Python does not.
    array = torch.empty(tuple(shape), dtype=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the message cannot be written to, and is only read
        given = torch.frombuffer(data, dtype=torch.uint8)
    array.reshape(-1).view(torch.uint8).copy_(given)
    return array


def _to_numpy(dtype: str, shape: Sequence[int], data: Buffer) -> object:
    try:
        import numpy as np
    except ImportError:
        raise ValueError(
            "a tensor came, but neither torch nor numpy is installed: install one of them"
        ) from None
    try:
        kind = np.dtype(dtype).newbyteorder("<")
    except TypeError:
        raise ValueError(
            f"a {dtype} tensor came, and numpy alone cannot hold it: install torch"
        ) from None
    return np.frombuffer(bytearray(data), dtype=kind).reshape(tuple(shape))
