"""One map of options: which of them are a request's parameters.

The names of a map are mellea's, such as ``@@@max_new_tokens@@@``, or the engine's, such as
``max_tokens``. A name that is neither is dropped without a word, as mellea does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from python_worker.exceptions import InvalidArgument
from python_worker.validation.classes import fields_of
from python_worker.validation.type_hints import hints_of

TO_MELLEA: Final[Mapping[str, str]] = {
    "max_tokens": "@@@max_new_tokens@@@",
    "seed": "@@@seed@@@",
    "stop": "@@@stop_sequences@@@",
    "temperature": "temperature",
}
"""By the engine's names: mellea's."""

FROM_MELLEA: Final[Mapping[str, str]] = {name: own for own, name in TO_MELLEA.items()}

_Fits = Callable[[Any], bool]

# Options of mellea's that reach no check of vLLM's.
_OPTIONS: Final[Mapping[str, tuple[str, _Fits]]] = {
    "@@@system_prompt@@@": ("a text", lambda value: isinstance(value, str)),
    "@@@stream@@@": ("true or false", lambda value: isinstance(value, bool)),
    "@@@thinking@@@": ("true, false or a text", lambda value: isinstance(value, bool | str)),
    "@@@stream_timeout@@@": (
        "seconds above 0",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    ),
    "add_generation_prompt": ("true or false", lambda value: isinstance(value, bool)),
}


def parameter_names(engine: Any) -> frozenset[str]:
    """The names of the parameters of a request, from the signature of the engine's ``generate``."""
    cls = hints_of(type(engine).generate)["sampling_params"]
    return frozenset(fields_of(cls) or ())


def sampling_parameters(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The parameters of a request that a map of options asks for, by the engine's names.

    Args:
        options: Their keys are mellea's names, or the engine's where mellea has none.
        names: See ``parameter_names``.

    Raises:
        InvalidArgument: A parameter is decided by another option.
    """
    if options.get("output_kind") is not None:
        raise InvalidArgument(
            "model_options['output_kind']: the option STREAM decides it", parameter="output_kind"
        )
    renamed = {FROM_MELLEA.get(name, name): value for name, value in options.items()}
    return {name: value for name, value in renamed.items() if name in names and value is not None}


def check_options(options: dict[str, Any] | None) -> None:
    """Refuse an option that mellea would stumble over.

    Raises:
        InvalidArgument: Its value is wrong, or it has another way to be given.
    """
    for name, value in (options or {}).items():
        if not isinstance(name, str):
            raise InvalidArgument("model_options: the keys are texts", parameter="model_options")
        parameter = f"model_options[{name[:80]!r}]"
        if name == "@@@tools@@@":
            raise InvalidArgument(f"{parameter}: give tools instead", parameter=parameter)
        wanted, fits = _OPTIONS.get(name, ("", _anything))
        if value is not None and not fits(value):
            raise InvalidArgument(
                f"{parameter}: wants {wanted}, got {type(value).__name__}", parameter=parameter
            )


def _anything(value: Any) -> bool:
    return True
