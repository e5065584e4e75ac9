"""The numbers of the MessagePack extension types, as the table of values lists them.

Elixir's half is `Vllm.Core.Codec.Extension`.
"""

from __future__ import annotations

from typing import Final

TUPLE: Final = 1
SET: Final = 2
BIGINT: Final = 3
DATETIME: Final = 4
NAIVE_DATETIME: Final = 5
DATE: Final = 6
TIME: Final = 7
TENSOR: Final = 8
ENUM: Final = 9
REF: Final = 10
RECORD: Final = 11
FAILURE: Final = 12
PATCH: Final = 13
LOGPROB: Final = 14
STREAM: Final = 15
LOGPROB_COLUMNS: Final = 16

PLACEHOLDER: Final = 127
"""Marks the place of a large array while the value around it is packed; see `large_arrays`.
It is never sent."""
