"""The fake engine's exceptions, under the names of vLLM's own.

A failure carries the qualified name of its exception's class, and programs match on it. The
classes here therefore say that they live in vLLM's modules: to a client, a fake engine fails as
a real one does, and the worker's table of kinds needs no second set of names.
"""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Sequence

#: How a test names an exception: ``[class]``, ``[class, message]`` or
#: ``[class, message, cause]``, where the cause is another such list.
ErrorSpec = Sequence[object]


class VLLMError(Exception):
    """Base of vLLM's errors."""

    __module__ = "vllm.exceptions"


class VLLMClientError(VLLMError):
    """The request is wrong."""

    __module__ = "vllm.exceptions"


class VLLMServerError(VLLMError):
    """The engine has failed."""

    __module__ = "vllm.exceptions"


class VLLMValidationError(VLLMClientError):
    """A parameter is out of its range.

    Args:
        message: What is wrong.
        parameter: Its name.
        value: What it was.
    """

    __module__ = "vllm.exceptions"

    def __init__(self, message: str, *, parameter: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value


class VLLMNotFoundError(VLLMClientError):
    """What was named is not there."""

    __module__ = "vllm.exceptions"


class QueueOverflowError(VLLMError):
    """Too many requests are waiting."""

    __module__ = "vllm.exceptions"


class ProfilerAlreadyActiveError(VLLMError):
    """There is a profile being taken already."""

    __module__ = "vllm.exceptions"


class EngineGenerateError(VLLMServerError):
    """One request has failed; the engine lives. It has no message, only a cause."""

    __module__ = "vllm.v1.engine.exceptions"


class EngineDeadError(VLLMServerError):
    """The engine is gone, and every request with it."""

    __module__ = "vllm.v1.engine.exceptions"

    def __init__(self) -> None:
        super().__init__(
            "EngineCore encountered an issue. See stack trace (above) for the root cause."
        )


class Untold(Exception):
    """An exception of nobody's table, for the kind that is left."""


BY_NAME: dict[str, type[BaseException]] = {
    cls.__name__: cls
    for cls in (
        VLLMError,
        VLLMClientError,
        VLLMServerError,
        VLLMValidationError,
        VLLMNotFoundError,
        QueueOverflowError,
        ProfilerAlreadyActiveError,
        EngineGenerateError,
        EngineDeadError,
        Untold,
    )
}


def make_error(spec: ErrorSpec) -> BaseException:
    """Makes the exception that a test names.

    Args:
        spec: See ``ErrorSpec``. The class is one of this module, a builtin, or a qualified name
            such as ``json.decoder.JSONDecodeError`` whose constructor takes one message.

    Raises:
        LookupError: There is no such class.
    """
    name, message, cause = (*spec, None, None)[:3]
    error = _find(str(name))() if message in (None, "") else _find(str(name))(message)
    if isinstance(cause, Sequence):
        error.__cause__ = make_error(cause)
    return error


def _find(name: str) -> type[BaseException]:
    module, _, member = name.rpartition(".")
    found = BY_NAME.get(name) or getattr(
        importlib.import_module(module) if module else builtins, member, None
    )
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise LookupError(f"there is no exception class {name!r}")
    return found
