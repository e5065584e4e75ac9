"""Large arrays in a value: written and read without copies of their bytes.

The packer packs extension types from the inside out: each level becomes bytes of its own, which
are copied into the level around it. An array in a struct in a list would be copied six times. So
the encoder packs a placeholder in the place of each large array, and puts the array's bytes in
when everything around it is packed. `DeferredArrays` holds them until then.
"""

from __future__ import annotations

import secrets

import msgpack

from python_worker.buffers import Buffer
from python_worker.codec.extension_types import PLACEHOLDER, TENSOR

_ARRAY_OF_THREE = b"\x93"
_BIN_32 = b"\xc6"
_EXT_32 = b"\xc9"
_FIXEXT_16 = 0xD8

_HEAD_BYTES = 1024
"""Where an array's dtype and shape are looked for: more than any real shape needs."""


class DeferredArrays:
    """The large arrays of one value, left out of the packed bytes until `assemble`.

    The headers of the extension types around an array hold their sizes, so these levels are left
    out with it. A placeholder is an extension type of 16 bytes: a random secret, so that no other
    part of the value can look like one, and the index of what was left out.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(8)
        self._prefix = bytes((_FIXEXT_16, PLACEHOLDER)) + self._secret
        self._left_out: list[list[Buffer]] = []

    def add_tensor(self, head: bytes, data: memoryview) -> msgpack.ExtType:
        """Leaves out an array; returns the placeholder to pack instead.

        Args:
            head: The array's dtype and shape, as a packed list of two.
            data: The array's bytes.
        """
        head = _ARRAY_OF_THREE + head[1:] + _BIN_32 + len(data).to_bytes(4, "big")
        return self._leave_out(TENSOR, [head, data])

    def add_level(self, code: int, packed: bytes) -> msgpack.ExtType:
        """Returns the extension type around `packed`, or a placeholder if `packed` holds one."""
        if self._prefix not in packed:
            return msgpack.ExtType(code, packed)
        return self._leave_out(code, self.assemble(packed))

    def assemble(self, packed: bytes) -> list[Buffer]:
        """Returns `packed` in parts, with what was left out in the place of each placeholder."""
        first, *others = packed.split(self._prefix)
        parts: list[Buffer] = [first]
        for other in others:
            parts += self._left_out[int.from_bytes(other[:8], "big")]
            parts.append(other[8:])
        return parts

    def _leave_out(self, code: int, parts: list[Buffer]) -> msgpack.ExtType:
        size = sum(map(len, parts))
        if size >= 2**32:
            raise ValueError("a value with 4 GiB or more cannot be sent: send it in parts")
        header = _EXT_32 + size.to_bytes(4, "big") + bytes((code,))
        index = len(self._left_out)
        self._left_out.append([header, *parts])
        return msgpack.ExtType(PLACEHOLDER, self._secret + index.to_bytes(8, "big"))


def split_tensor(data: Buffer) -> list[object] | None:
    """Splits the content of a large tensor without a copy of the array's bytes.

    Returns:
        The dtype, the shape and a view of the bytes, none of them validated. None if the content
        does not have the expected form; then the ordinary decoder reads it.
    """
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:_HEAD_BYTES])
    try:
        if unpacker.read_array_header() != 3:
            return None
        dtype, shape = unpacker.unpack(), unpacker.unpack()
    except (ValueError, msgpack.exceptions.UnpackException):
        return None
    start = unpacker.tell() + 5
    length = (len(data) - start).to_bytes(4, "big", signed=True)
    if bytes(data[start - 5 : start]) != _BIN_32 + length:
        return None
    return [dtype, shape, memoryview(data)[start:]]
