"""Exceptions become failures: whose fault it was and what to do next.

The worker's own exceptions carry their kind (``exceptions``). What EngineCore raised is known by
its text (``core_errors``). Every other exception finds its kind in ``KINDS`` by the qualified name
of its class or of the nearest base class: names, so that vLLM need not be imported.
"""

from __future__ import annotations

import errno
import reprlib
import traceback
from collections.abc import Mapping
from typing import cast

from python_worker import codec, core_errors
from python_worker.exceptions import BridgeError, EncodeError, HttpStatus, Kind
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

# A traceback is for a person; vLLM's are deep but the last frames tell.
MAX_TRACEBACK_CHARS = 16_384
MAX_CAUSES = 8

MAX_MESSAGE_CHARS = 20_000
MAX_DETAIL_ITEMS = 1000


KINDS: Mapping[str, Kind] = {
    # vLLM: the client's mistakes
    "vllm.exceptions.VLLMClientError": Kind.INVALID,
    "vllm.exceptions.VLLMNotFoundError": Kind.NOT_FOUND,
    # vLLM: limits and states
    "vllm.exceptions.QueueOverflowError": Kind.OVERLOADED,
    "vllm.exceptions.MaxQueuedTokensError": Kind.OVERLOADED,
    "vllm.exceptions.RetryableRequestError": Kind.OVERLOADED,
    "vllm.exceptions.ProfilerAlreadyActiveError": Kind.CONFLICT,
    # vLLM: the engine
    "vllm.exceptions.VLLMServerError": Kind.ENGINE_ERROR,
    "vllm.v1.engine.exceptions.EngineGenerateError": Kind.ENGINE_ERROR,
    "vllm.v1.engine.exceptions.EngineDeadError": Kind.ENGINE_DEAD,
    # The codec: what we cannot send, and what we cannot read
    "python_worker.exceptions.EncodeError": Kind.UNSUPPORTED,
    "python_worker.exceptions.DecodeError": Kind.PROTOCOL,
    # Python and its libraries
    "pydantic_core._pydantic_core.ValidationError": Kind.INVALID,
    "builtins.ValueError": Kind.INVALID,
    "builtins.TypeError": Kind.INVALID,
    "builtins.FileNotFoundError": Kind.NOT_FOUND,
    "builtins.NotImplementedError": Kind.UNSUPPORTED,
    "builtins.MemoryError": Kind.OVERLOADED,
    "builtins.TimeoutError": Kind.TIMEOUT,
    "asyncio.exceptions.CancelledError": Kind.CANCELLED,
    "builtins.BaseException": Kind.PYTHON,
}

# What the system says when it has no more: of descriptors, room on a disk, memory or processes.
EXHAUSTED = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN}
)
NO_THREAD = "can't start new thread"

# Not DRAINING: the worker that comes after has other engines and references, so the same call fails
# there.
RETRYABLE = frozenset({Kind.OVERLOADED, Kind.UNREACHABLE})

# Statuses of a server that may be others when it is asked again.
RETRYABLE_STATUSES = frozenset({408, 425, 429, 502, 503, 504})

# What is wrong with a request, or with the machine, rather than with the engine.
KINDS_OF_REQUESTS = frozenset({Kind.INVALID, Kind.CONFLICT, Kind.OVERLOADED})


def qualified_name(cls: type) -> str:
    """The name under which ``KINDS`` knows a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def kind_of(error: BaseException) -> Kind:
    """The kind of an exception: its own, its class's, or its cause's."""
    if isinstance(error, BridgeError):
        return error.kind
    if core_errors.is_from_core(error):
        return Kind.ENGINE_ERROR
    if is_exhaustion(error):
        return Kind.OVERLOADED
    kind = next(
        KINDS[name] for cls in type(error).__mro__ if (name := qualified_name(cls)) in KINDS
    )
    if kind == Kind.ENGINE_ERROR and error.__cause__ is not None:
        # vLLM wraps what preprocessing raises in an EngineGenerateError without a message. A
        # ValueError in there is still the client's mistake.
        cause = kind_of(error.__cause__)
        of_request = cause in KINDS_OF_REQUESTS or isinstance(error.__cause__, BridgeError)
        return cause if of_request else kind
    return kind


def is_exhaustion(error: BaseException) -> bool:
    """Whether the system has refused what it has no more of: later there may be some again."""
    if isinstance(error, OSError):
        return error.errno in EXHAUSTED
    return isinstance(error, RuntimeError) and str(error) == NO_THREAD


def to_wire(kind: Kind) -> pb.FailureKind:
    """The kind as the protocol has it."""
    return cast(pb.FailureKind, int(kind))


def message_of(error: BaseException) -> str:
    """What the exception says, or what its cause says where it says nothing."""
    text = str(error)
    if text:
        return text
    if error.__cause__ is not None:
        return message_of(error.__cause__)
    return f"{type(error).__name__} without a message"


def details_of(error: BaseException) -> Mapping[str, object]:
    """The data an exception carries beside its message, or its cause where it says nothing."""
    if isinstance(error, BridgeError):
        return error.details
    if not str(error) and error.__cause__ is not None:
        return details_of(error.__cause__)  # what says nothing is only around it
    # VLLMValidationError names the parameter and the value it refused; ``values`` are those that
    # ``parameter_names`` found to contradict each other.
    named = {name: getattr(error, name, None) for name in ("parameter", "value", "values")}
    return {name: value for name, value in named.items() if value is not None}


def encode_details(details: Mapping[str, object]) -> bytes:
    """Details as a value; what the codec does not know is sent as text."""
    if not details:
        return b""
    try:
        return codec.encode({name: _detail(value) for name, value in details.items()})
    except EncodeError:
        return codec.encode({name: shortened(repr(value)) for name, value in details.items()})


def _detail(value: object) -> object:
    """A detail as it is, or where it is large, the beginning of its text."""
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, (list, tuple, set, frozenset, dict)) and len(value) > MAX_DETAIL_ITEMS:
        return shortened(reprlib.repr(value))
    return value


def shortened(text: str) -> str:
    """A text without its middle, where it is long: vLLM may quote all of a prompt."""
    if len(text) <= MAX_MESSAGE_CHARS:
        return text
    half = MAX_MESSAGE_CHARS // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]} … {left_out} characters left out … {text[-half:]}"


def traceback_of(error: BaseException, message: str) -> str:
    """Python's traceback as text, its end where it is too long.

    The worker's own exceptions have none: each says all there is to know.
    """
    if isinstance(error, BridgeError) or error.__traceback__ is None:
        return ""
    lines = traceback.format_tb(error.__traceback__)
    name = qualified_name(type(error)).removeprefix("builtins.")
    # Not by ``format_exception``, which writes the message again: it may be of megabytes.
    return "".join(["Traceback (most recent call last):\n", *lines, f"{name}: {message}\n"])[
        -MAX_TRACEBACK_CHARS:
    ]


def to_proto(error: BaseException, *, depth: int = 0) -> pb.Failure:
    """Turn an exception into the failure that crosses the wire.

    Args:
        error: Any exception, raised or not.
        depth: How many causes led here; the chain is cut at ``MAX_CAUSES``.
    """
    if isinstance(said := getattr(error, "failure", None), pb.Failure):
        return said  # the client's own failure, of a stream that it sends as an argument
    kind = kind_of(error)
    message = shortened(message_of(error))
    failure = pb.Failure(
        kind=to_wire(kind),
        message=message,
        type=qualified_name(type(error)),
        traceback=traceback_of(error, message),
        details=encode_details(details_of(error)),
        retryable=is_retryable(error, kind),
    )
    cause = error.__cause__
    # vLLM raises the error of a streamed prompt from its own wrapper around the same error.
    if cause is not None and depth < MAX_CAUSES and getattr(cause, "cause", None) is not error:
        failure.cause.CopyFrom(to_proto(cause, depth=depth + 1))
    return failure


def is_retryable(error: BaseException, kind: Kind) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, HttpStatus):
        return error.details.get("status") in RETRYABLE_STATUSES
    return kind in RETRYABLE


def to_bytes(error: BaseException) -> bytes:
    """An exception that is a value, such as ``AsyncLLM.dead_error``."""
    return to_proto(error).SerializeToString()
