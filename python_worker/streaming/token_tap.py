"""Takes tokens directly from vLLM's request states, so that it makes no output for them.

For each token ``make_request_output`` builds a CompletionOutput and a RequestOutput of some twenty
fields. That takes 6 µs of the 28 that a token costs vLLM's front end at 256 streams, and the
encoder needs 3 more to find out that nothing in them is new but the token. If it is known
beforehand that an output would be plain, the token and its text are taken from the state instead,
and vLLM is told what it is told in FINAL_ONLY mode: that there is no output yet.

This repeats what those methods of vLLM do, so it is done only if their sources are known
(``known_sources``). With others every output is made and encoded; streams are slower then, and
bring the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, Protocol

from python_worker.streaming import known_sources

logger = logging.getLogger(__name__)


class TokenReceiver(Protocol):
    """Receives tokens in place of the outputs that would hold them."""

    def admit(self, index: int) -> bool:
        """Whether a token of this completion is taken now."""

    def take(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> None:
        """Take a token that was admitted.

        Args:
            index: The completion's.
            text: The output's text, and ...
            token_ids: ... its token ids: only the new ones, or all if the kind is CUMULATIVE.
            metrics: The output's.
        """


class TokenTap:
    """The token path of one engine, decided once.

    Args:
        processor: The engine's output processor, which has the states of its requests.
        reason: Why no token may be taken directly; None if tokens may be.
    """

    def __init__(self, processor: Any, reason: str | None) -> None:
        self._processor = processor
        self.reason = reason

    @property
    def path(self) -> Literal["direct", "outputs"]:
        """``direct`` if tokens are taken from request states, ``outputs`` if outputs are made."""
        return "direct" if self.reason is None else "outputs"

    def states(self, request_id: str) -> RequestStates:
        """The states of a request that was just admitted."""
        return RequestStates(self._processor, request_id, direct=self.reason is None)


NO_TAP: Final = TokenTap(None, "the engine was not made by the worker's builder")


def tap_of(engine: Any) -> TokenTap:
    """The token tap of an engine; ``engines.guards.token_path`` gives it one."""
    tap: TokenTap = getattr(engine, "_token_tap", NO_TAP)
    return tap


class RequestStates:
    """The states of one request, one for each of its completions.

    Args:
        processor: The output processor of the engine that has admitted the request.
        request_id: The engine's own id of the request.
        direct: Whether its outputs may be diverted.

    Attributes:
        several: Whether the request had several completions when it was admitted.
    """

    def __init__(self, processor: Any, request_id: str, *, direct: bool) -> None:
        self._processor = processor
        self._states = _states_of(processor, request_id)
        # Those that are not diverted yet, by the index of their completion.
        self._waiting = {
            getattr(state, "request_index", place): state
            for place, state in enumerate(self._states)
            if direct
        }
        self.several = len(self._states) > 1

    def divert(self, index: int, receiver: TokenReceiver, *, cumulative: bool) -> None:
        """Send the plain outputs of a completion to ``receiver``, if that is possible.

        Its last output was plain, so everything that stays the same in all its outputs is known
        to be unchanged. Whatever may make the next one different is checked for each token.

        Args:
            index: The completion's.
            receiver: Receives its tokens.
            cumulative: Which output kind ``receiver`` expects.
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
                    state.make_request_output = _diverted(state, receiver)
        except Exception:
            logger.warning(
                "the states of a request are not those of a known vLLM; "
                "its outputs are all made and encoded",
                exc_info=True,
            )
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
        return all(known_sources.unknown_method(role, cls) is None for role, cls in classes.items())

    def _are_alike(self) -> bool:
        """Whether it does not matter which of several completions an output is made by."""
        return (
            len({(it.num_cached_tokens, it.num_cache_creation_tokens) for it in self._states}) < 2
        )

    def restore(self) -> None:
        """Undo every diversion; this also breaks the reference cycles."""
        for state in self._states:
            vars(state).pop("make_request_output", None)
        self._states.clear()
        self._waiting.clear()

    def _can_be_plain(self, state: Any, cumulative: bool) -> bool:
        return bool(
            state.detokenizer is not None
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


def _diverted(state: Any, receiver: TokenReceiver) -> Callable[..., Any]:
    """The ``make_request_output`` of a state whose plain outputs are not made."""
    ordinary, index, masks = (
        state.make_request_output,
        state.request_index,
        state.sampling_mask_chunks,
    )
    detokenizer, logprobs = state.detokenizer, state.logprobs_processor
    next_text, delta = detokenizer.get_next_output_text, state.output_kind.name == "DELTA"
    interval = state.stream_interval

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
            or (interval > 1 and not _is_due(state, interval))
            or not receiver.admit(index)
        ):
            # Of an output that is not due it makes none.
            return ordinary(
                new_token_ids,
                pooling_output,
                finish_reason,
                stop_reason,
                kv_transfer_params,
                ec_transfer_params,
                error=error,
            )
        if not delta:
            token_ids = detokenizer.output_token_ids
        elif interval > 1:
            token_ids = detokenizer.output_token_ids[state.sent_tokens_offset :]
            state.sent_tokens_offset = detokenizer.num_output_tokens()
        else:
            token_ids = new_token_ids
        receiver.take(index, next_text(False, delta), token_ids, state.stats)
        return None

    return make_request_output


def _is_due(state: Any, interval: int) -> bool:
    """Whether an output that is not the last is made: only after so many tokens."""
    sent: int = state.sent_tokens_offset
    return sent == 0 or state.detokenizer.num_output_tokens() - sent >= interval
