"""Values on the wire: the one table that both languages implement.

Arguments, results and stream items are MessagePack with extension types. Elixir's half is
`Vllm.Codec` (elixir/lib/vllm/codec.ex); `tests/vectors/` holds what both must agree on.

=================================  ====  ========================================================
Python                             ext   Elixir
=================================  ====  ========================================================
None, bool, float                        nil, boolean, float
nan, inf, -inf                           :nan, :infinity, :neg_infinity
int of 64 bits                           integer
any other int                      3     integer
str                                      binary; outbound must be UTF-8; each lone surrogate of
                                         Python's is sent as U+FFFD
str                                      ← any other atom, by its name
bytes, bytearray, memoryview             binary; ← %Vllm.Bytes{}
list                                     list
dict, any key                            map; keys keep their type; ← non-empty keyword list
tuple, also named                  1     tuple
set, frozenset → set               2     MapSet
datetime, aware                    4     DateTime in UTC, to the microsecond
datetime, naive                    5     NaiveDateTime
date                               6     Date
time, naive (aware is refused)     7     Time
numpy array, torch tensor          8     %Vllm.Tensor{}
numpy scalar                             the plain number
Enum member                        9     atom where the class is known, else string; → only
any other object                   10    %Vllm.Ref{}
vLLM's parameters and outputs      11    struct of the same name (`records.RECORDS`)
exception                          12    %Vllm.Error{}; → only
item of a stream after the first   13    see `python_worker.outputs`; → only
Logprob                            14    %Vllm.Logprob{}
logprobs of one position           16    map of %Vllm.Logprob{} by token id: lists of ids, logprobs,
                                         ranks and tokens; only in items of streams, → only
an async generator                 15    ← an enumerable, as an argument: see `python_worker.inputs`
=================================  ====  ========================================================

Where the two languages differ:

* In Python True, 1 and 1.0 are one key. A map from Elixir that holds several of them arrives with
  one, and sets likewise. Elixir's 1 and 1.0 are two keys.
* A list, map or set cannot be a key or a member of a set in Python, so from Elixir it is refused.
* Arrays of objects and of text are sent as lists.
* A subclass of a listed type is sent as that type. `fold` and the name of a time zone are lost.
* MessagePack's own timestamp (ext -1), which neither of our encoders sends, is read as an aware
  datetime.

Functions, classes, modules, coroutines and generators are refused. So are cyclic values, and
containers more than 500 deep, where all but lists and dicts count as two. Nothing is ever pickled.
"""

from __future__ import annotations

import codecs
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import msgpack

from python_worker import reducers, tensors
from python_worker.reducers import EXCEPTION, FAILURE, NATIVE, REF, REFERENCE, TENSOR, reducer_for
from python_worker.value_paths import MAX_DEPTH, find_problem

__all__ = [
    "DecodeError",
    "EncodeError",
    "Encoder",
    "Record",
    "RefParts",
    "decode",
    "encode",
]


class EncodeError(Exception):
    """A value cannot be sent.

    Attributes:
        path: Where in the value, such as ``value[2]['x']``.
        message: What is wrong there.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DecodeError(Exception):
    """The bytes are not a value of the table."""


class RefParts(NamedTuple):
    """What names an object of this worker."""

    incarnation: str
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Record:
    """A struct from Elixir, before the gate turns it into the class of that name.

    Attributes:
        name: The class's short name, such as ``SamplingParams``.
        fields: What differs from the struct's defaults.
    """

    name: str
    fields: dict[str, object]


Register = Callable[[object], RefParts]
FailureBytes = Callable[[BaseException], bytes]
Resolve = Callable[[str, str], object]
OpenStream = Callable[[], object]


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

# -- Encoding ---------------------------------------------------------------------------------


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

    def encode_parts(self, value: object) -> list[tensors.Buffer]:
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
            if isinstance(error, reducers.Refused):
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
            raise reducers.Refused  # the walk says where
        return msgpack.ExtType(REF, msgpack.packb(list(register(value))))

    def _exception(self, value: BaseException) -> object:
        failure_bytes = self.encoder._failure_bytes
        if failure_bytes is None:
            raise reducers.Refused
        return msgpack.ExtType(FAILURE, failure_bytes(value))


# -- Decoding ---------------------------------------------------------------------------------


def decode(
    data: tensors.Buffer, *, resolve: Resolve | None = None, stream: OpenStream | None = None
) -> object:
    """Returns the value of `data`. Structs of vLLM's classes come as `Record`.

    Args:
        data: One encoded value.
        resolve: Called with the incarnation and the id of every reference; returns the object.
            What it raises passes through. Without it a reference is an error.
        stream: Called for every mark of a stream; returns what stands in its place. What it raises
            passes through. Without it the mark is an error.

    Raises:
        DecodeError: The bytes are not a value of the table.
    """
    decoder = _Decoder(resolve, stream)
    try:
        return decoder.unpack(data)
    except _CallerFailed as failed:
        raise failed.error from None
    except DecodeError:
        raise
    except (RecursionError, msgpack.exceptions.StackError):
        raise DecodeError("containers are nested too deep") from None
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        # ValueError covers truncated input, trailing bytes, and text that is not UTF-8.
        raise DecodeError(f"not a value of the bridge: {error}") from None


class _CallerFailed(Exception):
    """Carries an error of `resolve` or `stream` past the handlers of malformed input."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_STACK_LEVELS: Final = 16
"""Extension types inside one another that `unpackb` reads. It keeps 40 KB on the C stack for
each: 200 levels end the process. Beyond these, slower unpackers on the heap take over."""

_MAX_LEVELS: Final = MAX_DEPTH // 2
"""Extension types inside one another that are read at all; each needs some of Python's stack."""


class _Decoder:
    """Reads one value; remembers how deep it is in extension types."""

    __slots__ = ("_depth", "_resolve", "_stream")

    def __init__(self, resolve: Resolve | None, stream: OpenStream | None) -> None:
        self._resolve = resolve
        self._stream = stream
        self._depth = 0

    def unpack(self, data: tensors.Buffer) -> Any:
        if self._depth < _STACK_LEVELS:
            return msgpack.unpackb(
                data, ext_hook=self._extension, strict_map_key=False, timestamp=3
            )
        if self._depth > _MAX_LEVELS:
            raise DecodeError("containers are nested too deep")
        unpacker = msgpack.Unpacker(
            ext_hook=self._extension,
            strict_map_key=False,
            timestamp=3,
            max_buffer_size=max(len(data), 1),
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise DecodeError("bytes follow the end of a value")
        return value

    def _extension(self, code: int, data: bytes) -> object:
        if (read_text := _TEXT_READERS.get(code)) is not None:
            return read_text(data)
        reader = _ARRAY_READERS.get(code)
        if reader is None:
            raise DecodeError(f"extension type {code} is not one that a worker reads")
        self._depth += 1
        try:
            large = code == TENSOR and len(data) >= tensors.LARGE
            content = (large and reducers.split_tensor(data)) or self.unpack(data)
        finally:
            self._depth -= 1
        if type(content) is not list:
            raise DecodeError(f"the content of extension type {code} is not an array")
        return reader(self, content)

    def reference(self, content: list[Any]) -> object:
        incarnation, identity, kind = content
        if not (isinstance(incarnation, str) and isinstance(identity, str) and type(kind) is str):
            raise DecodeError("a reference is not made of text")
        if self._resolve is None:
            raise DecodeError("a reference cannot be used here")
        try:
            return self._resolve(incarnation, identity)
        except Exception as error:
            raise _CallerFailed(error) from error

    def stream(self, content: list[Any]) -> object:
        if content:
            raise DecodeError("the mark of a stream holds something")
        if self._stream is None:
            raise DecodeError("a stream cannot be used here")
        try:
            return self._stream()
        except Exception as error:
            raise _CallerFailed(error) from error


def _record(_decoder: _Decoder, content: list[Any]) -> Record:
    name, fields = content
    if not (
        isinstance(name, str)
        and isinstance(fields, dict)
        and all(isinstance(key, str) for key in fields)
    ):
        raise DecodeError("a struct is not a name and fields")
    return Record(name, fields)


def _logprob(_decoder: _Decoder, content: list[Any]) -> Record:
    logprob, rank, decoded_token = content
    return Record("Logprob", {"logprob": logprob, "rank": rank, "decoded_token": decoded_token})


def _datetime(data: bytes, *, aware: bool) -> dt.datetime:
    value = dt.datetime.fromisoformat(data.decode())
    if (value.tzinfo is not None) != aware:
        raise DecodeError("a datetime has an offset where none belongs, or lacks one")
    return value


def _time(data: bytes) -> dt.time:
    value = dt.time.fromisoformat(data.decode())
    if value.tzinfo is not None:
        raise DecodeError("a time of day has a time zone")
    return value


_TEXT_READERS: Final[dict[int, Callable[[bytes], object]]] = {
    reducers.BIGINT: lambda data: int.from_bytes(data, "big", signed=True),
    reducers.DATETIME: lambda data: _datetime(data, aware=True),
    reducers.NAIVE: lambda data: _datetime(data, aware=False),
    reducers.DATE: lambda data: dt.date.fromisoformat(data.decode()),
    reducers.TIME: _time,
}
"""Extension types whose content is not itself MessagePack."""

_ARRAY_READERS: Final[dict[int, Callable[[_Decoder, list[Any]], object]]] = {
    reducers.TUPLE: lambda _decoder, content: tuple(content),
    reducers.SET: lambda _decoder, content: set(content),
    reducers.TENSOR: lambda _decoder, content: tensors.to_array(*content),
    reducers.REF: _Decoder.reference,
    reducers.RECORD: _record,
    reducers.LOGPROB: _logprob,
    reducers.STREAM: _Decoder.stream,
}
"""Extension types whose content is an array. Enums, failures and patches only go to Elixir."""
