"""Worker extensions whose results can all be sent.

The result of a worker's method travels through EngineCore, where a result that cannot be encoded
ends the thread that sends all others: every call of every client hangs from then on. What vLLM's
own workers return is known (``worker_methods``); what a user's ``worker_extension_cls`` returns is
not. So each method of such a class is wrapped, in the worker process, to check its result there.

vLLM takes the class by its import path and imports it in its workers. There this module makes the
checked class from its name: ``worker_extension.checked_HEX`` is the checked form of the class whose
path is HEX, decoded.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

_PREFIX = "checked_"


def checked_path(path: str) -> str:
    """The import path of the checked form of a class; nothing for nothing."""
    if not path or path != original_path(path):
        return path
    return f"{__name__}.{_PREFIX}{path.encode().hex()}"


def original_path(path: str) -> str:
    """The import path of the class that a checked form was made from."""
    own, _, name = path.rpartition(".")
    if own != __name__ or not name.startswith(_PREFIX):
        return path
    return bytes.fromhex(name.removeprefix(_PREFIX)).decode()


def load(path: str) -> Any:
    """The class itself, by its path."""
    module, _, name = original_path(path).rpartition(".")
    return getattr(importlib.import_module(module), name)


def public_methods(extension: type) -> list[str]:
    """The methods that ``collective_rpc`` may call by name."""
    return [
        name
        for name in dir(extension)
        if not name.startswith("_") and callable(getattr(extension, name))
    ]


def checked(extension: Any) -> Any:
    """A subclass whose methods raise instead of returning what cannot be sent."""
    from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder, UtilityResult

    def check(result: object, name: str) -> None:
        try:
            sent = MsgpackEncoder().encode(UtilityResult([result]))
            MsgpackDecoder(UtilityResult).decode(sent)
        except Exception as error:
            raise TypeError(
                f"{extension.__name__}.{name} returned an object of {type(result)}, which cannot "
                f"be sent: {error}"
            ) from error

    def wrap(name: str) -> Callable[..., object]:
        method = getattr(extension, name)

        @functools.wraps(method)
        def call(self: object, *args: object, **kwargs: object) -> object:
            result = getattr(super(made, self), name)(*args, **kwargs)
            check(result, name)
            return result

        return call

    wrapped = {name: wrap(name) for name in public_methods(extension)}
    made: Any = type(extension.__name__, (extension,), wrapped)
    return made


def __getattr__(name: str) -> Any:
    path = f"{__name__}.{name}"
    if not name.startswith(_PREFIX):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = checked(load(path))
    return made
