"""What is forbidden is what vLLM's own sampler masks, whatever the parameters are."""

from __future__ import annotations

import math
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor.builtin import (
    LogitBiasLogitsProcessor,
    MinTokensLogitsProcessor,
)
from vllm.v1.sample.logits_processor.interface import BatchUpdate
from vllm.v1.sample.ops.bad_words import apply_bad_words

from python_worker.engines.guards.token_constraints import constraints_of, may_forbid
from python_worker.exceptions import InvalidArgument

VOCAB, EOS = 5, 4

TOKENS = st.integers(0, VOCAB - 1)
# Few tokens, so that little is left more often than not.
PARAMS = st.fixed_dictionaries(
    {
        "allowed_token_ids": st.none() | st.lists(TOKENS, min_size=1, max_size=3),
        "words": st.lists(st.lists(TOKENS, min_size=1, max_size=3), max_size=4),
        "logit_bias": st.none()
        | st.dictionaries(
            TOKENS, st.sampled_from([-math.inf, -math.inf, -1e39, -100.0, 100.0]), max_size=VOCAB
        ),
        "min_tokens": st.integers(0, 3),
        "stop_token_ids": st.lists(TOKENS, max_size=3),
    }
)
OUTPUTS = st.lists(TOKENS, max_size=4)


def completed(given: dict[str, Any]) -> SamplingParams:
    """Parameters as vLLM's input processor leaves them."""
    given = dict(given)
    words = given.pop("words")
    params = SamplingParams(max_tokens=16, **given)
    params.update_from_generation_config({}, EOS)
    if words:
        params.bad_words = [str(word) for word in words]
        params._bad_words_token_ids = words
    return params


class Config:
    """As much of a configuration as the processors read."""


def left_by_vllm(params: SamplingParams, output: list[int]) -> set[int]:
    """The tokens that vLLM's sampler leaves after an output, in its own order."""
    logits = torch.zeros(1, VOCAB)
    if params.allowed_token_ids is not None:
        mask = torch.ones(1, VOCAB, dtype=torch.bool)
        mask[0, params.allowed_token_ids] = False
        logits.masked_fill_(mask, -math.inf)
    if params.bad_words_token_ids:
        apply_bad_words(logits, {0: params.bad_words_token_ids}, [output])
    config: Any = Config()
    for cls in (MinTokensLogitsProcessor, LogitBiasLogitsProcessor):
        processor = cls(config, torch.device("cpu"), False)
        processor.update_state(
            BatchUpdate(batch_size=1, removed=[], added=[(0, params, [], output)], moved=[])
        )
        logits = processor.apply(logits)
    return {token for token in range(VOCAB) if logits[0, token] != -math.inf}


@settings(max_examples=500)
@given(PARAMS, OUTPUTS)
def test_it_is_what_vllm_masks(given: dict[str, Any], output: list[int]) -> None:
    params: Any = completed(given)
    constraints = constraints_of(params, VOCAB) if may_forbid(params) else None
    forbidden = (
        set()
        if constraints is None
        else {token for token in range(VOCAB) if constraints.is_forbidden(token, output)}
    )
    assert set(range(VOCAB)) - forbidden == left_by_vllm(params, output)


@settings(max_examples=500)
@given(PARAMS)
def test_refused_is_what_leaves_no_first_token(given: dict[str, Any]) -> None:
    params: Any = completed(given)
    constraints = constraints_of(params, VOCAB) if may_forbid(params) else None
    try:
        if constraints is not None:
            constraints.check()
        refused = False
    except InvalidArgument:
        refused = True
    assert refused == (not left_by_vllm(params, []))
