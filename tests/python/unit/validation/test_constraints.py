"""What annotations do not say: keys, ranges and contents of parameters, by their names."""

from __future__ import annotations

import datetime as dt
import math
from collections import UserDict
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pytest

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.validation.annotations import checker
from python_worker.validation.constraints import beside_media, check_of
from python_worker.validation.signatures import signature_of

BIG = 2**64


@dataclass
class LoRARequest:
    lora_int_id: int


class Items(TypedDict):
    mm_kwargs: Any


class Engine:
    def add_request(
        self,
        arrival_time: float | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        lora_request: LoRARequest | None = None,
    ) -> None:
        """As vLLM's."""


def refusal(owner: str, name: str, value: object, annotation: Any = Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check_of(owner, name, annotation, checker)(value, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ("generate", "tokenization_kwargs", None),
        ("generate", "tokenization_kwargs", {}),
        ("generate", "tokenization_kwargs", {"truncate_prompt_tokens": -1, "max_length": None}),
        ("generate", "tokenization_kwargs", {"padding": "max_length", "truncation": True}),
        ("generate", "tokenization_kwargs", {"what_vllm_ignores": object}),
        ("add_request", "arrival_time", None),
        ("add_request", "arrival_time", 1.7e9),
        ("generate", "data_parallel_rank", 0),
        ("pin_lora", "lora_id", 2**63 - 1),
        ("collective_rpc", "timeout", 0.5),
        ("collective_rpc", "timeout", math.inf),
        ("collective_rpc", "args", (1, [{"a": b"b"}])),
        ("collective_rpc", "kwargs", None),
        ("SamplingParams", "extra_args", {"a": [1, {2: None}], "b": {3}, "c": dt.date(2024, 1, 1)}),
        ("SamplingParams", "extra_args", {"kv_transfer_params": {"x": [1]}}),
        ("SamplingParams", "prompt_logprob_token_ids", [[1, 2], [3]]),
        ("SamplingParams", "prompt_logprob_token_ids", None),
        ("SamplingParams", "repetition_penalty", None),
        ("SamplingParams", "repetition_penalty", 1.2),
        # vLLM refuses these itself.
        ("SamplingParams", "repetition_penalty", 0.0),
        ("SamplingParams", "repetition_penalty", -1.0),
        ("BeamSearchParams", "length_penalty", -40.0),
        ("BeamSearchParams", "length_penalty", 1.0),
        ("PoolingParams", "extra_kwargs", {"compressed_token_type_ids": 3}),
        ("LateInteractionParams", "mode", "cache_query"),
    ],
)
def test_a_fitting_value_passes_unchanged(owner: str, name: str, value: object) -> None:
    assert check_of(owner, name, Any, checker)(value, name) == value


@pytest.mark.parametrize(
    ("owner", "name", "value", "named"),
    [
        ("g", "tokenization_kwargs", {"max_length": "7"}, "['max_length']: wants int | None"),
        ("g", "tokenization_kwargs", {"truncate_prompt_tokens": 1.5}, "wants int"),
        ("g", "tokenization_kwargs", {"truncation_side": "up"}, "wants 'left' | 'right' | None"),
        ("g", "tokenization_kwargs", {"do_lower_case": 1}, "wants bool"),
        ("g", "arrival_time", -1.0, "seconds since 1970"),
        ("g", "arrival_time", math.inf, "seconds since 1970"),
        ("g", "data_parallel_rank", -1, "0 or more"),
        ("g", "lora_id", 0, "from 1 to"),
        ("g", "lora_id", 2**63, "from 1 to"),
        ("g", "drain_timeout", -1, "0 or more"),
        ("collective_rpc", "timeout", 0, "above 0"),
        ("collective_rpc", "args", (1, [BIG]), "args[1][0]: wants an int of at most 64 bits"),
        ("collective_rpc", "args", (np.zeros(1),), "plain data"),
        ("collective_rpc", "kwargs", {1: 2}, "kwargs key: wants str"),
        ("SamplingParams", "extra_args", {"a": np.zeros(1)}, "extra_args['a']: wants plain data"),
        ("SamplingParams", "extra_args", {"a": {"b": BIG}}, "extra_args['a']['b']: wants an int"),
        ("SamplingParams", "extra_args", {"a": {(1, 2): 3}}, "key: wants str | int"),
        ("SamplingParams", "extra_args", {"a": {BIG: 3}}, "64 bits"),
        ("SamplingParams", "extra_args", {"kv_transfer_params": 7}, "wants dict"),
        ("SamplingParams", "repetition_penalty", 1e-300, "from 1.0e-30 to 1.0e30"),
        ("SamplingParams", "repetition_penalty", math.inf, "from 1.0e-30 to 1.0e30"),
        ("SamplingParams", "repetition_penalty", math.nan, "from 1.0e-30 to 1.0e30"),
        ("SamplingParams", "prompt_logprob_token_ids", [[1.5]], "[0][0]: wants int"),
        ("SamplingParams", "prompt_logprob_token_ids", np.zeros(1), "an array of int"),
        ("SamplingParams", "repetition_penalty", 1e31, "from 1.0e-30 to 1.0e30"),
        ("SamplingParams", "repetition_penalty", 1e-31, "from 1.0e-30 to 1.0e30"),
        ("BeamSearchParams", "length_penalty", -1e308, "from -40 to 40"),
        ("BeamSearchParams", "length_penalty", math.inf, "from -40 to 40"),
        ("BeamSearchParams", "length_penalty", math.nan, "from -40 to 40"),
        ("PoolingParams", "extra_kwargs", {"compressed_token_type_ids": "x"}, "wants int"),
        ("PoolingParams", "extra_kwargs", {"compressed_token_type_ids": -1}, "0 or more"),
        ("LateInteractionParams", "mode", "score_doc", "'cache_query'"),
        ("LateInteractionParams", "query_key", "", "not empty"),
        ("MultiModalInput", "mm_kwargs", {}, "MultiModalKwargsItems"),
        ("MultiModalInput", "mm_placeholders", {"image": [{"offset": 0}]}, "PlaceholderRange"),
        ("g", "reasoning_parser_kwargs", {"chat_template_kwargs": [1]}, "wants dict"),
    ],
)
def test_a_wrong_value_is_an_error(owner: str, name: str, value: object, named: str) -> None:
    assert named in refusal(owner, name, value)


def test_a_record_among_plain_data_becomes_a_map() -> None:
    check = check_of("SamplingParams", "extra_args", dict[str, Any], checker)
    assert check({"a": [Record("Params", {"n": 1})]}, "it") == {"a": [{"n": 1}]}


def test_an_array_becomes_numpys() -> None:
    ids = np.array([[1, 2]])
    check = check_of("SamplingParams", "prompt_logprob_token_ids", Any, checker)
    assert check(ids, "it") is ids


def test_an_object_of_vllms_renderer_is_recognised_by_its_class() -> None:
    made = type("MultiModalKwargsItems", (UserDict,), {})()
    assert check_of("MultiModalInput", "mm_kwargs", Any, checker)(made, "it") is made


def test_parameters_and_fields_have_these_checks() -> None:
    signature = signature_of(Engine().add_request, strict=True)
    for wrong in (
        {"arrival_time": -1.0},
        {"tokenization_kwargs": {"padding": 1}},
        {"lora_request": {"lora_int_id": 2**63}},
    ):
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            signature.bind([], wrong)


def test_messages_may_have_parts_that_vllm_does_not_know() -> None:
    seen: list[Any] = []

    def check(value: Any, path: str) -> Any:
        seen.append((value, path))
        return "checked"

    image, text = {"type": "image", "data": b"x"}, {"type": "text", "text": "a"}
    given = [{"role": "user", "content": [image, text]}, {"role": "user", "content": "b"}]
    found = beside_media(check)(given, "messages")
    assert found is given
    any_text = {"type": "text", "text": ""}
    rest = [{"role": "user", "content": [any_text, text]}, {"role": "user", "content": "b"}]
    assert seen == [(rest, "messages")]
    for others in ([], None, "text", [5], [{"role": "user", "content": [text, {"type": "smell"}]}]):
        assert beside_media(check)(others, "messages") == "checked"
        assert seen[-1] == (others, "messages")
