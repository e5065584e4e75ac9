"""Batches of pooling on a real engine of a real model, MiniLM.

What it answers is compared with vLLM's own ``LLM`` of the same model, in process, number by number.
So that the engine computes the same batches, it has all requests before its first step. A comment
above a test names the test of vLLM's that it stands for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.python.support.client import Client, Failed
from tests.python.support.llms import kind_of, plain
from tests.python.support.pooling import (
    COMMON,
    TEXTS,
    at_one_step,
    check_odd_arguments,
    check_scores,
    pooling_engine,
)
from tests.python.support.small_models import minilm
from tests.python.support.values import Record, Ref
from tests.python.support.vllm_pooling import Call, answers
from tests.python.support.worker import Worker

WIDTH = 384


@pytest.fixture(scope="module")
def embedder(llm_worker: Worker) -> Iterator[Ref]:
    """MiniLM as an ``AsyncLLM``."""
    with pooling_engine(llm_worker, minilm()) as engine:
        yield engine


# tests/entrypoints/pooling/embed/test_offline.py:
# test_str_prompts, test_token_ids_prompts, test_list_prompts
async def test_embeddings_and_scores_are_those_of_vllms_own_llm(
    llm_client: Client, embedder: Ref
) -> None:
    inputs: list[Any] = [*TEXTS, [101, 4937, 102], {"prompt": "a dog"}]
    pairs = [(TEXTS[:1], TEXTS[1:2]), (TEXTS[:1], TEXTS[1:4]), (TEXTS[:2], TEXTS[2:4])]
    calls: list[Call] = [("embed", [inputs], {}), *(("score", [*pair], {}) for pair in pairs)]
    theirs, *scores = answers(minilm(), calls, runner="pooling", **COMMON)
    ours = await at_one_step(llm_client, embedder, len(inputs), "embed", inputs)
    assert ours.name == "EmbeddingBatch"
    assert ours.embeddings.shape == (len(inputs), WIDTH)
    assert plain(ours.embeddings) == [it["outputs"]["embedding"] for it in theirs]
    assert ours.prompt_tokens == [len(it["prompt_token_ids"]) for it in theirs]
    assert ours.usage.prompt_tokens == sum(ours.prompt_tokens)
    for pair, expected in zip(pairs, scores, strict=True):
        count = len(pair[0]) + len(pair[1])
        ours = await at_one_step(llm_client, embedder, count, "score", *pair)
        check_scores(ours, expected)


async def test_similar_sentences_lie_close_together(llm_client: Client, embedder: Ref) -> None:
    ours = await llm_client.call(embedder, "score", TEXTS[:1], TEXTS[1:3])
    cat, bank = plain(ours.scores)
    assert cat > 0.4 > 0.1 > bank


# tests/entrypoints/pooling/basic/test_encode.py::test_multiple_pooling_params
async def test_parameters_are_one_for_all_or_one_for_each(
    llm_client: Client, embedder: Ref
) -> None:
    raw = {"use_activation": False}
    for given, kind in (([raw] * 5, ""), ([raw] * 3, "INVALID"), (raw, ""), (None, "")):
        call = llm_client.call(embedder, "embed", TEXTS, given)
        assert await kind_of(call) == kind


# tests/entrypoints/pooling/embed/test_offline.py::test_pooling_params
async def test_embeddings_are_normalised_unless_use_activation_is_false(
    llm_client: Client, embedder: Ref
) -> None:
    rows = [
        plain((await llm_client.call(embedder, "embed", TEXTS[:1], params)).embeddings)[0]
        for params in (None, {"use_activation": True}, {"use_activation": False})
    ]
    default, yes, no = rows
    norm = sum(number**2 for number in no) ** 0.5
    assert default == pytest.approx(yes, abs=1e-6)
    assert norm != pytest.approx(1.0, abs=0.1)
    assert [number / norm for number in no] == pytest.approx(yes, abs=1e-5)


async def test_tokens_have_a_row_each(llm_client: Client, embedder: Ref) -> None:
    ours = await llm_client.call(embedder, "encode_batch", TEXTS, "token_embed")
    assert (ours.name, ours.task) == ("PoolingBatch", "token_embed")
    assert [it.shape for it in ours.outputs] == [(count, WIDTH) for count in ours.prompt_tokens]
    single = [
        item
        async for item in llm_client.stream(
            embedder, "encode", TEXTS[0], Record("PoolingParams", {"task": "token_embed"}), "r"
        )
    ]
    one = await llm_client.call(embedder, "encode_batch", TEXTS[:1], "token_embed")
    assert plain(one.outputs[0]) == plain(single[0].outputs.data)


async def test_a_conversation_is_rendered_by_a_template(llm_client: Client, embedder: Ref) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    conversation = {
        "messages": [{"role": "user", "content": TEXTS[0]}],
        "chat_template": template,
        "add_special_tokens": True,
    }
    ours = await llm_client.call(embedder, "embed", [conversation, TEXTS[0]])
    rendered, text = plain(ours.embeddings)
    assert rendered == pytest.approx(text, abs=1e-6)
    assert ours.prompt_tokens[0] == ours.prompt_tokens[1]
    short = {"truncate_prompt_tokens": 4}
    ours = await llm_client.call(embedder, "embed", [conversation, TEXTS[0]], None, short)
    assert ours.prompt_tokens == [4, 4]
    for wrong, said in (
        ({"temperature": 1}, "temperature: there is no such field"),
        ({"messages": [{"content": "x"}]}, "role"),
        ({"messages": "x"}, "messages"),
        ({"chat_template": "{{ nothing("}, "template"),
        ({"chat_template": None}, "template"),
    ):
        with pytest.raises(Failed) as failed:
            await llm_client.call(embedder, "embed", [TEXTS[0], {**conversation, **wrong}])
        assert failed.value.kind in ("INVALID", "UNSUPPORTED"), (wrong, failed.value)
        assert said in str(failed.value)
        assert failed.value.details["input"] == 1


async def test_a_batch_of_more_than_the_engine_takes_at_once(
    llm_client: Client, embedder: Ref
) -> None:
    inputs = [f"text {number % 7}" for number in range(700)]
    ours = await llm_client.call(embedder, "embed", inputs)
    rows = plain(ours.embeddings)
    assert len(rows) == 700
    for number in range(7, 700, 31):
        assert rows[number] == pytest.approx(rows[number % 7], abs=1e-5)


# tests/test_pooling_params.py: test_embed, test_embed_dimensions
async def test_one_wrong_input_ends_the_batch_and_is_named(
    llm_client: Client, embedder: Ref
) -> None:
    long = "word " * 600
    refused: list[tuple[str, list[Any], dict[str, Any], str]] = [
        ("embed", [["a", "b", long]], {}, r"inputs\[2\].*maximum"),
        ("embed", [["a", []]], {}, r"inputs\[1\]"),
        ("embed", [["a", [99_999_999]]], {}, r"inputs\[1\].*vocabulary"),
        ("embed", [["a", 7]], {}, r"inputs\[1\]"),
        ("embed", [[]], {}, "inputs: wants at least one"),
        ("embed", ["a"], {}, "inputs"),
        ("embed", [["a"]], {"pooling_params": {"dimensions": 32}}, "Matryoshka"),
        ("embed", [["a"]], {"pooling_params": {"step_tag_id": 1}}, "step_tag_id"),
        ("embed", [["a"]], {"pooling_params": {"task": "classify"}}, "task"),
        ("embed", [["a"]], {"pooling_params": {"nonsense": 1}}, "nonsense"),
        ("embed", [["a"]], {"priority": [1, 2]}, "priority"),
        ("embed", [["a"]], {"model": "no such"}, "model: there is no"),
        ("embed", [["a"]], {"tokenization_kwargs": {"max_length": "x"}}, "max_length"),
        ("encode_batch", [["a"], "score"], {}, "call score"),
        ("encode_batch", [["a"], "sing"], {}, "task"),
        ("score", [["a"], []], {}, "documents: wants at least one"),
        ("score", [["a", "b"], ["c", "d", "e"]], {}, "queries: wants one, or as many"),
        ("score", [["a"], ["b", long]], {}, r"documents\[1\].*maximum"),
        ("score", [["a"], [7]], {}, r"documents\[0\]"),
        ("score", [["a"], ["b"]], {"max_tokens_per_doc": -1}, "max_tokens_per_doc"),
    ]
    for method, args, kwargs, said in refused:
        with pytest.raises(Failed, match=said) as failed:
            await llm_client.call(embedder, method, *args, **kwargs)
        assert failed.value.kind == "INVALID", (method, args, failed.value)
        assert await llm_client.call(embedder, "get_num_unfinished_requests") == 0
    with pytest.raises(Failed) as failed:
        await llm_client.call(embedder, "embed", ["a", "b", long])
    assert failed.value.details["argument"] == "inputs"
    assert failed.value.details["input"] == 2
    for method, args in (("classify", [["a"]]), ("encode_batch", [["a"], "token_classify"])):
        with pytest.raises(Failed, match="convert='classify'") as failed:
            await llm_client.call(embedder, method, *args)
        assert failed.value.kind == "UNSUPPORTED"
        assert sorted(failed.value.details["supported_tasks"]) == ["embed", "token_embed"]
    for name in ("chat_template", "chat_template_kwargs"):
        value: Any = "x" if name == "chat_template" else {"a": 1}
        with pytest.raises(Failed, match=f"{name}: it has no effect"):
            await llm_client.call(embedder, "score", ["a"], ["b"], **{name: value})


async def test_a_deadline_aborts_what_is_left(llm_client: Client, embedder: Ref) -> None:
    await llm_client.call(embedder, "pause_generation", mode="keep")
    with pytest.raises(Failed, match="TIMEOUT"):
        await llm_client.call(embedder, "embed", ["a"] * 40, timeout_ms=500)
    async with asyncio.timeout(30):
        while await llm_client.call(embedder, "get_num_unfinished_requests"):
            pass
    await llm_client.call(embedder, "resume_generation")
    assert (await llm_client.call(embedder, "embed", ["a"])).embeddings.shape == (1, WIDTH)


async def test_odd_arguments_are_refused_or_answered(llm_client: Client, embedder: Ref) -> None:
    await check_odd_arguments(llm_client, embedder, "embed", {"inputs": ["a", "b"]})
    sound: dict[str, Any] = {"inputs": ["a"], "task": "token_embed"}
    await check_odd_arguments(llm_client, embedder, "encode_batch", sound)
    sound = {"queries": ["a"], "documents": ["b"]}
    await check_odd_arguments(llm_client, embedder, "score", sound)
