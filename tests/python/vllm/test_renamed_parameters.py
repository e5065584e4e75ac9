"""Calls in the words of earlier vLLM versions, on the installed one."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker

GUIDED: list[tuple[dict[str, Any], Any]] = [
    ({"choice": [" gamma", " alpha"]}, lambda text: text in (" gamma", " alpha")),
    ({"regex": " (gamma|delta)"}, lambda text: text in (" gamma", " delta")),
    ({"grammar": 'root ::= " alpha"'}, lambda text: text == " alpha"),
]


@pytest.mark.parametrize("wait", [True, False])
async def test_pause_with_wait_for_inflight_requests(
    wait: bool, vllm_client: Client, vllm_engine: Ref
) -> None:
    params = sampling(temperature=0.0, max_tokens=500)
    collector = await vllm_client.call(vllm_engine, "add_request", "r", "count", params)
    # It has to run: one that still waits is kept until the pause ends, in every mode but abort.
    assert not (await vllm_client.call(collector, "get")).finished
    await vllm_client.call(vllm_engine, "pause_generation", wait_for_inflight_requests=wait)
    try:
        assert await vllm_client.call(vllm_engine, "is_paused") is True
        while not (item := await vllm_client.call(collector, "get")).finished:
            pass
        assert item.outputs[0].finish_reason == ("length" if wait else "abort")
    finally:
        await vllm_client.call(vllm_engine, "resume_generation")


async def test_pause_in_both_words_is_refused(vllm_client: Client, vllm_engine: Ref) -> None:
    for keywords in (
        {"wait_for_inflight_requests": True, "mode": "wait"},
        {"wait_for_inflight_requests": "yes"},
    ):
        with pytest.raises(Failed, match=r"INVALID.*wait_for_inflight_requests"):
            await vllm_client.call(vllm_engine, "pause_generation", **keywords)
    assert await vllm_client.call(vllm_engine, "is_paused") is False


@pytest.mark.parametrize(("guided", "fits"), GUIDED, ids=[next(iter(g)) for g, _ in GUIDED])
async def test_guided_decoding(
    guided: dict[str, Any], fits: Any, vllm_client: Client, vllm_engine: Ref
) -> None:
    for given in (guided, Record("GuidedDecodingParams", guided)):
        params = sampling(temperature=0.0, max_tokens=16, guided_decoding=given)
        last = await vllm_client.generate(vllm_engine, "list", params)
        assert fits(last.outputs[0].text), last.outputs[0].text


async def test_what_guided_decoding_has_lost_is_logged(
    vllm_client: Client, vllm_engine: Ref, vllm_worker: Worker
) -> None:
    guided = {"choice": [" gamma"], "backend": "outlines", "disable_fallback": True}
    params = {"temperature": 0.0, "max_tokens": 16, "guided_decoding": guided}
    last = await vllm_client.generate(vllm_engine, "list", params)
    assert last.outputs[0].text == " gamma"
    assert "vLLM has dropped it: backend, disable_fallback" in vllm_worker.tail(10_000_000)


async def test_guided_decoding_is_checked_like_its_successor(
    vllm_client: Client, vllm_engine: Ref
) -> None:
    for guided, word in [
        ({"regex": 5}, "structured_outputs.regex"),
        ({"no_such": 1}, "no_such"),
        ("json", "structured_outputs"),
    ]:
        with pytest.raises(Failed, match="INVALID") as caught:
            await vllm_client.generate(vllm_engine, "list", sampling(guided_decoding=guided))
        assert word in caught.value.failure.message
    both = sampling(guided_decoding={"regex": "a"}, structured_outputs={"regex": "a"})
    with pytest.raises(Failed, match=r"INVALID.*not both"):
        await vllm_client.generate(vllm_engine, "list", both)


async def test_truncation_in_sampling_params(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    prompt = "list count Hello"
    params = sampling(temperature=0.0, max_tokens=4, truncate_prompt_tokens=1)
    last = await vllm_client.generate(vllm_engine, prompt, params)
    assert last.prompt_token_ids == model.encode(prompt)[-1:]
    collector = await vllm_client.call(vllm_engine, "add_request", "r", prompt, params)
    while not (item := await vllm_client.call(collector, "get")).finished:
        pass
    assert item.prompt_token_ids == model.encode(prompt)[-1:]
    with pytest.raises(Failed, match=r"INVALID.*not both"):
        await vllm_client.generate(
            vllm_engine, prompt, params, tokenization_kwargs={"truncate_prompt_tokens": 2}
        )


async def test_truncation_of_encode_reaches_the_model(
    vllm_client: Client, vllm_engine: Ref
) -> None:
    """This model pools nothing, which is said after the arguments have been taken."""
    pooling = Record("PoolingParams", {"task": "embed"})
    with pytest.raises(Failed, match=r"INVALID.*pooling"):
        await vllm_client.items(
            vllm_engine, "encode", "Hello", pooling, "r", truncate_prompt_tokens=3
        )
    with pytest.raises(Failed, match=r"INVALID.*not both"):
        await vllm_client.items(
            vllm_engine,
            "encode",
            "Hello",
            pooling,
            "r",
            truncate_prompt_tokens=3,
            tokenization_kwargs={"truncate_prompt_tokens": 3},
        )
