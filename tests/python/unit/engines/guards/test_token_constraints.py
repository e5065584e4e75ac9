"""What leaves no token is refused or found; ``vllm/test_token_constraints.py`` asks vLLM itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from python_worker.engines.guards.token_constraints import (
    TokenConstraints,
    constraints_of,
    may_forbid,
)
from python_worker.exceptions import InvalidArgument, Kind
from tests.python.support.sampling import sampling

VOCAB = 8
EOS = 7
BANNED = -math.inf


def of(params: Any, forced: Sequence[int] | None = None) -> TokenConstraints:
    constraints = constraints_of(params, VOCAB, forced)
    assert constraints is not None
    return constraints


@pytest.mark.parametrize(
    ("params", "names", "said"),
    [
        (
            sampling(allowed_token_ids=[4], words=[[4]]),
            ["allowed_token_ids", "bad_words"],
            "allowed_token_ids allows id 4; bad_words forbids id 4",
        ),
        (
            sampling(allowed_token_ids=[EOS], min_tokens=5, stops=(EOS,)),
            ["allowed_token_ids", "min_tokens"],
            "allowed_token_ids allows id 7; min_tokens forbids id 7, which would end the output",
        ),
        (
            sampling(allowed_token_ids=[1, 2, 3], words=[[1], [9, 9]], logit_bias={2: BANNED}),
            None,
            None,
        ),
        (
            sampling(
                allowed_token_ids=[1, 2, 3],
                words=[[1], [1]],
                logit_bias={1: BANNED, 2: BANNED, 5: BANNED},
                min_tokens=1,
                stops=(3, EOS),
            ),
            ["allowed_token_ids", "bad_words", "logit_bias", "min_tokens"],
            "bad_words forbids id 1; logit_bias forbids id 2 with a bias of minus infinity; min_t",
        ),
        (sampling(logit_bias=dict.fromkeys(range(VOCAB), BANNED)), ["logit_bias"], "ids 0, 1, 2"),
        (sampling(logit_bias=dict.fromkeys(range(VOCAB), -100.0)), None, None),
        (sampling(words=[[token] for token in range(VOCAB)]), ["bad_words"], "bad_words forbids"),
        (sampling(words=[[token] for token in range(1, VOCAB)]), None, None),
        (
            sampling(stops=tuple(range(VOCAB)), min_tokens=2),
            ["min_tokens"],
            "min_tokens forbids ids",
        ),
        # vLLM lets a structure end before ``min_tokens`` where it can do nothing else.
        (
            sampling(stops=tuple(range(VOCAB)), min_tokens=2, structured_outputs="any"),
            None,
            None,
        ),
    ],
)
def test_what_leaves_no_first_token_is_refused(
    params: Any, names: list[str] | None, said: str | None
) -> None:
    constraints = constraints_of(params, VOCAB)
    if names is None or said is None:
        if constraints is not None:
            constraints.check()
        return
    with pytest.raises(InvalidArgument) as caught:
        of(params).check()
    assert said in str(caught.value)
    assert caught.value.details["parameters"] == names
    assert caught.value.details["parameter"] == f"sampling_params.{names[0]}"


@pytest.mark.parametrize(
    "others", [{"allowed_token_ids": [2]}, {"words": [[1]]}, {"stops": (1,), "min_tokens": 1}]
)
def test_an_infinite_bias_for_what_is_forbidden_is_refused(others: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="logit_bias: id 1 has a bias of infinity"):
        of(sampling(logit_bias={3: 0.0, 1: math.inf}, **others)).check()
    of(sampling(logit_bias={2: math.inf}, **others)).check()


def test_a_bias_that_is_infinite_in_the_sampler_forbids() -> None:
    params = sampling(logit_bias={1: -1e37, 2: -1e30, 3: BANNED})
    assert [it for it in range(VOCAB) if of(params).is_forbidden(it, [])] == [1, 3]


def test_many_ids_are_counted() -> None:
    params = sampling(allowed_token_ids=range(100), words=[[token] for token in range(100)])
    with pytest.raises(InvalidArgument, match="allows 100 ids; bad_words forbids 100 ids"):
        of(params).check()


@pytest.mark.parametrize(
    ("params", "output", "forbidden"),
    [
        (sampling(words=[[1, 2]]), [], set()),
        (sampling(words=[[1, 2]]), [1], {2}),
        (sampling(words=[[1, 2]]), [2, 1, 3], set()),
        (sampling(words=[[1, 1]]), [1, 1, 1], {1}),
        (sampling(words=[[1, 2, 3], [2, 4], [5]]), [1, 2], {3, 4, 5}),
        (sampling(allowed_token_ids=[1, 2]), [1], {0, 3, 4, 5, 6, 7}),
        (sampling(min_tokens=2, stops=(3, EOS)), [1], {3, EOS}),
        (sampling(min_tokens=2, stops=(3, EOS)), [1, 1], set()),
    ],
)
def test_what_is_forbidden_after_an_output(
    params: Any, output: list[int], forbidden: set[int]
) -> None:
    constraints = of(params)
    assert {it for it in range(VOCAB) if constraints.is_forbidden(it, output)} == forbidden


def test_what_vllm_forces_is_not_forbidden() -> None:
    params = sampling(allowed_token_ids=[1], thinking_token_budget=3)
    assert not of(params, [5, 6]).is_forbidden(5, [])
    assert of(params, [5, 6]).is_forbidden(4, [])
    # Without a budget nothing is forced.
    assert of(sampling(allowed_token_ids=[1]), [5, 6]).is_forbidden(5, [])


def test_most_requests_forbid_nothing() -> None:
    assert not may_forbid(sampling())
    for params in (
        sampling(logit_bias={1: 100.0}),
        sampling(min_tokens=5),
        sampling(allowed_token_ids=[1], trace_decode_token_ids=[2]),
    ):
        assert may_forbid(params)
        assert constraints_of(params, VOCAB) is None


def test_the_error_of_a_request_that_ends_names_its_parameters() -> None:
    error = of(sampling(allowed_token_ids=[1], words=[[1, 1]], min_tokens=3)).end_at(1)
    assert error.kind == Kind.INVALID
    assert str(error) == (
        "sampling_params: after 1 tokens no token was left to choose: "
        "allowed_token_ids and bad_words and min_tokens forbid all of them there"
    )
    assert error.details["tokens"] == 1


def test_stop_tokens_count_where_there_is_a_structure() -> None:
    params = sampling(min_tokens=3, stop_token_ids=[5], structured_outputs="any")
    error = of(params).end_at(0)
    assert error.details["parameters"] == ["stop_token_ids", "structured_outputs"]
    error = of(sampling(allowed_token_ids=[1], stop_token_ids=[5])).end_at(0)
    assert error.details["parameters"] == ["allowed_token_ids"]
