"""The worker's own exceptions, and the kinds of failures.

This module imports neither vLLM nor protobuf. ``failures`` turns exceptions into the messages that
are sent. Each exception with its kind::

    BridgeError
    ├── InvalidArgument    an argument is wrong                      INVALID
    ├── NoTokenLeft        constraints forbid every token            INVALID
    ├── NotServed          no such class, method or parameter        NOT_FOUND
    ├── Unsupported        known, but not available in this way      UNSUPPORTED
    ├── Conflict           not possible in the present state         CONFLICT
    ├── StaleReference     released, of another worker, or forged    STALE_REF
    ├── Overloaded         too many calls at once                    OVERLOADED
    ├── Expired            the call's own deadline passed            TIMEOUT
    ├── Cancelled          the client cancelled the call             CANCELLED
    ├── Draining           the worker is stopping                    DRAINING
    ├── Stopped            the worker stopped in the middle          WORKER_DOWN
    ├── MissingDependency  an optional library is not installed      MISSING_DEPENDENCY
    ├── HttpStatus         a server answered with an error           HTTP_STATUS
    ├── Unreachable        a server does not answer                  UNREACHABLE
    ├── Forbidden          the client's role does not allow it       FORBIDDEN
    ├── InputFailed        one of a batch; its cause's kind          PYTHON
    └── ProtocolError      the client broke the protocol             PROTOCOL
        └── Unauthenticated  no known token or certificate           UNAUTHENTICATED

    EncodeError            a value cannot be sent                    UNSUPPORTED
    DecodeError            bytes are not a value                     PROTOCOL
    └── LimitExceeded      too large or too deep; InvalidArgument    INVALID
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Kind(enum.IntEnum):
    """What a client can do about a failure: names and numbers of ``FailureKind`` in ``proto/``."""

    INVALID = 1
    NOT_FOUND = 2
    UNSUPPORTED = 3
    CONFLICT = 4
    OVERLOADED = 5
    TIMEOUT = 6
    CANCELLED = 7
    ENGINE_DEAD = 8
    ENGINE_ERROR = 9
    WORKER_DOWN = 10
    STALE_REF = 11
    PROTOCOL = 12
    PYTHON = 13
    DRAINING = 14
    MISSING_DEPENDENCY = 15
    HTTP_STATUS = 16
    UNREACHABLE = 17
    UNAUTHENTICATED = 18
    FORBIDDEN = 19


class BridgeError(Exception):
    """Base of the worker's own exceptions.

    Args:
        message: What was wrong with what, and what to do, for a person.
        details: The parts of the message as data, for a program.
    """

    kind = Kind.PYTHON

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details: Mapping[str, object] = details


class InvalidArgument(BridgeError):
    """An argument is wrong. The engine has not received the call."""

    kind = Kind.INVALID


class NoTokenLeft(BridgeError):
    """The request's parameters together forbid every token; that showed while it was generated."""

    kind = Kind.INVALID


class NotServed(BridgeError):
    """There is no such class or method, or clients may not call it."""

    kind = Kind.NOT_FOUND


class Unsupported(BridgeError):
    """What was asked for exists, but is not available in this way."""

    kind = Kind.UNSUPPORTED


class Conflict(BridgeError):
    """The call is possible, but not in the present state of its object."""

    kind = Kind.CONFLICT


class StaleReference(BridgeError):
    """The reference was released, belongs to another worker, or never existed."""

    kind = Kind.STALE_REF


class Overloaded(BridgeError):
    """The worker's limit of running calls is reached. The engine has not received this call."""

    kind = Kind.OVERLOADED


class Expired(BridgeError):
    """The deadline that the client gave the call has passed."""

    kind = Kind.TIMEOUT


class Cancelled(BridgeError):
    """The client cancelled the call."""

    kind = Kind.CANCELLED


class Draining(BridgeError):
    """The worker is stopping and takes no new calls."""

    kind = Kind.DRAINING


class Stopped(BridgeError):
    """The worker stopped before the call had ended. The call may have run in part."""

    kind = Kind.WORKER_DOWN


class MissingDependency(BridgeError):
    """A library that the call needs is optional and not installed."""

    kind = Kind.MISSING_DEPENDENCY


class HttpStatus(BridgeError):
    """A server that the call needs answered with an error; its status is in ``details``."""

    kind = Kind.HTTP_STATUS


class Unreachable(BridgeError):
    """A server that the call needs cannot be reached, or ended the connection."""

    kind = Kind.UNREACHABLE


class Forbidden(BridgeError):
    """The client's role does not allow the call."""

    kind = Kind.FORBIDDEN


class InputFailed(BridgeError):
    """One input of a batch failed, and with it the batch; its cause says why.

    Args:
        kind: The kind of its cause.
        message: Which input, and what was wrong.
        details: Those of its cause, and which input.
    """

    def __init__(self, kind: Kind, message: str, /, **details: object) -> None:
        super().__init__(message, **details)
        self.kind = kind


class ProtocolError(BridgeError):
    """The client broke the protocol; its session ends."""

    kind = Kind.PROTOCOL


class Unauthenticated(ProtocolError):
    """The client has shown no token and no certificate that the worker knows."""

    kind = Kind.UNAUTHENTICATED


class EncodeError(Exception):
    """A value cannot be sent.

    Attributes:
        path: The path of the part that cannot be sent, such as ``value[2]['x']``.
        message: Why it cannot be sent.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DecodeError(Exception):
    """The bytes are not a value of the codec's table."""


class LimitExceeded(InvalidArgument, DecodeError):
    """An argument is larger, or nested deeper, than the worker takes. The message has the limit."""
