"""Arrays of `buffers.LARGE` bytes or more: encoded and decoded without copies of their bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

from python_worker import buffers, codec, exceptions
from python_worker.codec import tensors
from python_worker.testing.fake_vllm.types import PoolingOutput, PoolingRequestOutput

COUNT = buffers.LARGE // 4
"""The least number of float32 that is large."""


FLOATS = torch.arange(COUNT, dtype=torch.float32)


def pooling(data: object) -> PoolingRequestOutput:
    return PoolingRequestOutput(
        request_id="r",
        outputs=PoolingOutput(data),
        prompt_token_ids=[1],
        num_cached_tokens=0,
        finished=True,
    )


LARGE_VALUES: dict[str, object] = {
    "torch": FLOATS,
    "numpy": FLOATS.numpy(),
    "a little more": torch.ones(COUNT + 1),
    "a little less": torch.ones(COUNT - 1),
    "strided": torch.ones(COUNT, 4)[:, ::2],
    "strided numpy": np.arange(4 * COUNT, dtype=np.int16)[::2],
    "Fortran's order": np.asfortranarray(np.arange(COUNT, dtype=np.int64).reshape(-1, 8)),
    "big endian": np.arange(COUNT, dtype=">i8"),
    "bfloat16": torch.ones(2 * COUNT, dtype=torch.bfloat16),
    "booleans": torch.ones(buffers.LARGE, dtype=torch.bool),
    "complex, conjugated": torch.full((COUNT,), 1 + 2j).conj(),
    "with a gradient": torch.ones(COUNT, requires_grad=True),
    "read-only": np.frombuffer(bytes(buffers.LARGE), np.uint8),
    "in containers": {"a": [1, (FLOATS, {"b": FLOATS}), "é"], 2: FLOATS},
    "beside small ones": [FLOATS, torch.ones(2), FLOATS, {"x"}, torch.ones(3)],
    "in an output": pooling(FLOATS),
    "in outputs": [pooling(FLOATS), pooling(torch.ones(3)), (pooling(FLOATS),)],
}


@pytest.mark.parametrize("name", LARGE_VALUES)
def test_large_arrays_have_the_same_bytes_as_without_deferral(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = LARGE_VALUES[name]
    data = codec.encode(value)
    monkeypatch.setattr(tensors, "LARGE", sys.maxsize)
    assert data == codec.encode(value)


@pytest.mark.parametrize("make", [torch.arange, np.arange])
def test_a_large_array_is_a_part_of_its_own_and_not_copied(make: Callable[[int], Any]) -> None:
    array = make(COUNT)
    parts = codec.Encoder().encode_parts(["x", array])
    (view,) = [part for part in parts if isinstance(part, memoryview)]
    array[0] = 77
    assert view[0] == 77


def test_an_encoder_forgets_the_arrays_of_the_value_before() -> None:
    encoder = codec.Encoder()
    first = encoder.encode(FLOATS)
    assert encoder.encode("small") == msgpack.packb("small")
    assert encoder.encode(FLOATS) == first
    with pytest.raises(exceptions.EncodeError):
        encoder.encode([FLOATS, len])
    assert encoder.encode([1]) == msgpack.packb([1])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_large_arrays_are_read_back_and_may_be_written(extra: int) -> None:
    tensor = torch.arange(COUNT + extra, dtype=torch.float32).reshape(1, -1)
    received: Any = codec.decode(codec.encode([tensor]))
    assert torch.equal(received[0], tensor)
    received[0][0][0] = 5.0


def large_tensor(*content: object) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(8, msgpack.packb(content))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (("float32", [COUNT + 1], bytes(buffers.LARGE)), "holds 65540 bytes, but 65536 came"),
        (("float33", [COUNT], bytes(buffers.LARGE)), "cannot have the dtype 'float33'"),
        (("float32", [-COUNT], bytes(buffers.LARGE)), "cannot have the shape"),
        (("float32", COUNT, bytes(buffers.LARGE)), "cannot have the shape"),
        (("float32", [COUNT], "x" * buffers.LARGE), "must be bytes, not str"),
        (("float32", [COUNT], bytes(buffers.LARGE), 1), "positional arguments"),
        ((bytes(buffers.LARGE),), "positional argument"),
        (("x" * buffers.LARGE, [COUNT], b""), "cannot have the dtype"),
    ],
)
def test_malformed_large_arrays_are_errors(content: tuple[object, ...], message: str) -> None:
    with pytest.raises(exceptions.DecodeError, match=message):
        codec.decode(large_tensor(*content))


def test_a_truncated_or_overlong_large_array_is_an_error() -> None:
    whole = msgpack.packb(("uint8", [buffers.LARGE], bytes(buffers.LARGE)))
    for content in (whole[:-1], whole + b"\x00"):
        with pytest.raises(exceptions.DecodeError):
            codec.decode(msgpack.packb(msgpack.ExtType(8, content)))


def test_a_shape_longer_than_the_bytes_looked_at_first_is_read() -> None:
    shape = [1] * 2000 + [buffers.LARGE]
    received: Any = codec.decode(large_tensor("uint8", shape, bytes(buffers.LARGE)))
    assert list(received.shape) == shape
