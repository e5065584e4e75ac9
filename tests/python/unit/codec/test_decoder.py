"""Bytes are decoded; covers `types` as well. What is not a value is an error."""

from __future__ import annotations

import datetime as dt

import msgpack
import pytest

from python_worker import codec, exceptions
from python_worker.codec.depth import MAX_DEPTH
from tests.python.support.codec_values import deep, vectors


@pytest.mark.parametrize("entry", vectors("malformed.json"))
def test_malformed_input_is_an_error(entry: dict[str, str]) -> None:
    with pytest.raises(exceptions.DecodeError):
        codec.decode(bytes.fromhex(entry["hex"]))


def test_a_list_as_a_key_is_an_error() -> None:
    with pytest.raises(exceptions.DecodeError, match="unhashable"):
        codec.decode(b"\x81\x90\x01")


def test_messagepacks_own_timestamp_is_read() -> None:
    moment = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
    assert codec.decode(msgpack.packb(moment, datetime=True)) == moment


def test_a_value_as_deep_as_can_be_encoded_can_be_decoded() -> None:
    value = deep(MAX_DEPTH, lambda inner: (inner,))
    assert codec.decode(codec.encode(value)) == value
