"""Values to MessagePack; the table of values is in the package's docstring."""

from __future__ import annotations

import codecs
from typing import Any, Final, cast

import msgpack

from python_worker.buffers import Buffer
from python_worker.codec import reducers
from python_worker.codec.reducers import (
    EXCEPTION,
    FAILURE,
    NATIVE,
    REF,
    REFERENCE,
    TENSOR,
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
        value: Anything of the table.
        register: Called once for every object that is to be sent as a reference; without it such
            an object is an error. Where encoding fails, the references registered on the way
            have not been sent: taking them back is the caller's part. What it raises passes
            through.
        failure_bytes: Makes the serialized Failure of an exception that is sent as a value;
            without it such an exception is an error.

    Raises:
        EncodeError: Some part cannot be sent.
    """
    return Encoder(register=register, failure_bytes=failure_bytes).encode(value)


CONSTANTS: Final[dict[type, dict[object, bytes]]] = {
    type(None): {None: b"\xc0"},
    bool: {False: b"\xc2", True: b"\xc3"},
}
"""What most methods return, by its exact type, as `encode` would write it."""


def _replace_surrogates(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "\N{REPLACEMENT CHARACTER}".encode() * (error.end - error.start), error.end


codecs.register_error("vllm_bridge_replace", _replace_surrogates)

_TRUSTED_LEVELS: Final = 8
"""Extension types inside one another that are packed without asking how deep the value is.

Each level is a packer of its own, and each packer alone stops at 1,024 containers. Real values have
up to four levels (an output, its completions, their logprobs). Beyond this many the value is
walked once, which finds cycles before the C stack ends."""


class Encoder:
    """Encodes one value after another. Not for several threads at once.

    See `encode` for the arguments.
    """

    __slots__ = ("_aside", "_checked", "_failure_bytes", "_level", "_register", "_root")

    def __init__(
        self, *, register: Register | None = None, failure_bytes: FailureBytes | None = None
    ) -> None:
        self._register = register
        self._failure_bytes = failure_bytes
        self._level = _Level(self, 0)
        self._root: object = None
        self._checked = False
        self._aside: reducers.Aside | None = None

    def encode(self, value: object) -> bytes:
        """Returns the bytes of `value`. Raises EncodeError where some part cannot be sent."""
        return b"".join(self.encode_parts(value))

    def encode_parts(self, value: object) -> list[Buffer]:
        """Returns the bytes of `value` in parts, to be joined before anything else runs.

        A part may be the memory of a large array of the value, which is not copied.

        Raises:
            EncodeError: Some part of the value cannot be sent.
        """
        self._root = value
        try:
            packed = cast(bytes, self._level.packer.pack(value))
            return [packed] if self._aside is None else self._aside.fill(packed)
        except EncodeError:
            raise
        except Exception as error:
            self._check(error)
            if isinstance(error, RecursionError):
                raise EncodeError("value", "too many containers inside one another") from None
            if isinstance(error, reducers.NotEncodable):
                raise EncodeError("value", str(error)) from None
            raise  # from `register` or from the value's own code
        finally:
            self._root = None
            self._checked = False
            self._aside = None

    def _check(self, cause: Exception | None = None) -> None:
        problem = find_problem(
            self._root,
            references=self._register is not None,
            exceptions=self._failure_bytes is not None,
        )
        if problem is not None:
            raise EncodeError(problem.path, problem.message) from cause


class _Level:
    """A packer for one level of extension types: a packer cannot be entered twice."""

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
        """Returns what the packer is to pack in the place of `value`."""
        while True:
            reduced = reducer_for(type(value))(value)
            if type(reduced) is tuple:
                code, content = reduced
                # Not a method of its own: Python's stack is what limits the depth of tuples.
                level = self.deeper or self._make_deeper()
                if code == TENSOR and type(content[2]) is memoryview:
                    dtype, shape, data = content
                    return self._leave_out().tensor(level.packer.pack([dtype, shape]), data)
                packed = level.packer.pack(content)
                aside = self.encoder._aside
                return msgpack.ExtType(code, packed) if aside is None else aside.level(code, packed)
            if reduced is REFERENCE:
                return self._reference(value)
            if reduced is EXCEPTION:
                return self._exception(value)
            if type(reduced) in NATIVE:
                return reduced
            value = reduced

    def _leave_out(self) -> reducers.Aside:
        aside = self.encoder._aside
        if aside is None:
            aside = self.encoder._aside = reducers.Aside()
        return aside

    def _make_deeper(self) -> _Level:
        level = _Level(self.encoder, self.depth + 1)
        if level.depth <= _TRUSTED_LEVELS:
            self.deeper = level
        elif not self.encoder._checked:
            # Deeper levels are not kept, so each deep value comes by here.
            self.encoder._check()
            self.encoder._checked = True
        return level

    def _reference(self, value: object) -> object:
        register = self.encoder._register
        if register is None:
            raise reducers.NotEncodable  # the walk says where
        return msgpack.ExtType(REF, msgpack.packb(list(register(value))))

    def _exception(self, value: BaseException) -> object:
        failure_bytes = self.encoder._failure_bytes
        if failure_bytes is None:
            raise reducers.NotEncodable
        return msgpack.ExtType(FAILURE, failure_bytes(value))
