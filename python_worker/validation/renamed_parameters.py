"""Names that earlier vLLM versions had, translated to those of the installed one.

Code written against vLLM 0.14 goes on working: what was renamed is renamed
here, before the gate looks at the arguments, and what was dropped without a
successor is ignored with a warning in the log. A call that gives both the old
and the new name is refused, because one of them would have to lose.

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

# Choices of earlier versions about how a grammar is enforced. An engine has
# one backend now, chosen when it starts.
DROPPED_OF_GUIDED_DECODING = ("backend", "backend_was_auto", "disable_fallback")

# Names under which a map of sampling parameters may call itself.
SAMPLING_PARAMS = "SamplingParams"
GUIDED_DECODING = ("GuidedDecodingParams", "StructuredOutputsParams")


class GivenArguments:
    """The arguments of a call by name, before anybody has checked them.

    Args:
        names: The parameters of the method that may be given by position.
        args: As they came.
        kwargs: As they came.
    """

    def __init__(
        self, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self._positions = {name: index for index, name in enumerate(names[: len(args)])}
        self.args = list(args)
        self.kwargs = dict(kwargs)

    def get(self, name: str) -> Any:
        """The value of a parameter; None where it is not given."""
        position = self._positions.get(name)
        return self.kwargs.get(name) if position is None else self.args[position]

    def has(self, name: str) -> bool:
        """Whether a parameter is given."""
        return name in self._positions or name in self.kwargs

    def set(self, name: str, value: Any) -> None:
        """Give a parameter, or another value to one that is given."""
        position = self._positions.get(name)
        if position is None:
            self.kwargs[name] = value
        else:
            self.args[position] = value

    def pop(self, name: str) -> Any:
        """Take a keyword away; None where it is not given."""
        return self.kwargs.pop(name, None)


def modernise(method: str, arguments: GivenArguments) -> None:
    """Translate what an earlier vLLM called otherwise, in place.

    Raises:
        Refused: The old and the new name of something are both given.
    """
    translate = TRANSLATIONS.get(method)
    if translate is not None:
        translate(arguments)


def _mode(arguments: GivenArguments) -> None:
    if "wait_for_inflight_requests" not in arguments.kwargs:
        return
    if arguments.has("mode"):
        _both("wait_for_inflight_requests", "mode")
    wait = arguments.pop("wait_for_inflight_requests")
    if type(wait) is not bool:
        raise InvalidArgument(
            f"wait_for_inflight_requests: wants bool, got {type(wait).__name__} {wait!r}",
            parameter="wait_for_inflight_requests",
        )
    arguments.set("mode", "wait" if wait else "abort")


def _truncation(arguments: GivenArguments) -> None:
    if "truncate_prompt_tokens" in arguments.kwargs:
        _truncate(arguments, arguments.pop("truncate_prompt_tokens"), "truncate_prompt_tokens")


def _truncate(arguments: GivenArguments, tokens: Any, name: str) -> None:
    if tokens is None:
        return
    given = arguments.get("tokenization_kwargs")
    if given is None:
        given = {}
    # Anything else than a map is left to the gate, which says what is wrong.
    if isinstance(given, dict):
        if "truncate_prompt_tokens" in given:
            _both(name, "tokenization_kwargs['truncate_prompt_tokens']")
        arguments.set("tokenization_kwargs", {**given, "truncate_prompt_tokens": tokens})


def _sampling(parameter: str, arguments: GivenArguments) -> None:
    params = arguments.get(parameter)
    fields = _fields_of(params, SAMPLING_PARAMS)
    if fields is None or not ("guided_decoding" in fields or "truncate_prompt_tokens" in fields):
        return
    fields = dict(fields)
    if "truncate_prompt_tokens" in fields:
        tokens = fields.pop("truncate_prompt_tokens")
        _truncate(arguments, tokens, f"{parameter}.truncate_prompt_tokens")
    guided = fields.pop("guided_decoding", None)
    if guided is not None:
        if fields.get("structured_outputs") is not None:
            _both(f"{parameter}.guided_decoding", f"{parameter}.structured_outputs")
        fields["structured_outputs"] = _structured(guided)
    made = Record(params.name, fields) if isinstance(params, Record) else fields
    arguments.set(parameter, made)


def _structured(guided: Any) -> Any:
    fields = _fields_of(guided, *GUIDED_DECODING)
    if fields is None:
        return guided  # for the gate to refuse
    dropped = [name for name in DROPPED_OF_GUIDED_DECODING if fields.get(name)]
    if dropped:
        logger.warning("guided_decoding: ignored, as vLLM has dropped it: %s", ", ".join(dropped))
    return {k: v for k, v in fields.items() if k not in DROPPED_OF_GUIDED_DECODING}


def _cached_outputs(arguments: GivenArguments) -> None:
    if "use_cached_outputs" in arguments.kwargs:
        arguments.pop("use_cached_outputs")
        logger.warning("new: use_cached_outputs is ignored, as vLLM has dropped it")


def _fields_of(value: Any, *names: str) -> dict[str, Any] | None:
    if isinstance(value, Record):
        return value.fields if value.name in names else None
    return value if isinstance(value, dict) else None


def _both(old: str, new: str) -> NoReturn:
    raise InvalidArgument(
        f"{old} is the earlier name of {new}: give one of them, not both", parameter=old
    )


TRANSLATIONS: Mapping[str, Callable[[GivenArguments], None]] = {
    "pause_generation": _mode,
    "encode": _truncation,
    "generate": partial(_sampling, "sampling_params"),
    "add_request": partial(_sampling, "params"),
    "new": _cached_outputs,
}
