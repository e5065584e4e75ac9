"""No input bricks an engine: what vLLM would die of, or hang from, is refused before it.

Every request here goes to one real engine, and after each the engine is asked whether it still
answers. Without the gate several of these end the thread that reads requests in EngineCore;
from then on everything hangs while ``check_health`` stays green.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref

#: Fields of SamplingParams, each wrong in its type.
WRONG_TYPES: list[dict[str, Any]] = [
    {"seed": 1.5},
    {"seed": "7"},
    {"seed": True},
    {"max_tokens": 5.0},
    {"max_tokens": "5"},
    {"min_tokens": 1.5},
    {"n": True},
    {"n": 1.0},
    {"logit_bias": {5: "1.0"}},
    {"logit_bias": {"x": 1.0}},
    {"logit_bias": [5]},
    {"ignore_eos": "yes"},
    {"ignore_eos": 1},
    {"detokenize": None},
    {"skip_special_tokens": 0},
    {"output_kind": "SOMETIMES"},
    {"output_kind": 1},
    {"stop": 7},
    {"stop": [7]},
    {"stop_token_ids": ["a"]},
    {"stop_token_ids": [1.0]},
    {"allowed_token_ids": [1.5]},
    {"bad_words": "word"},
    {"temperature": "0"},
    {"temperature": None},
    {"temperature": math.nan},
    {"top_p": math.nan},
    {"top_k": 1.0},
    {"presence_penalty": "0"},
    {"logprobs": "2"},
    {"logprobs": 1.0},
    {"structured_outputs": "json"},
    {"structured_outputs": {"regex": 5}},
    {"extra_args": [1]},
    {"repetition_detection": 3},
    {"no_such_field": 1},
]

#: Fields of SamplingParams, each out of its range.
OUT_OF_RANGE: list[dict[str, Any]] = [
    {"n": 0},
    {"n": -1},
    {"n": 1_000_000, "temperature": 1.0},
    {"temperature": -1.0},
    {"top_p": 2.0},
    {"top_p": 0.0},
    {"top_k": -7},
    {"min_p": 1.5},
    {"max_tokens": 0},
    {"max_tokens": -1},
    {"min_tokens": -1},
    {"min_tokens": 64, "max_tokens": 8},
    {"logprobs": -2},
    {"logprobs": 10_000},
    {"presence_penalty": 99.0},
    {"repetition_penalty": 0.0},
    {"stop": [""]},
    {"allowed_token_ids": []},
    {"allowed_token_ids": [1_000_000]},
    {"logit_bias": {1_000_000: 1.0}},
    {"seed": 2**70},
]

#: Structured outputs that no grammar compiler takes.
BROKEN_GRAMMARS: list[dict[str, Any]] = [
    {"regex": "("},
    {"json": "{"},
    {"json": {"type": "nonsense"}},
    {"choice": []},
    {"regex": "a", "choice": ["b"]},
    {"structural_tag": "{"},
]

PROMPTS: list[Any] = [
    None,
    7,
    1.5,
    True,
    b"bytes",
    (1, "2"),
    {},
    {"promt": "Hello"},
    {"prompt": 7},
    {"prompt_token_ids": "Hello"},
    {"prompt_token_ids": [1, "2"]},
    {"prompt_token_ids": [1.0]},
    {"prompt_token_ids": [True]},
    {"prompt_token_ids": [-1]},
    {"prompt_token_ids": [1_000_000]},
    {"prompt_token_ids": [2**40]},
    {"prompt_token_ids": []},
    {"prompt_embeds": [[1.0]]},
    {"prompt_embeds": "x"},
    ["Hello"],
    [-1],
    [1_000_000],
    [],
    "",
    "x" * 5000,
]

#: Keywords of generate.
KEYWORDS: list[dict[str, Any]] = [
    {"priority": "1"},
    {"priority": 1.0},
    {"priority": None},
    {"priority": True},
    {"lora_request": "adapter"},
    {"lora_request": {"lora_name": "a", "lora_int_id": 0, "lora_path": "/a"}},
    {"lora_request": {"lora_name": "a", "lora_int_id": "1", "lora_path": "/a"}},
    {"lora_request": {"lora_name": "a", "lora_int_id": 1, "lora_path": ""}},
    {"lora_request": {"lora_name": "a", "lora_int_id": 1, "lora_path": "/no/such/adapter"}},
    {"trace_headers": {"a": 1}},
    {"trace_headers": "a"},
    {"tokenization_kwargs": [1]},
    {"data_parallel_rank": "0"},
    {"data_parallel_rank": 1},
    {"session_id": 7},
    {"prompt_text": 7},
    {"reasoning_ended": "no"},
    {"no_such_keyword": 1},
]

#: Where the first word that a refusal must name is not the offending key.
NAMED = {"lora_request": "lora", "no_such_field": "no_such_field"}


@pytest.fixture(autouse=True)
async def engine_answers(vllm_client: Client, vllm_engine: Ref, model: ScriptedModel) -> Any:
    """After each test a good request must be answered."""
    yield
    params = sampling(temperature=0.0, max_tokens=8)
    good = await vllm_client.generate(vllm_engine, "Hello", params, timeout_ms=60_000)
    assert good.outputs[0].text == model.expected_text("Hello", 8)
    assert await vllm_client.call(vllm_engine, "get_num_unfinished_requests") == 0


async def refusal(client: Client, *call: Any, **kwargs: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        await client.items(*call, timeout_ms=60_000, **kwargs)
    assert caught.value.kind not in ("TIMEOUT", "ENGINE_DEAD"), caught.value
    assert len(caught.value.failure.message) > 10
    return caught.value


@pytest.mark.parametrize("fields", WRONG_TYPES, ids=str)
async def test_wrong_types_of_parameters(
    fields: dict[str, Any], vllm_client: Client, vllm_engine: Ref
) -> None:
    for params in (fields, Record("SamplingParams", fields)):
        failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", params, "r")
        assert failed.kind == "INVALID"
        assert next(iter(fields)) in failed.failure.message, failed


@pytest.mark.parametrize("fields", OUT_OF_RANGE, ids=str)
async def test_parameters_out_of_range(
    fields: dict[str, Any], vllm_client: Client, vllm_engine: Ref
) -> None:
    fields = {"temperature": 0.0, **fields}
    failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", fields, "r")
    assert failed.kind == "INVALID", failed


@pytest.mark.parametrize("grammar", BROKEN_GRAMMARS, ids=str)
async def test_broken_grammars(
    grammar: dict[str, Any], vllm_client: Client, vllm_engine: Ref
) -> None:
    params = sampling(temperature=0.0, structured_outputs=grammar)
    failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", params, "r")
    assert failed.kind == "INVALID", failed


async def test_a_broken_ebnf_ends_the_request_alone(vllm_client: Client, vllm_engine: Ref) -> None:
    """VLLM does not raise here: the request ends with finish_reason "error"."""
    params = sampling(temperature=0.0, structured_outputs={"grammar": "root ::= ("})
    try:
        last = await vllm_client.generate(vllm_engine, "Hello", params, timeout_ms=60_000)
    except Failed as failed:
        assert failed.kind == "INVALID"  # noqa: PT017
    else:
        assert last.outputs[0].finish_reason == "error"


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt)[:30])
async def test_prompts(prompt: Any, vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(temperature=0.0)
    failed = await refusal(vllm_client, vllm_engine, "generate", prompt, params, "r")
    assert failed.kind == "INVALID", failed


@pytest.mark.parametrize("request_id", [7, 1.5, None, True, b"r", ["r"]])
async def test_request_ids(request_id: Any, vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(temperature=0.0)
    failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", params, request_id)
    assert failed.kind == "INVALID"
    assert "request_id" in failed.failure.message


@pytest.mark.parametrize("keywords", KEYWORDS, ids=str)
async def test_keywords(keywords: dict[str, Any], vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(temperature=0.0)
    failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", params, "r", **keywords)
    name = next(iter(keywords))
    if keywords == KEYWORDS[8]:
        assert failed.kind in ("INVALID", "NOT_FOUND", "ENGINE_ERROR"), failed
    else:
        assert failed.kind == "INVALID", failed
    assert NAMED.get(name, name) in failed.failure.message.lower(), failed


@pytest.mark.parametrize("params", [None, 7, "greedy", [1], Record("PoolingParams", {})], ids=str)
async def test_what_is_no_sampling_params(
    params: Any, vllm_client: Client, vllm_engine: Ref
) -> None:
    failed = await refusal(vllm_client, vllm_engine, "generate", "Hello", params, "r")
    assert failed.kind == "INVALID"
    assert "sampling_params" in failed.failure.message


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("abort", [7]),
        ("abort", [{"r": 1}]),
        ("sleep", ["1"]),
        ("wake_up", ["weights"]),
        ("add_lora", [{"lora_name": "a"}]),
        ("add_lora", [{"lora_name": "a", "lora_int_id": 1, "lora_path": "/no/such/adapter"}]),
        ("collective_rpc", ["get_kv_cache_spec"]),
        ("collective_rpc", ["shutdown"]),
        ("collective_rpc", ["__class__"]),
        ("collective_rpc", ["no_such_method"]),
        ("handle_fault", [{}]),
        ("update_weight_version", [5]),
        ("_add_request", []),
        ("engine_core", []),
        ("output_processor", []),
        ("model_config", []),
    ],
    ids=str,
)
async def test_other_methods(
    method: str, args: list[Any], vllm_client: Client, vllm_engine: Ref
) -> None:
    with pytest.raises(Failed) as caught:
        await vllm_client.call(vllm_engine, method, *args, timeout_ms=60_000)
    assert caught.value.kind not in ("TIMEOUT", "ENGINE_DEAD", "PYTHON"), caught.value


@pytest.mark.parametrize("size", [2**20, 2**62])
async def test_padding_beyond_the_context_takes_no_memory(
    size: int, vllm_client: Client, vllm_engine: Ref
) -> None:
    """VLLM pads first and looks at the length afterwards: 2**31 tokens take 16 GB."""
    params = sampling(temperature=0.0)
    for padding in ({"pad_prompt_tokens": size}, {"padding": "max_length", "max_length": size}):
        failed = await refusal(
            *(vllm_client, vllm_engine, "generate", "Hello", params, "r"),
            tokenization_kwargs=padding,
        )
        assert failed.kind == "INVALID"
        assert "at most 1024" in failed.failure.message


async def test_a_long_generation_is_not_disturbed(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    async with vllm_client.session() as session:
        params = sampling(temperature=0.0, max_tokens=500, output_kind="FINAL_ONLY")
        long = await session.start(vllm_engine, "generate", "count", params, "long")
        for fields in WRONG_TYPES:
            bad = await session.start(vllm_engine, "generate", "Hello", fields, "r")
            with pytest.raises(Failed, match="INVALID"):
                await bad.items()
        (last,) = await long.items()
        assert last.outputs[0].token_ids == model.expected_tokens(model.encode("count"), 500)
