"""The format of a patch, and the bytes of the most frequent patches.

vLLM yields whole objects: in the default CUMULATIVE mode each RequestOutput repeats the prompt,
all text and all token ids so far. On the wire only the first RequestOutput of a stream is whole.
Each further item is a patch, an extension type whose content is the array

    [mode, finished, completions, changes]

mode
    0: text, token ids and logprobs of each completion replace those of the previous item.
    1: they are appended to those of the previous item, by the completion's index.
completions
    ``[[index, text, token_ids, finish_reason, stop_reason, more], …]``, exactly the item's outputs
    in their order. `more` is None or a dict of the other fields of the completion that differ from
    the index's previous item (from None for an index not seen yet). `logprobs` obeys the mode: in
    mode 0 it replaces, and absent means None; in mode 1 it is what to append, and absent
    means unchanged.
changes
    None, or a dict of the other fields of the RequestOutput that differ from the previous item.
    `metrics` as a plain dict holds those fields of the metrics that differ; otherwise it replaces.

`item_encoder` makes patches of items, `Vllm.Core.Codec.OutputPatch` in Elixir items of patches.

In a plain patch completions have new tokens, and nothing else is new but the metrics. Nearly every
item between a stream's first and last is plain. Its bytes are written here directly, because the
general encoder takes several times as long (9 µs instead of 2).
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from python_worker.codec.extension_types import PATCH

REPLACE: Final = 0
APPEND: Final = 1

NIL: Final = b"\xc0"

_POSITIVE_FIXINT: Final = [bytes((n,)) for n in range(0x80)]
_FIXSTR: Final = [bytes((0xA0 | n,)) for n in range(0x20)]
_ARRAY_OF_ONE: Final = b"\x91"
_ARRAY_OF_SIX: Final = b"\x96"
_THREE_NILS: Final = 3 * NIL

# The start of a patch, by mode and number of completions: an array of four, the mode, not
# finished, the head of the array of completions.
_PLAIN_HEADS: Final = [
    [bytes((0x94, mode, 0xC2, 0x90 | n)) for n in range(0x10)] for mode in (0, 1)
]
_EXT_8: Final = [bytes((0xC7, length, PATCH)) for length in range(0x100)]


# What follows the text of a completion with one new token: an array of one id of so many bits, and
# three nils.
_ID_7: Final = struct.Struct(">BBHB")
_ID_8: Final = struct.Struct(">BBBHB")
_ID_16: Final = struct.Struct(">BBHHB")
_ID_32: Final = struct.Struct(">BBIHB")

# The start of a patch with one completion, by mode and bytes of its text: up to that text.
_STARTS: Final = [
    [
        _PLAIN_HEADS[mode][1] + _ARRAY_OF_SIX + _POSITIVE_FIXINT[0] + _FIXSTR[size]
        for size in range(0x20)
    ]
    for mode in (REPLACE, APPEND)
]
_START_BYTES: Final = len(_STARTS[REPLACE][0])


def unsigned(number: int) -> bytes:
    """Returns a number below 2**32 in its shortest form in MessagePack."""
    if number < 0x80:
        return _POSITIVE_FIXINT[number]
    if number < 0x100:
        return bytes((0xCC, number))
    if number < 0x10000:
        return bytes((0xCD, number >> 8, number & 0xFF))
    return b"\xce" + number.to_bytes(4, "big")


def short_text(text: str) -> bytes | None:
    """Returns the bytes of a text of up to 31 bytes; None if it needs the general encoder."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which the encoder replaces
        return None
    return _FIXSTR[len(encoded)] + encoded if len(encoded) < 0x20 else None


def plain_completion(index: int, text: str, token_id: int) -> bytes | None:
    """Returns the bytes of a completion with one new token; None if it needs the general encoder.

    Args:
        index: The completion's index.
        text: Its new text.
        token_id: Its new token id.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which the encoder replaces
        return None
    if len(encoded) >= 0x20 or index >= 0x80:
        return None
    if type(token_id) is not int or not 0 <= token_id < 0x1_0000_0000:
        return None
    return b"".join(
        (
            _ARRAY_OF_SIX,
            _POSITIVE_FIXINT[index],
            _FIXSTR[len(encoded)],
            encoded,
            _ARRAY_OF_ONE,
            unsigned(token_id),
            _THREE_NILS,
        )
    )


def plain_item(mode: int, text: str, token_id: int, changes: bytes) -> bytes | None:
    """Returns the bytes of a plain patch with one new token of the completion 0.

    It is what `plain_patch` makes of `plain_completion`, in one step. None if it needs these.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which the encoder replaces
        return None
    if len(encoded) >= 0x20 or type(token_id) is not int or token_id < 0:
        return None
    if token_id < 0x80:
        ids = _ID_7.pack(0x91, token_id, 0xC0C0, 0xC0)
    elif token_id < 0x100:
        ids = _ID_8.pack(0x91, 0xCC, token_id, 0xC0C0, 0xC0)
    elif token_id < 0x10000:
        ids = _ID_16.pack(0x91, 0xCD, token_id, 0xC0C0, 0xC0)
    elif token_id < 0x1_0000_0000:
        ids = _ID_32.pack(0x91, 0xCE, token_id, 0xC0C0, 0xC0)
    else:
        return None
    size = _START_BYTES + len(encoded) + len(ids) + len(changes)
    if size >= 0x100:
        return None
    return b"".join((_EXT_8[size], _STARTS[mode][len(encoded)], encoded, ids, changes))


def plain_patch(mode: int, completions: Collection[bytes], changes: bytes) -> bytes:
    """Returns the bytes of a patch that is not the last of its stream.

    Args:
        mode: REPLACE or APPEND.
        completions: The bytes of each completion.
        changes: The bytes of the changes, or of nil.
    """
    count = len(completions)
    start = _PLAIN_HEADS[mode]
    head = start[count] if count < 0x10 else start[0][:3] + b"\xdd" + count.to_bytes(4, "big")
    return extension(b"".join((head, *completions, changes)))


def extension(content: bytes) -> bytes:
    """Returns the bytes of a patch: an extension type around its content."""
    length = len(content)
    if length < 0x100:
        return _EXT_8[length] + content
    if length < 0x10000:
        return b"\xc8" + length.to_bytes(2, "big") + bytes((PATCH,)) + content
    return b"\xc9" + length.to_bytes(4, "big") + bytes((PATCH,)) + content
