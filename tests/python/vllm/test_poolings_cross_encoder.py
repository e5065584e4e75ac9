"""Scores and classes of a real cross-encoder: MiniLM with a head of random weights.

It tells a query from a document by token types. What it answers is compared with vLLM's own ``LLM``
of the same model, in process.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.python.support.client import Client, Failed
from tests.python.support.llms import plain
from tests.python.support.pooling import (
    COMMON,
    TEXTS,
    at_one_step,
    check_odd_arguments,
    check_scores,
    pooling_engine,
)
from tests.python.support.small_models import cross_encoder
from tests.python.support.values import Ref
from tests.python.support.vllm_pooling import Call, answers
from tests.python.support.worker import Worker

TEMPLATE = "{{ messages[0].content }} and {{ messages[1].content }}"

LONG = " ".join(TEXTS) * 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    return cross_encoder(tmp_path_factory.mktemp("cross") / "encoder")


@pytest.fixture(scope="module")
def cross(llm_worker: Worker, model: Path) -> Iterator[Ref]:
    """The model as an ``AsyncLLM``."""
    with pooling_engine(llm_worker, model) as engine:
        yield engine


# tests/entrypoints/pooling/scoring/test_cross_encoder_offline.py
async def test_a_cross_encoder_scores_as_vllms_own_llm(
    llm_client: Client, cross: Ref, model: Path
) -> None:
    pairs = [(TEXTS[:1], TEXTS[1:4]), (TEXTS[:2], TEXTS[2:4])]
    calls: list[Call] = [("score", [*pair], {}) for pair in pairs]
    calls += [("score", ["a", ["b", "c"]], {"chat_template": TEMPLATE})]
    *scores, templated = answers(model, calls, runner="pooling", **COMMON)
    for pair, expected in zip(pairs, scores, strict=True):
        ours = await at_one_step(llm_client, cross, len(pair[1]), "score", *pair)
        check_scores(ours, expected)
    ours = await llm_client.call(cross, "score", ["a"], ["b", "c"], chat_template=TEMPLATE)
    expected = [it["outputs"]["score"] for it in templated]
    assert plain(ours.scores) == pytest.approx(expected, abs=1e-6)


async def test_long_documents_are_cut_where_that_is_asked_for(
    llm_client: Client, cross: Ref
) -> None:
    cut = await llm_client.call(cross, "score", ["a b c"], [LONG], max_tokens_per_doc=8)
    assert cut.usage.prompt_tokens == 3 + 8 + 3
    with pytest.raises(Failed, match=r"pairs\[1\].*maximum") as failed:
        await llm_client.call(cross, "score", ["a"], ["b", LONG])
    assert failed.value.kind == "INVALID"
    assert failed.value.details["input"] == 1


async def test_what_has_no_effect_is_refused(llm_client: Client, cross: Ref) -> None:
    for given, said in (
        ({"chat_template": "{{ nothing("}, "template"),
        ({"chat_template_kwargs": {"a": 1}}, "give a chat_template"),
    ):
        with pytest.raises(Failed, match=said) as failed:
            await llm_client.call(cross, "score", ["a"], ["b"], **given)
        assert failed.value.kind in ("INVALID", "UNSUPPORTED")


async def test_its_class_has_a_name(llm_client: Client, cross: Ref) -> None:
    ours = await llm_client.call(cross, "classify", TEXTS[:2])
    assert (ours.name, ours.probs.shape) == ("ClassificationBatch", (2, 1))
    assert ours.labels == ["LABEL_0"]


async def test_odd_arguments_are_refused_or_answered(llm_client: Client, cross: Ref) -> None:
    sound: dict[str, Any] = {"queries": ["a"], "documents": ["b"], "chat_template": TEMPLATE}
    await check_odd_arguments(llm_client, cross, "score", sound)
    await check_odd_arguments(llm_client, cross, "classify", {"inputs": ["a"]})
