"""Real vLLM through plain gRPC: what the scripted model must say, token for token."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.scripted_model import EOS_ID, ScriptedModel
from tests.python.support.client import Client, sampling
from tests.python.support.values import Ref

PROMPTS = ["Hello", "please say Hello", "count", "list", "weather", "think", "unicode", "what?"]


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_greedy_output_is_the_script(
    prompt: str, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    params = sampling(temperature=0.0, max_tokens=64)
    last = await vllm_client.generate(vllm_engine, prompt, params)
    expected = model.expected_tokens(model.encode(prompt), 64)
    (completion,) = last.outputs
    assert last.prompt == prompt
    assert last.prompt_token_ids == model.encode(prompt)
    assert completion.token_ids == expected
    assert completion.text == model.expected_text(prompt, 64)
    assert completion.finish_reason == ("stop" if expected[-1] == EOS_ID else "length")
    assert last.finished
    assert last.metrics.num_generation_tokens == len(expected)


@pytest.mark.parametrize(
    "prompt",
    ["Hello", {"prompt": "Hello"}, {"prompt_token_ids": "ids"}, "ids"],
    ids=["str", "text", "tokens", "list"],
)
async def test_every_form_of_prompt(
    prompt: object, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    ids = model.encode("Hello")
    if prompt == "ids":
        prompt = ids
    elif isinstance(prompt, dict) and "prompt_token_ids" in prompt:
        prompt = {"prompt_token_ids": ids}
    params = sampling(temperature=0.0)
    last = await vllm_client.generate(vllm_engine, prompt, params)
    assert last.outputs[0].text == model.expected_text("Hello", 16)


@pytest.mark.parametrize("prompt", ["count", "unicode"])
async def test_all_output_kinds_agree(
    prompt: str, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    made = {}
    for kind in ("CUMULATIVE", "DELTA", "FINAL_ONLY"):
        params = sampling(temperature=0.0, max_tokens=100, logprobs=1, output_kind=kind)
        items = await vllm_client.items(vllm_engine, "generate", prompt, params, "r")
        outputs = [output for item in items for output in item.outputs]
        if kind == "DELTA":
            made[kind] = (
                [token for output in outputs for token in output.token_ids],
                "".join(output.text for output in outputs),
                [sorted(position) for output in outputs for position in output.logprobs or []],
            )
        else:
            last = outputs[-1]
            logprobs = [sorted(position) for position in last.logprobs]
            made[kind] = (last.token_ids, last.text, logprobs)
        assert [item.finished for item in items] == [False] * (len(items) - 1) + [True]
    assert made["CUMULATIVE"] == made["DELTA"] == made["FINAL_ONLY"]
    assert made["DELTA"][0] == model.expected_tokens(model.encode(prompt), 100)
    assert len(made["DELTA"][2]) == len(made["DELTA"][0])


async def test_logprobs_are_records(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    params = sampling(temperature=0.0, max_tokens=3, logprobs=2, prompt_logprobs=1)
    last = await vllm_client.generate(vllm_engine, "please say Hello", params)
    for token, position in zip(last.outputs[0].token_ids, last.outputs[0].logprobs, strict=True):
        assert position[token].rank == 1
        assert -0.01 < position[token].logprob <= 0.0
        assert position[token].decoded_token == model.decode([token])
    assert last.prompt_logprobs[0] is None
    assert len(last.prompt_logprobs) == len(last.prompt_token_ids)


async def test_several_completions_by_index(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    """At temperature 1 the scripted model still follows its script."""
    for kind in ("CUMULATIVE", "DELTA", "FINAL_ONLY"):
        params = sampling(n=4, temperature=1.0, max_tokens=20, seed=7, output_kind=kind)
        texts: dict[int, str] = defaultdict(str)
        async for item in vllm_client.stream(vllm_engine, "generate", "count", params, "r"):
            for output in item.outputs:
                before = texts[output.index] if kind == "DELTA" else ""
                texts[output.index] = before + output.text
        assert dict(texts) == dict.fromkeys(range(4), model.expected_text("count", 20))


async def test_stop_words_and_tokens(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    last = await vllm_client.generate(
        vllm_engine, "list", sampling(temperature=0.0, max_tokens=64, stop=[" STOP"])
    )
    assert (last.outputs[0].text, last.outputs[0].stop_reason) == (" alpha beta", " STOP")
    (beta,) = model.encode(" beta")
    last = await vllm_client.generate(
        vllm_engine, "list", sampling(temperature=0.0, max_tokens=64, stop_token_ids=[beta])
    )
    assert (last.outputs[0].token_ids[-1], last.outputs[0].stop_reason) == (beta, beta)


async def test_structured_output_forces_json(vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(
        temperature=0.0, max_tokens=64, structured_outputs={"choice": [" alpha", " gamma"]}
    )
    last = await vllm_client.generate(vllm_engine, "list", params)
    assert last.outputs[0].text in (" alpha", " gamma")
    last = await vllm_client.generate(
        vllm_engine, "weather", sampling(temperature=0.0, max_tokens=64)
    )
    assert json.loads(last.outputs[0].text)["name"] == "get_weather"


async def test_abort_ends_with_finish_reason_abort(vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(temperature=0.0, max_tokens=1000)
    replies = vllm_client.stream(vllm_engine, "generate", "count", params, "to-abort")
    first = await anext(replies)
    assert not first.finished
    await vllm_client.call(vllm_engine, "abort", "to-abort")
    items = [item async for item in replies]
    assert items[-1].outputs[0].finish_reason == "abort"
    assert items[-1].finished


async def test_cancelling_the_rpc_aborts_in_the_engine(
    vllm_client: Client, vllm_engine: Ref
) -> None:
    for n in range(20):
        params = sampling(temperature=1.0, n=1 + n % 4, max_tokens=1000)
        stream = vllm_client.replies(vllm_engine, "generate", "count", params, f"r{n}")
        await stream.read()
        stream.cancel()
    async with asyncio.timeout(120):
        while await vllm_client.call(vllm_engine, "get_num_unfinished_requests"):
            pass


async def test_64_streams_in_one_session(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    async with vllm_client.session() as session:
        running = []
        for n in range(64):
            prompt = PROMPTS[n % len(PROMPTS)]
            params = sampling(temperature=0.0, max_tokens=64, output_kind="DELTA")
            stream = await session.start(vllm_engine, "generate", prompt, params, str(n))
            running.append((prompt, stream))
        for prompt, stream in running:
            ids = [token for item in await stream.items() for token in item.outputs[0].token_ids]
            assert ids == model.expected_tokens(model.encode(prompt), 64)


async def test_a_duplicate_request_id_runs_twice(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    params = sampling(temperature=0.0, max_tokens=64)
    results = await asyncio.gather(
        *(vllm_client.generate(vllm_engine, "count", params, "same") for _ in range(2))
    )
    for last in results:
        assert last.request_id == "same"
        assert last.outputs[0].text == model.expected_text("count", 64)


async def test_the_state_of_a_running_engine(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    assert vllm_engine.type == "AsyncLLM"
    assert await vllm_client.call(vllm_engine, "is_running") is True
    assert await vllm_client.call(vllm_engine, "errored") is False
    assert await vllm_client.call(vllm_engine, "check_health") is None
    tokenizer = await vllm_client.call(vllm_engine, "get_tokenizer")
    assert await vllm_client.call(tokenizer, "encode", "say Hello") == model.encode("say Hello")
    assert await vllm_client.call(tokenizer, "decode", model.encode("Hello")) == "Hello"
    assert await vllm_client.call(vllm_engine, "get_supported_tasks") == ("generate",)


CHAT = [{"role": "user", "content": "Hello"}]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, None),
        ({"return_dict": True}, None),
        ({"return_dict": True, "return_tensors": "np"}, "int64"),
        ({"return_dict": True, "return_tensors": "pt"}, "int64"),
    ],
)
async def test_a_rendered_chat_comes_as_a_map(
    vllm_client: Client,
    vllm_engine: Ref,
    model: ScriptedModel,
    options: dict[str, Any],
    shape: str | None,
) -> None:
    """Today's transformers returns a mapping of a class of its own, a ``BatchEncoding``."""
    tokenizer = await vllm_client.call(vllm_engine, "get_tokenizer")
    found = await vllm_client.call(
        tokenizer, "apply_chat_template", CHAT, chat_template=TEMPLATE, tokenize=True, **options
    )
    assert type(found) is dict
    assert {"input_ids", "attention_mask"} <= found.keys()
    ids = model.encode("Hello")
    if shape is None:
        assert found["input_ids"] == ids
        assert found["attention_mask"] == [1] * len(ids)
    else:
        tensor = found["input_ids"]
        assert (tensor.dtype, tensor.shape) == (shape, (1, len(ids)))
        assert np.frombuffer(tensor.data, np.int64).tolist() == ids


async def test_a_rendered_chat_without_a_map(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    tokenizer = await vllm_client.call(vllm_engine, "get_tokenizer")
    render: dict[str, Any] = {"chat_template": TEMPLATE, "tokenize": True, "return_dict": False}
    ids = model.encode("Hello")
    call = vllm_client.call
    assert await call(tokenizer, "apply_chat_template", CHAT, **render) == ids
    # Several chats at once.
    assert await call(tokenizer, "apply_chat_template", [CHAT, CHAT], **render) == [ids, ids]
    text = await call(tokenizer, "apply_chat_template", CHAT, **{**render, "tokenize": False})
    assert text == "Hello"


async def test_no_coroutine_is_left_unawaited(vllm_worker: object) -> None:
    from tests.python.support.worker import Worker

    assert isinstance(vllm_worker, Worker)
    assert "never awaited" not in vllm_worker.tail(10_000_000)
