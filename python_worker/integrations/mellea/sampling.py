"""One map of options: which of them are a request's parameters.

The names of a map are mellea's, such as ``@@@max_new_tokens@@@``, or the engine's, such as
``max_tokens``. A name that is neither is dropped without a word, as mellea does it.
"""

from __future__ import annotations

from collections.abc import Mapping
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
