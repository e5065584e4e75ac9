"""Encodes values as MessagePack. The package's docstring holds the table of values."""

from __future__ import annotations

import codecs
from typing import Any, Final, cast

import msgpack

from python_worker.buffers import Buffer
from python_worker.codec.extension_types import FAILURE, REF, TENSOR
from python_worker.codec.large_arrays import DeferredArrays
from python_worker.codec.reducers import (
    AS_EXCEPTION,
    AS_REFERENCE,
    NATIVE,
    NotEncodable,
    reducer_for,
)
from python_worker.codec.types import FailureBytes, Register
from python_worker.codec.value_paths import find_problem
from python_worker.exceptions import EncodeError


def encode(
    value: object,
    *,
    register: Register | None = None,
    failure_bytes: FailureBytes | None = None,
) -> bytes:
    """Returns the bytes of `value`.

    Args:
        value: Any value of the table.
        register: Called once for each object that is sent as a reference. Without it such an
            object is an error. If encoding fails, the objects registered so far have not been
            sent, and the caller has to release them. Its own exceptions pass through.
        failure_bytes: Returns the serialized Failure of an exception that is sent as a value.
            Without it such an exception is an error.

    Raises:
        EncodeError: A part of the value cannot be sent.
    """
    return Encoder(register=register, failure_bytes=failure_bytes).encode(value)


CONSTANTS: Final[dict[type, dict[object, bytes]]] = {
    type(None): {None: b"\xc0"},
    bool: {False: b"\xc2", True: b"\xc3"},
}
"""The bytes of the most common results, by exact type: the same that `encode` returns."""


def _replace_surrogates(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "\N{REPLACEMENT CHARACTER}".encode() * (error.end - error.start), error.end


codecs.register_error("vllm_bridge_replace", _replace_surrogates)

_UNCHECKED_LEVELS: Final = 8
"""Nested extension types that are packed before the depth of the value is checked.

Each level has a packer of its own, and a packer stops only at 1,024 nested containers. Real values
have up to four levels (an output, its completions, their logprobs). At the first deeper level the
whole value is walked once, which finds a cycle before the C stack overflows."""


class Encoder:
    """Encodes one value after another. Not thread-safe.

    Args:
        register: As for `encode`.
        failure_bytes: As for `encode`.
    """

    __slots__ = ("_checked", "_deferred", "_failure_bytes", "_level", "_register", "_root")

    def __init__(
        self, *, register: Register | None = None, failure_bytes: FailureBytes | None = None
    ) -> None:
        self._register = register
        self._failure_bytes = failure_bytes
        self._level = _Level(self, 0)
        self._root: object = None
        self._checked = False
        self._deferred: DeferredArrays | None = None

    def encode(self, value: object) -> bytes:
        """Returns the bytes of `value`.

        Raises:
            EncodeError: A part of the value cannot be sent.
        """
        return b"".join(self.encode_parts(value))

    def encode_parts(self, value: object) -> list[Buffer]:
        """Returns the bytes of `value` in parts, which the caller has to join or send at once.

        A part may be a view of the memory of a large array, which other code may change.

        Raises:
            EncodeError: A part of the value cannot be sent.
        """
        self._root = value
        try:
            packed = cast(bytes, self._level.packer.pack(value))
            return [packed] if self._deferred is None else self._deferred.assemble(packed)
        except EncodeError:
            raise
        except Exception as error:
            self._check(error)
            if isinstance(error, RecursionError):
                raise EncodeError("value", "containers are nested too deep") from None
            if isinstance(error, NotEncodable):
                raise EncodeError("value", str(error)) from None
            raise  # raised by `register`, or by the value's own code
        finally:
            self._root = None
            self._checked = False
            self._deferred = None

    def _check(self, cause: Exception | None = None) -> None:
        problem = find_problem(
            self._root,
            references=self._register is not None,
            exceptions=self._failure_bytes is not None,
        )
        if problem is not None:
            raise EncodeError(problem.path, problem.message) from cause


class _Level:
    """The packer of one level of nested extension types, as a packer is not reentrant."""

    __slots__ = ("deeper", "depth", "encoder", "packer")

    def __init__(self, encoder: Encoder, depth: int) -> None:
        self.encoder = encoder
        self.depth = depth
        self.deeper: _Level | None = None
        self.packer = msgpack.Packer(
            default=self.reduce,
            strict_types=True,  # tuples, and subclasses such as IntEnum, come to `reduce`
            unicode_errors="vllm_bridge_replace",
            buf_size=1024,
        )

    def reduce(self, value: Any) -> object:
        """Returns what the packer packs instead of `value`."""
        while True:
            reduced = reducer_for(type(value))(value)
            if type(reduced) is tuple:
                code, content = reduced
                # Inlined: each Python frame less lets tuples nest deeper.
                level = self.deeper or self._make_deeper()
                if code == TENSOR and type(content[2]) is memoryview:
                    dtype, shape, data = content
                    return self._deferred_arrays().add_tensor(
                        level.packer.pack([dtype, shape]), data
                    )
                packed = level.packer.pack(content)
                deferred = self.encoder._deferred
                return (
                    msgpack.ExtType(code, packed)
                    if deferred is None
                    else deferred.add_level(code, packed)
                )
            if reduced is AS_REFERENCE:
                return self._reference(value)
            if reduced is AS_EXCEPTION:
                return self._exception(value)
            if type(reduced) in NATIVE:
                return reduced
            value = reduced

    def _deferred_arrays(self) -> DeferredArrays:
        deferred = self.encoder._deferred
        if deferred is None:
            deferred = self.encoder._deferred = DeferredArrays()
        return deferred

    def _make_deeper(self) -> _Level:
        level = _Level(self.encoder, self.depth + 1)
        if level.depth <= _UNCHECKED_LEVELS:
            self.deeper = level
        elif not self.encoder._checked:
            # Deeper levels are not cached, so every deep value is checked here.
            self.encoder._check()
            self.encoder._checked = True
        return level

    def _reference(self, value: object) -> object:
        register = self.encoder._register
        if register is None:
            raise NotEncodable  # `find_problem` makes the message
        return msgpack.ExtType(REF, msgpack.packb(list(register(value))))

    def _exception(self, value: BaseException) -> object:
        failure_bytes = self.encoder._failure_bytes
        if failure_bytes is None:
            raise NotEncodable
        return msgpack.ExtType(FAILURE, failure_bytes(value))
