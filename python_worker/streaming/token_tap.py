"""vLLM's state of a running request: where its outputs are made, and need not be made.

For each token ``make_request_output`` builds a CompletionOutput and a RequestOutput of some twenty
fields. That takes 6 µs of the 28 that a token costs vLLM's front end at 256 streams, and 3 more
go into finding out that nothing in them is new but the token. Where it is known before that an
output would be plain, the token and its text are taken from the state instead, and vLLM is told
what it is told in FINAL_ONLY mode: that there is no output yet.

This repeats what those methods of vLLM do, so it is done only while they read as they did
when this was written (``KNOWN``). A test fails when they do not; streams are slower then, no more.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

logger = logging.getLogger(__name__)

KNOWN: Final[Mapping[str, str]] = {
    "OutputProcessor.process_outputs": "9e116796002e75f2",
    "RequestState.make_request_output": "353cb96c5deaa307",
    "RequestState._new_completion_output": "dec8c8112ea29602",
    "RequestState._new_request_output": "4c3408481517d773",
    "LogprobsProcessor.from_new_request": "e8a0bed9a2f36092",
    "LogprobsProcessor.update_from_output": "2d4d3c33fc3cc5d2",
    "ParentRequest.get_outputs": "356e9f216d932035",
    "IncrementalDetokenizer.get_next_output_text": "a0f2aa28f90d761a",
    "IncrementalDetokenizer.update": "682204d64bcba607",
    "IncrementalDetokenizer.output_token_ids": "4d83594ef0f12d54",
    "BaseIncrementalDetokenizer.get_next_output_text": "426afb10c034a31b",
    "BaseIncrementalDetokenizer.update": "ab88e88b47aeb0cc",
    "SlowIncrementalDetokenizer.output_token_ids": "db76a35f995cbcd5",
}
"""The methods that are repeated or relied on here, and the start of their sources' SHA-256."""

USED: Final[Mapping[str, tuple[str, ...]]] = {
    "processor": ("process_outputs",),
    "state": ("make_request_output", "_new_completion_output", "_new_request_output"),
    "detokenizer": ("get_next_output_text", "update", "output_token_ids"),
    "logprobs": ("from_new_request", "update_from_output"),
    "parent": ("get_outputs",),
}
"""What of it is whose."""


class Taker(Protocol):
    """What takes tokens in the place of the outputs that would hold them."""

    def admit(self, index: int) -> bool:
        """Whether a token of this completion is taken now."""

    def take(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> None:
        """Take what was admitted.

        Args:
            index: The completion's.
            text: The output's text, and ...
            token_ids: ... its token ids: what is new, or all if the kind is CUMULATIVE.
            metrics: The output's.
        """


class RequestStates:
    """The states of one request, one for each of its completions.

    Args:
        engine: The engine that has admitted it. One that is not vLLM's has no states.
        request_id: The engine's own id of the request.

    Attributes:
        several: Whether the request had several completions when it was admitted.
    """

    def __init__(self, engine: Any, request_id: str) -> None:
        self._processor = getattr(engine, "output_processor", None)
        self._states = _states_of(self._processor, request_id)
        self._waiting = {
            getattr(state, "request_index", place): state
            for place, state in enumerate(self._states)
        }
        self.several = len(self._states) > 1

    def divert(self, index: int, taker: Taker, *, cumulative: bool) -> None:
        """Have the plain outputs of a completion go to ``taker``, where that can be.

        The last output of it was plain, so what is the same in all of them is known to be as it
        was. What may make the next one different is asked of each.

        Args:
            index: The completion's.
            taker: What takes its tokens.
            cumulative: What ``taker`` takes the output kind for.
        """
        if index not in self._waiting:
            return
        # This runs within vLLM's loop over the outputs of a step: an exception would end it.
        try:
            if not all(map(self._is_known, self._states)):
                self._waiting.clear()
            elif not any(state.is_prefilling for state in self._states):
                state = self._waiting.pop(index)
                if self._are_alike() and self._can_be_plain(state, cumulative):
                    state.make_request_output = _diverted(state, taker)
        except Exception:
            logger.warning("every output is made: the states are not as known", exc_info=True)
            self._waiting.clear()

    def _is_known(self, state: Any) -> bool:
        parts: dict[str, Any] = {
            "processor": self._processor,
            "state": state,
            "detokenizer": state.detokenizer,
            "logprobs": state.logprobs_processor,
            "parent": state.parent_req,
        }
        classes: dict[str, Any] = {role: type(it) for role, it in parts.items() if it is not None}
        return all(known(role, cls) for role, cls in classes.items())

    def _are_alike(self) -> bool:
        """Whether it does not matter which of several completions an output is made by."""
        return (
            len({(it.num_cached_tokens, it.num_cache_creation_tokens) for it in self._states}) < 2
        )

    def restore(self) -> None:
        """Leave the states as they were; also ends the circles of references."""
        for state in self._states:
            vars(state).pop("make_request_output", None)
        self._states.clear()
        self._waiting.clear()

    def _can_be_plain(self, state: Any, cumulative: bool) -> bool:
        return bool(
            state.detokenizer is not None
            and state.stream_interval == 1
            and not state.streaming_input
            and state.prompt_token_ids is not None
            and state.logprobs_processor.num_logprobs is None
            and state.logprobs_processor.num_prompt_logprobs is None
            and state.logprobs_processor.prompt_token_id_logprobs is None
            and state.output_kind.name == ("CUMULATIVE" if cumulative else "DELTA")
        )


def _states_of(processor: Any, request_id: str) -> list[Any]:
    states = getattr(processor, "request_states", {})
    if request_id in states:
        return [states[request_id]]
    parent = getattr(processor, "parent_requests", {}).get(request_id)
    children = getattr(parent, "child_requests", ())
    return [states[child] for child in children if child in states]


def _diverted(state: Any, taker: Taker) -> Callable[..., Any]:
    """The ``make_request_output`` of a state whose plain outputs are not made."""
    ordinary, index, masks = (
        state.make_request_output,
        state.request_index,
        state.sampling_mask_chunks,
    )
    detokenizer, logprobs = state.detokenizer, state.logprobs_processor
    next_text, delta = detokenizer.get_next_output_text, state.output_kind.name == "DELTA"

    def make_request_output(
        new_token_ids: list[int],
        pooling_output: Any,
        finish_reason: Any,
        stop_reason: Any,
        kv_transfer_params: Any = None,
        ec_transfer_params: Any = None,
        error: Any = None,
    ) -> Any:
        if (
            finish_reason is not None
            or pooling_output is not None
            or kv_transfer_params is not None
            or ec_transfer_params is not None
            or masks
            or logprobs.prompt_token_id_logprobs is not None
            or not taker.admit(index)
        ):
            return ordinary(
                new_token_ids,
                pooling_output,
                finish_reason,
                stop_reason,
                kv_transfer_params,
                ec_transfer_params,
                error=error,
            )
        token_ids = new_token_ids if delta else detokenizer.output_token_ids
        taker.take(index, next_text(False, delta), token_ids, state.stats)
        return None

    return make_request_output


@functools.cache
def known(role: str, cls: Any) -> bool:
    """Whether a class does as it did when this was written; it reads sources, once for each.

    Args:
        role: A key of ``USED``.
        cls: vLLM's class, or somebody's subclass of it.
    """
    methods = {name: getattr(cls, name, None) for name in USED[role]}
    new = [name for name, method in methods.items() if fingerprint(method) not in KNOWN.values()]
    if new:
        logger.info("every output is made: this vLLM has its own %s.%s", cls.__name__, new[0])
    return not new


def fingerprint(method: Any) -> str:
    """The start of the SHA-256 of a method's source; nothing where there is none."""
    try:
        source = inspect.getsource(getattr(method, "fget", method))
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(source.encode()).hexdigest()[:16]
