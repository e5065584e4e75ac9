"""What a later element of a streamed input may not do to the request it continues."""

from __future__ import annotations

import asyncio
import enum
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards import streamed_prompts
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.streamed_prompts import StreamedPromptsGuard
from python_worker.exceptions import Cancelled, InvalidArgument

WINDOW = 100


class Kind(enum.Enum):
    """vLLM's output kinds."""

    CUMULATIVE = 0
    DELTA = 1


class Params(SimpleNamespace):
    """Sampling parameters: some that may change, some that may not, and vLLM's own."""

    __struct_fields__ = (
        "max_tokens",
        "temperature",
        "logprobs",
        "skip_clone",
        "_own",
        "output_kind",
    )


def params(**fields: Any) -> Params:
    """Parameters of an element."""
    defaults: dict[str, Any] = {"max_tokens": 10, "temperature": 0.0, "logprobs": None}
    own = {"skip_clone": True, "_own": 0, "output_kind": Kind.CUMULATIVE}
    return Params(**{**defaults, **own, **fields})


class Queue:
    """A collector."""

    aggregate = True


class Engine:
    """As much of vLLM's as is looked at."""

    def __init__(self) -> None:
        self.model_config = SimpleNamespace(max_model_len=WINDOW)
        self.output_processor = SimpleNamespace(request_states={})
        self.added: list[Any] = []

    async def _add_request(
        self, request: Any, prompt: Any, parent_req: Any, index: int, queue: Any
    ) -> str:
        self.added.append(request)
        state = SimpleNamespace(input_chunk_queue=[], prompt_len=0, outputs=0)
        state.detokenizer = SimpleNamespace(num_output_tokens=lambda: state.outputs)
        states = self.output_processor.request_states
        state = states.setdefault(request.request_id, state)
        state.prompt_len += len(request.prompt_token_ids)
        return "added"

    def answer(self, tokens: int) -> None:
        """Everything that was added is answered, with so many tokens in all."""
        (state,) = self.output_processor.request_states.values()
        state.input_chunk_queue, state.outputs = None, tokens


class Request:
    """One streamed request and the elements that are added to it."""

    def __init__(self) -> None:
        self.engine: Any = compose(Engine, (StreamedPromptsGuard,))()
        self.queue = Queue()

    async def add(self, length: int, *, resumable: bool = True, **fields: Any) -> Any:
        """Adds an element of this many tokens."""
        request = SimpleNamespace(
            request_id="r",
            prompt_token_ids=[0] * length,
            resumable=resumable,
            sampling_params=params(**fields),
        )
        return await self.engine._add_request(request, None, None, 0, self.queue)


@pytest.fixture
def request_() -> Request:
    """A request without elements."""
    return Request()


async def test_elements_that_fit_are_added_at_once(request_: Request) -> None:
    for _ in range(4):
        assert await request_.add(10) == "added"
    assert len(request_.engine.added) == 4


@pytest.mark.parametrize(
    "fields", [{"temperature": 1.0}, {"max_tokens": 5}, {"skip_clone": False}, {"_own": 1}]
)
async def test_what_may_change(request_: Request, fields: dict[str, Any]) -> None:
    await request_.add(10)
    assert await request_.add(10, **fields) == "added"


async def test_what_may_not_change_is_named(request_: Request) -> None:
    await request_.add(10)
    await request_.add(10)
    with pytest.raises(
        InvalidArgument, match="wants None as in the first element, got 2"
    ) as caught:
        await request_.add(10, logprobs=2)
    assert caught.value.details["parameter"] == "prompt[2].sampling_params.logprobs"
    assert len(request_.engine.added) == 2


async def test_the_output_kind_is_the_call_s(request_: Request) -> None:
    await request_.add(10, output_kind=Kind.CUMULATIVE)
    await request_.add(10, output_kind=Kind.DELTA)
    kinds = [request.sampling_params.output_kind for request in request_.engine.added]
    assert kinds == [Kind.DELTA, Kind.DELTA]


async def test_an_element_waits_until_it_is_known_whether_there_is_room(request_: Request) -> None:
    await request_.add(10, max_tokens=85)
    adding = asyncio.create_task(request_.add(20))
    await asyncio.sleep(0)
    assert not adding.done()
    request_.engine.answer(4)
    assert await adding == "added"


async def test_a_long_wait_for_room_looks_ever_less_often(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            request_.engine.answer(4)

    monkeypatch.setattr(streamed_prompts, "asyncio", SimpleNamespace(sleep=sleep))
    await request_.add(10, max_tokens=85)
    assert await request_.add(20) == "added"
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (
        streamed_prompts.LOOK_SECONDS,
        streamed_prompts.MAX_LOOK_SECONDS,
    )


@pytest.mark.parametrize(("length", "fits"), [(86, True), (87, False)])
async def test_the_window_is_counted_to_the_token(
    request_: Request, length: int, fits: bool
) -> None:
    """10 of the first element and 3 of its 4 tokens; one more must be left for an answer."""
    await request_.add(10, max_tokens=85)
    request_.engine.answer(4)
    if fits:
        assert await request_.add(length) == "added"
    else:
        with pytest.raises(InvalidArgument, match="no room for an answer in the model's 100"):
            await request_.add(length)


async def test_a_request_that_was_aborted_is_not_begun_anew(request_: Request) -> None:
    await request_.add(10)
    request_.engine.output_processor.request_states.clear()
    with pytest.raises(Cancelled):
        await request_.add(10)
    assert await request_.add(1, resumable=False) is None
    assert len(request_.engine.added) == 1


async def test_an_abort_ends_the_wait_for_room(request_: Request) -> None:
    await request_.add(10, max_tokens=85)
    adding = asyncio.create_task(request_.add(20))
    await asyncio.sleep(0)
    request_.engine.output_processor.request_states.clear()
    with pytest.raises(Cancelled):
        await adding


async def test_ordinary_requests_are_left_alone(request_: Request) -> None:
    """Children of one request share a collector, and there may be no sampling parameters."""
    for _ in range(2):
        request = SimpleNamespace(request_id="o", prompt_token_ids=[0] * 99, resumable=False)
        assert await request_.engine._add_request(request, None, None, 0, request_.queue) == "added"
