"""A request that EngineCore could not take is not sent, and nobody waits for its outputs."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.core_requests import LONG, CoreRequests
from python_worker.engines.guards.weights import State, Weights
from python_worker.exceptions import Cancelled, Conflict, InvalidArgument
from tests.python.support.engine_class import EngineClass
from tests.python.support.sampling import sampling

#: Of the 100 tokens of the engine.
NOTHING_LEFT = dict.fromkeys(range(100), -math.inf)

#: So many that they are read in a thread.
MANY = [7] * LONG


class Parser:
    """A reasoning parser that takes one keyword."""

    def __init__(self, tokenizer: object, *, thinking: bool = False) -> None:
        assert tokenizer == "tokenizer"


def verify(request: Any) -> None:
    if request.request_id == "unreadable":
        raise InvalidArgument("EngineCore could not read this request")


def request(request_id: str = "r", *features: Any, params: Any = None, **keywords: Any) -> Any:
    return SimpleNamespace(
        request_id=request_id,
        reasoning_parser_kwargs=keywords or None,
        sampling_params=params,
        resumable=False,
        prompt_embeds=None,
        mm_features=features,
    )


class Notes:
    """Stands in for what looks at requests as they are sent; notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def check_backend(self, structure: Any) -> None:
        if structure == "unknown":
            raise InvalidArgument("this engine compiles all structures with another back end")

    def settle(self, structure: Any) -> None:
        self.told.append(("settle", structure))

    def begin(self, request: Any, state: Any) -> None:
        self.told.append(("begin", request.request_id, state))

    def sent(self, request: Any) -> None:
        self.told.append(("sent", request.request_id))

    def add(self, request_id: str, constraints: Any) -> None:
        self.told.append(("add", request_id, constraints.is_forbidden(6, [])))


@pytest.fixture
def notes() -> Any:
    return Notes()


def requests_of(engine: Any, notes: Any, weights: Weights | None = None) -> CoreRequests:
    return CoreRequests(
        engine,
        weights or Weights(),
        verify=verify,
        parser=Parser,
        structures=notes,
        prompt_ends=notes,
        watched=notes,
        unsent=notes,
    )


@pytest.fixture
def engine() -> Any:
    return EngineClass()


@pytest.mark.parametrize("sent", [request(), request(thinking=True)])
async def test_a_good_request_is_sent(engine: Any, notes: Any, sent: Any) -> None:
    engine.output_processor.request_states["r"] = "state"
    await requests_of(engine, notes).send(sent)
    assert notes.told == [("begin", "r", "state")]
    assert engine.engine_core.sent == [sent]
    assert engine.output_processor.aborted == []


@pytest.mark.parametrize(
    ("refused", "state", "error"),
    [
        (request("unreadable"), State.WHOLE, InvalidArgument),
        (request(other=1), State.WHOLE, InvalidArgument),
        (request(), State.OPEN, Conflict),
        (request(params=sampling(structured_outputs="unknown")), State.WHOLE, InvalidArgument),
        (request(params=sampling(allowed_token_ids=[])), State.WHOLE, InvalidArgument),
        (request(params=sampling(logit_bias=NOTHING_LEFT)), State.WHOLE, InvalidArgument),
        (request(params=sampling(allowed_token_ids=[5, *MANY])), State.OPEN, Conflict),
    ],
)
async def test_a_request_that_is_refused_is_forgotten(
    engine: Any, notes: Any, refused: Any, state: State, error: type[Exception]
) -> None:
    engine.output_processor.request_states[refused.request_id] = "state"
    weights = Weights()
    weights.state = state
    with pytest.raises(error):
        await requests_of(engine, notes, weights).send(refused)
    assert notes.told == []
    assert engine.engine_core.sent == []
    assert engine.output_processor.aborted == [refused.request_id]


async def test_a_number_that_processing_made_none_is_refused(engine: Any, notes: Any) -> None:
    pixels = SimpleNamespace(data=[0.0, math.nan])
    sent = request("r", SimpleNamespace(modality="image", mm_hash="h", data={"pixels": pixels}))
    with pytest.raises(InvalidArgument, match=r"\['image'\]\.pixels\[1\]: wants a finite number"):
        await requests_of(engine, notes).send(sent)
    assert engine.engine_core.sent == notes.told == []
    assert engine.output_processor.aborted == ["r"]


async def test_images_that_are_sent_are_told_of(engine: Any, notes: Any) -> None:
    engine.output_processor.request_states["r"] = "state"
    sent = request("r", SimpleNamespace(modality="image", mm_hash="h", data=None))
    await requests_of(engine, notes).send(sent)
    assert notes.told == [("begin", "r", "state"), ("sent", "r")]


async def test_what_forbids_tokens_is_watched(engine: Any, notes: Any) -> None:
    engine.output_processor.request_states["r"] = "state"
    params = sampling(allowed_token_ids=[5, *MANY], structured_outputs="known")
    await requests_of(engine, notes).send(request(params=params))
    assert notes.told == [("begin", "r", "state"), ("add", "r", True), ("settle", "known")]


async def test_a_request_that_is_aborted_while_it_is_checked_is_not_sent(
    engine: Any, notes: Any
) -> None:
    with pytest.raises(Cancelled):
        await requests_of(engine, notes).send(request(params=sampling(allowed_token_ids=MANY)))
    assert engine.engine_core.sent == []
