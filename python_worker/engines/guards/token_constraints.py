"""What a request's parameters forbid: a request that may choose no token is refused, or ends.

vLLM sets the logits of a forbidden token to minus infinity. These parameters do that:

======================  ==========================================================================
``allowed_token_ids``   to all others, always
``bad_words``           to a word of one token always, to the last of several after the others;
                        vLLM makes up to two words of each, with and without a space before it
``logit_bias``          where the bias is ``FORBIDDING_BIAS`` or less; infinity added to one
                        that is forbidden gives no number, and vLLM chooses that
``min_tokens``          to ``stop_token_ids`` and the end of the sequence, until then; not where a
                        structure would be left without a token
``structured_outputs``  to what does not continue the structure, and to ``stop_token_ids`` before
                        its end
======================  ==========================================================================

``temperature``, ``top_k``, ``top_p``, ``min_p`` and penalties leave the best token.

Where nothing is left vLLM chooses a token all the same, most often id 0, and goes on. What leaves
nothing for the first token is known beforehand, except for a structure. What leaves nothing later
is not; but then the token that is chosen is a forbidden one, and is known by that. One that a
structure forbids is known to EngineCore, which ends the request with the finish reason "error".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from python_worker.engines.guards.protocols import SamplingParams
from python_worker.exceptions import InvalidArgument, NoTokenLeft

FORBIDDING_BIAS = -1e36
"""Divided by the lowest temperature, 0.01, all beyond this are minus infinity in float32."""

FORBIDDING = (
    "allowed_token_ids",
    "bad_words",
    "logit_bias",
    "min_tokens",
    "stop_token_ids",
    "structured_outputs",
)


class TokenConstraints:
    """What one request's parameters forbid.

    Args:
        params: As vLLM has completed them.
        vocab_size: How many ids the model has.
        always: Ids that vLLM may force against all of these.

    Attributes:
        has_structure: Whether a structure forbids something too, which only EngineCore knows.
    """

    def __init__(
        self, params: SamplingParams, vocab_size: int, always: frozenset[int] = frozenset()
    ) -> None:
        words = params.bad_words_token_ids or ()
        allowed = params.allowed_token_ids
        biases = params.logit_bias or {}
        self._vocab_size = vocab_size
        self._always = always
        self._allowed = None if allowed is None else frozenset(allowed)
        # By the parameter that forbids them.
        self._forbidden: Mapping[str, frozenset[int]] = {
            "bad_words": frozenset(word[0] for word in words if len(word) == 1),
            "logit_bias": frozenset(
                token for token, bias in biases.items() if bias <= FORBIDDING_BIAS
            ),
        }
        self._infinite = [token for token, bias in biases.items() if bias >= -FORBIDDING_BIAS]
        self._phrases = [(list(word[:-1]), word[-1]) for word in words if len(word) > 1]
        self.has_structure = params.structured_outputs is not None
        self._min_tokens = 0 if self.has_structure else params.min_tokens
        self._stops = frozenset(params.all_stop_token_ids if self._min_tokens else ())
        self._names = [
            name
            for name in FORBIDDING
            if getattr(params, name)
            and (name != "min_tokens" or self._min_tokens)
            and (name != "stop_token_ids" or self.has_structure)
        ]

    @property
    def forbid_something(self) -> bool:
        """Whether there is anything to look at in the output."""
        return (
            self._allowed is not None
            or self.has_structure
            or bool(self._phrases)
            or bool(self._stops)
            or any(self._forbidden.values())
        )

    def check(self) -> None:
        """Refuse what leaves nothing for the first token.

        Raises:
            InvalidArgument: It names the parameters, and what each forbids.
        """
        left = self._allowed
        count = self._vocab_size if left is None else len(left)
        reasons = [] if left is None else [f"allowed_token_ids allows {counted(left)}"]
        names = [] if left is None else ["allowed_token_ids"]
        gone: frozenset[int] = frozenset()
        for name, tokens in {**self._forbidden, "min_tokens": self._stops}.items():
            more = (tokens if left is None else tokens & left) - gone
            if more:
                gone |= more
                names.append(name)
                reasons.append(f"{name} {SAID[name].format(tokens=counted(more))}")
        if len(gone) < count:
            self._check_infinite(left, gone)
            return
        raise InvalidArgument(
            f"sampling_params: no token is left to choose: {'; '.join(reasons)}",
            parameter=f"sampling_params.{names[0]}",
            parameters=names,
        )

    def _check_infinite(self, left: frozenset[int] | None, gone: frozenset[int]) -> None:
        for token in self._infinite:
            if token in gone or (left is not None and token not in left):
                raise InvalidArgument(
                    f"sampling_params.logit_bias: id {token} has a bias of infinity, and another "
                    "parameter forbids it",
                    parameter="sampling_params.logit_bias",
                )

    def is_forbidden(self, token: int, output: Sequence[int]) -> bool:
        """Whether a token may not follow an output.

        Args:
            token: The token.
            output: All that were generated before it.
        """
        if token in self._always:
            return False
        return (
            (self._allowed is not None and token not in self._allowed)
            or any(token in tokens for tokens in self._forbidden.values())
            or (len(output) < self._min_tokens and token in self._stops)
            or any(
                last == token and len(output) >= len(first) and output[-len(first) :] == first
                for first, last in self._phrases
            )
        )

    def not_compiled(self) -> NoTokenLeft:
        """The error of a request whose structure EngineCore could not compile."""
        return NoTokenLeft(
            "sampling_params.structured_outputs: the engine could not compile the structure, for "
            "which its back end gives no reason here: the worker's log may have one. A regex or a "
            "schema may be too complex, or match nothing; make it simpler, or name another back "
            "end in structured_outputs_config when the engine is built",
            parameter="sampling_params.structured_outputs",
        )

    def end_at(self, position: int) -> NoTokenLeft:
        """The error of a request that ends because nothing was left.

        Args:
            position: How many tokens it had by then.
        """
        return NoTokenLeft(
            f"sampling_params: after {position} tokens no token was left to choose: "
            f"{' and '.join(self._names)} forbid all of them there",
            parameter=f"sampling_params.{self._names[0]}",
            parameters=self._names,
            tokens=position,
        )


SAID = {
    "bad_words": "forbids {tokens}",
    "logit_bias": "forbids {tokens} with a bias of minus infinity",
    "min_tokens": "forbids {tokens}, which would end the output",
}


def counted(tokens: frozenset[int]) -> str:
    """Token ids in words: few are listed, many are counted."""
    few = 8
    if len(tokens) == 1:
        return f"id {next(iter(tokens))}"
    if len(tokens) <= few:
        return f"ids {', '.join(map(str, sorted(tokens)))}"
    return f"{len(tokens)} ids"


def may_forbid(params: SamplingParams) -> bool:
    """Whether a request has a parameter that forbids tokens, as most have not."""
    return bool(
        params.allowed_token_ids is not None
        or params.structured_outputs is not None
        or params.bad_words
        or params.logit_bias
        or params.min_tokens
    )


def constraints_of(
    params: SamplingParams, vocab_size: int, always: Sequence[int] | None = None
) -> TokenConstraints | None:
    """The constraints of a request; None where it forbids nothing by itself.

    Args:
        params: As vLLM has completed them.
        vocab_size: How many ids the model has.
        always: What a model is forced to say when its budget for thinking is spent.
    """
    if params.trace_decode_token_ids:
        return None  # A trace is played back, whatever else is given.
    forced = frozenset(always or ()) if params.thinking_token_budget is not None else frozenset()
    found = TokenConstraints(params, vocab_size, forced)
    return found if found.forbid_something else None
