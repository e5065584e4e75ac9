"""A request that EngineCore could not take is not sent, and nobody waits for its outputs."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.core_requests import CoreRequests
from python_worker.engines.guards.weights import State, Weights
from python_worker.exceptions import Conflict, InvalidArgument
from tests.python.support.engine_class import EngineClass


class Parser:
    """A reasoning parser that takes one keyword."""

    def __init__(self, tokenizer: object, *, thinking: bool = False) -> None:
        assert tokenizer == "tokenizer"


def verify(request: Any) -> None:
    if request.request_id == "unreadable":
        raise InvalidArgument("EngineCore could not read this request")


def request(request_id: str = "r", *features: Any, **keywords: Any) -> Any:
    return SimpleNamespace(
        request_id=request_id,
        reasoning_parser_kwargs=keywords or None,
        prompt_embeds=None,
        mm_features=features,
    )


@pytest.fixture
def engine() -> Any:
    return EngineClass()


@pytest.mark.parametrize("sent", [request(), request(thinking=True)])
async def test_a_good_request_is_sent(engine: Any, sent: Any) -> None:
    await CoreRequests(engine, Weights(), verify=verify, parser=Parser).send(sent)
    assert engine.engine_core.sent == [sent]
    assert engine.output_processor.aborted == []


@pytest.mark.parametrize(
    ("refused", "state", "error"),
    [
        (request("unreadable"), State.WHOLE, InvalidArgument),
        (request(other=1), State.WHOLE, InvalidArgument),
        (request(), State.OPEN, Conflict),
    ],
)
async def test_a_request_that_is_refused_is_forgotten(
    engine: Any, refused: Any, state: State, error: type[Exception]
) -> None:
    weights = Weights()
    weights.state = state
    with pytest.raises(error):
        await CoreRequests(engine, weights, verify=verify, parser=Parser).send(refused)
    assert engine.engine_core.sent == []
    assert engine.output_processor.aborted == [refused.request_id]


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_number_that_processing_made_none_is_refused_and_not_remembered(
    engine: Any, remembers: bool
) -> None:
    forgotten: list[str] = []
    cache = SimpleNamespace(invalidate=forgotten.append)
    engine.renderer = SimpleNamespace(mm_processor_cache=cache if remembers else None)
    pixels = SimpleNamespace(data=[0.0, math.nan])
    features = [
        SimpleNamespace(modality="image", mm_hash=it, data={"pixels": pixels}) for it in ("h", None)
    ]
    sent = request("r", *features)
    with pytest.raises(InvalidArgument, match=r"\['image'\]\.pixels\[1\]: wants a finite number"):
        await CoreRequests(engine, Weights(), verify=verify, parser=Parser).send(sent)
    assert engine.engine_core.sent == []
    assert engine.output_processor.aborted == ["r"]
    assert forgotten == (["h"] if remembers else [])
