"""Translates parameter names of earlier vLLM versions to those of the installed one.

Code written for vLLM 0.14 keeps working. Renamed parameters are translated before arguments are
checked. A parameter that vLLM dropped without a successor is ignored, with a warning in the log.
A call that gives both the old and the new name is an error.

========================  ==================================  ===================================
method                    earlier                             now
========================  ==================================  ===================================
``pause_generation``      ``wait_for_inflight_requests``      ``mode``: "wait", or "abort"
``encode``                ``truncate_prompt_tokens``          in ``tokenization_kwargs``
``generate``,             ``SamplingParams.                   in ``tokenization_kwargs``
``add_request``           truncate_prompt_tokens``
``generate``,             ``SamplingParams.                   ``SamplingParams.structured_outputs``
``add_request``           guided_decoding``
``new``                   ``use_cached_outputs``              ignored
========================  ==================================  ===================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument

logger = logging.getLogger(__name__)

# Which backend enforces a grammar. It was chosen by request; now an engine chooses it at start.
DROPPED_OF_GUIDED_DECODING = ("backend", "backend_was_auto", "disable_fallback")

# The names of structs from Elixir.
SAMPLING_PARAMS = "SamplingParams"
GUIDED_DECODING = ("GuidedDecodingParams", "StructuredOutputsParams")


class GivenArguments:
    """The arguments of a call by name, before they are checked.

    Args:
        names: The parameters of the method that may be given by position.
        args: The positional arguments as they came.
        kwargs: The keyword arguments as they came.
    """

    def __init__(
        self, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self._positions = {name: index for index, name in enumerate(names[: len(args)])}
        self.args = list(args)
        self.kwargs = dict(kwargs)

    def get(self, name: str) -> Any:
        """Returns the value of a parameter; None if it is not given."""
        position = self._positions.get(name)
        return self.kwargs.get(name) if position is None else self.args[position]

    def has(self, name: str) -> bool:
        """Whether a parameter is given."""
        return name in self._positions or name in self.kwargs

    def set(self, name: str, value: Any) -> None:
        """Sets the value of a parameter, whether or not it is given."""
        position = self._positions.get(name)
        if position is None:
            self.kwargs[name] = value
        else:
            self.args[position] = value

    def pop(self, name: str) -> Any:
        """Removes a keyword argument and returns its value; None if it is not given."""
        return self.kwargs.pop(name, None)


def translate(method: str, arguments: GivenArguments) -> None:
    """Translates the parameter names of earlier vLLM versions, in place.

    Raises:
        InvalidArgument: An old name and its new name are both given.
    """
    translation = TRANSLATIONS.get(method)
    if translation is not None:
        translation(arguments)


def _translate_mode(arguments: GivenArguments) -> None:
    if "wait_for_inflight_requests" not in arguments.kwargs:
        return
    if arguments.has("mode"):
        _refuse_both("wait_for_inflight_requests", "mode")
    wait = arguments.pop("wait_for_inflight_requests")
    if type(wait) is not bool:
        raise InvalidArgument(
            f"wait_for_inflight_requests: wants bool, got {type(wait).__name__} {wait!r}",
            parameter="wait_for_inflight_requests",
        )
    arguments.set("mode", "wait" if wait else "abort")


def _translate_truncation(arguments: GivenArguments) -> None:
    if "truncate_prompt_tokens" in arguments.kwargs:
        _set_truncation(
            arguments, arguments.pop("truncate_prompt_tokens"), "truncate_prompt_tokens"
        )


def _set_truncation(arguments: GivenArguments, tokens: Any, name: str) -> None:
    if tokens is None:
        return
    given = arguments.get("tokenization_kwargs")
    if given is None:
        given = {}
    # Anything but a map is left as it is: the check that follows raises the error.
    if isinstance(given, dict):
        if "truncate_prompt_tokens" in given:
            _refuse_both(name, "tokenization_kwargs['truncate_prompt_tokens']")
        arguments.set("tokenization_kwargs", {**given, "truncate_prompt_tokens": tokens})


def _translate_sampling(parameter: str, arguments: GivenArguments) -> None:
    params = arguments.get(parameter)
    fields = _fields_of(params, SAMPLING_PARAMS)
    if fields is None or not ("guided_decoding" in fields or "truncate_prompt_tokens" in fields):
        return
    fields = dict(fields)
    if "truncate_prompt_tokens" in fields:
        tokens = fields.pop("truncate_prompt_tokens")
        _set_truncation(arguments, tokens, f"{parameter}.truncate_prompt_tokens")
    guided = fields.pop("guided_decoding", None)
    if guided is not None:
        if fields.get("structured_outputs") is not None:
            _refuse_both(f"{parameter}.guided_decoding", f"{parameter}.structured_outputs")
        fields["structured_outputs"] = _structured_outputs(guided)
    made = Record(params.name, fields) if isinstance(params, Record) else fields
    arguments.set(parameter, made)


def _structured_outputs(guided: Any) -> Any:
    fields = _fields_of(guided, *GUIDED_DECODING)
    if fields is None:
        return guided  # the check that follows raises the error
    dropped = [name for name in DROPPED_OF_GUIDED_DECODING if fields.get(name)]
    if dropped:
        logger.warning(
            "guided_decoding: ignored, as vLLM has dropped it: %s",
            ", ".join(dropped),
        )
    return {k: v for k, v in fields.items() if k not in DROPPED_OF_GUIDED_DECODING}


def _ignore_cached_outputs(arguments: GivenArguments) -> None:
    if "use_cached_outputs" in arguments.kwargs:
        arguments.pop("use_cached_outputs")
        logger.warning("new: use_cached_outputs is ignored, as vLLM has dropped it")


def _fields_of(value: Any, *names: str) -> dict[str, Any] | None:
    if isinstance(value, Record):
        return value.fields if value.name in names else None
    return value if isinstance(value, dict) else None


def _refuse_both(old: str, new: str) -> NoReturn:
    raise InvalidArgument(
        f"{old} is the earlier name of {new}: give one of them, not both", parameter=old
    )


TRANSLATIONS: Mapping[str, Callable[[GivenArguments], None]] = {
    "pause_generation": _translate_mode,
    "encode": _translate_truncation,
    "generate": partial(_translate_sampling, "sampling_params"),
    "add_request": partial(_translate_sampling, "params"),
    "new": _ignore_cached_outputs,
}
