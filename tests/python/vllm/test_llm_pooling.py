"""Embeddings, classes and scores of an ``LLM``: the same values as in process.

A comment above a test names the test of vLLM's that it stands for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from python_worker.testing.models.tiny_model import random_model
from tests.python.support.client import Client, Failed
from tests.python.support.llms import check_odd_arguments, plain, same
from tests.python.support.values import Ref
from tests.python.support.workers import ONE_PROCESS

POOLING: dict[str, dict[str, Any]] = {
    "encode": {"prompts": "a", "pooling_task": "embed"},
    "embed": {"prompts": ["a", "b"]},
    "score": {},
}


@pytest.fixture
async def pooled(
    llm_client: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[..., Any]]:
    """Makes LLMs of random pooling models, which are shut down after the test."""
    made: list[Ref] = []

    async def build(kind: str, labels: int = 3, **arguments: Any) -> Ref:
        folder = tmp_path_factory.mktemp("pooling") / kind
        path = random_model(folder, kind=kind, labels=labels)
        common: dict[str, Any] = {**ONE_PROCESS, "dtype": "float32", "enforce_eager": True}
        common |= {"num_gpu_blocks_override": 64, "max_model_len": 256}
        made.append(await llm_client.call("LLM", "new", str(path), **common, **arguments))
        return made[-1]

    yield build
    for llm in made:
        await llm_client.call(llm, "shutdown")


async def check_pooling(
    llm_client: Client, llm: Ref, method: str, *args: Any, **kwargs: Any
) -> list[Any]:
    """Pools over the bridge, and compares with the same in process."""
    ours: list[Any] = await llm_client.call(llm, method, *args, **kwargs)
    theirs = await llm_client.call(llm, "pool_in_process", method, list(args), kwargs)
    same(plain(ours), theirs)
    return ours


# tests/entrypoints/pooling/embed/test_offline.py, pooling/basic/test_encode.py
async def test_embeddings_and_scores(llm_client: Client, pooled: Any) -> None:
    llm = await pooled("random", runner="pooling")
    (one, two) = await check_pooling(llm_client, llm, "embed", ["a cat", [5, 6, 7]])
    assert len(one.outputs.embedding) == 128
    assert two.prompt_token_ids == [5, 6, 7]
    raw = {"use_activation": False}
    await check_pooling(llm_client, llm, "embed", "a cat", pooling_params=raw)
    await check_pooling(llm_client, llm, "encode", ["a", "b"], pooling_task="embed")
    same_text, other = await check_pooling(llm_client, llm, "score", "a cat", ["a cat", "the sea"])
    assert same_text.outputs.score == pytest.approx(1.0, abs=1e-4)
    assert other.outputs.score < same_text.outputs.score
    # More than EngineCore is given at a time.
    assert len(await llm_client.call(llm, "embed", ["a"] * 600)) == 600
    assert len(await llm_client.call(llm, "embed", ["a"] * 4, pooling_params=[{}] * 4)) == 4
    refused: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("embed", [["a"] * 4], {"pooling_params": [{}] * 3}),
        ("embed", ["a"], {"pooling_params": {"dimensions": 7}}),
        ("embed", [[]], {}),
        ("encode", ["a"], {"pooling_task": "classify"}),
        ("encode", ["a"], {}),
        ("score", ["a", []], {}),
        ("score", [["a", "b"], ["a", "b", "c"]], {}),
        ("classify", ["a"], {}),
        ("generate", ["a"], {}),
        ("embed", ["x" * 3000], {}),
    ]
    for method, args, kwargs in refused:
        with pytest.raises(Failed) as failed:
            await llm_client.call(llm, method, *args, **kwargs)
        assert failed.value.kind == "INVALID", (method, args, kwargs, failed.value)
        assert await llm_client.call(llm, "get_num_unfinished_requests") == 0
    for method, sound in POOLING.items():
        await check_odd_arguments(
            llm_client, llm, method, sound, *(["a", "b"] if not sound else [])
        )
    assert len(await llm_client.call(llm, "embed", "after")) == 1


# tests/entrypoints/pooling/classify/test_offline.py::test_score_api
async def test_classes_and_cross_encoders(llm_client: Client, pooled: Any) -> None:
    llm = await pooled("classify", labels=2)
    (output,) = await check_pooling(llm_client, llm, "classify", "a cat")
    assert sum(output.outputs.probs) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(Failed, match="num_labels == 1") as failed:
        await llm_client.call(llm, "score", "a", "b")
    assert failed.value.kind == "INVALID"
    single = await pooled("classify", labels=1)
    await check_pooling(llm_client, single, "score", "a cat", ["a kitten", "the sea"])


# tests/entrypoints/pooling/token_embed/test_offline.py::test_str_prompts
# tests/entrypoints/pooling/token_classify/test_offline.py::test_str_prompts
@pytest.mark.parametrize(
    ("kind", "task", "width"), [("random", "token_embed", 128), ("classify", "token_classify", 3)]
)
async def test_tokens_have_a_row_each(
    llm_client: Client, pooled: Any, kind: str, task: str, width: int
) -> None:
    llm = await pooled(kind, runner="pooling", pooler_config={"task": task})
    outputs = await check_pooling(llm_client, llm, "encode", ["a cat", "a"], pooling_task=task)
    assert [it.outputs.data.shape for it in outputs] == [(5, width), (1, width)]
