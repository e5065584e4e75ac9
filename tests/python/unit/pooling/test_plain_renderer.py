"""Requests for an engine that is none of vLLM's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.exceptions import InputFailed, Unsupported
from python_worker.pooling.inputs import Parameters
from python_worker.pooling.plain_renderer import PlainRenderer
from python_worker.pooling.requests import Pairs
from python_worker.testing.fake_engine.engine import FakeAsyncLLM


@pytest.fixture
def renderer() -> PlainRenderer:
    """That of a fake engine."""
    return PlainRenderer(SimpleNamespace(encode=FakeAsyncLLM.encode.__get__(object())))


def parameters(count: int) -> Parameters:
    return Parameters(list(range(count)), [None] * count, [0] * count, None)


async def test_a_request_is_what_encode_takes(renderer: PlainRenderer) -> None:
    requests = renderer.inputs("embed", ["a", [1, 2]], parameters(2))
    rendered = await renderer.render(requests)
    assert [it["prompts"] for it in rendered] == ["a", [1, 2]]
    assert [it["params"] for it in rendered] == [0, 1]


def test_a_wrong_input_is_named(renderer: PlainRenderer) -> None:
    with pytest.raises(InputFailed, match=r"inputs\[1\]"):
        renderer.inputs("embed", ["a", 7], parameters(2))
    with pytest.raises(Unsupported, match=r"inputs\[0\]: messages need an engine of vLLM's"):
        renderer.inputs("embed", [{"messages": []}], parameters(1))


def test_pairs_are_scored_by_their_embeddings(renderer: PlainRenderer) -> None:
    assert renderer.score_task() == "embed"
    requests, finish = renderer.pairs(Pairs(["a"], ["b", "c"]), parameters(1))
    assert [(it.argument, it.index) for it in requests] == [
        *(("queries", 0), ("documents", 0), ("documents", 1)),
    ]
    scored = finish([embedded([1.0, 0.0], 2), embedded([1.0, 0.0], 3), embedded([0.0, 1.0], 4)])
    assert scored.scores.tolist() == [1.0, 0.0]
    assert (scored.prompt_tokens, scored.cached_tokens) == ([5, 6], [2, 2])


def test_a_template_is_refused(renderer: PlainRenderer) -> None:
    with pytest.raises(Unsupported, match="chat_template: it has no effect"):
        renderer.pairs(Pairs(["a"], ["b"], chat_template="x"), parameters(1))


def embedded(row: list[float], tokens: int) -> Any:
    return SimpleNamespace(
        outputs=SimpleNamespace(data=np.array(row, np.float32)),
        prompt_token_ids=list(range(tokens)),
        num_cached_tokens=1,
    )
