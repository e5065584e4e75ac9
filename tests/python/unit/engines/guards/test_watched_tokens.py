"""A request ends with an error where a forbidden token comes, and no other request notices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.token_constraints import constraints_of
from python_worker.engines.guards.watched_tokens import MANY, WatchedTokens
from python_worker.exceptions import NoTokenLeft
from tests.python.support.engine_class import EngineClass
from tests.python.support.sampling import sampling


class State:
    """A RequestState."""

    def __init__(self, parent: str | None = None, *, streaming_input: bool = False) -> None:
        self.parent_req = None if parent is None else SimpleNamespace(request_id=parent)
        self.streaming_input = streaming_input
        self.put: list[Exception] = []
        self.queue = SimpleNamespace(put=self.put.append)


def output(request_id: str, *tokens: int, finish: str | None = None) -> Any:
    return SimpleNamespace(
        request_id=request_id,
        new_token_ids=list(tokens),
        finish_reason=finish,
        mm_cache_miss_hashes=None,
    )


class Engine(EngineClass):
    """Notes what it aborts."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted: list[str] = []
        self.watched = WatchedTokens(self)  # type: ignore[arg-type]

    async def abort(self, request_ids: list[str], internal: bool = False) -> None:
        assert internal
        self.aborted += request_ids

    def add(self, request_id: str, state: State, **params: Any) -> None:
        self.output_processor.request_states[request_id] = state
        self.watched.add(request_id, constraints_of(sampling(**params), 10))

    async def step(self, *outputs: Any) -> list[str]:
        self.engine_core.outputs_queue.put_nowait(SimpleNamespace(outputs=list(outputs)))
        return [it.request_id for it in (await self.watched.get()).outputs]


@pytest.fixture
def engine() -> Engine:
    return Engine()


async def test_a_forbidden_token_ends_its_request(engine: Engine) -> None:
    state, other = State(), State()
    engine.add("r", state, allowed_token_ids=[4], words=[[4, 4]])
    engine.add("other", other, allowed_token_ids=[0])
    assert await engine.step(output("r", 4), output("other", 0), output("free", 9)) == [
        *("r", "other", "free"),
    ]
    assert await engine.step(output("r", 0), output("other", 0), output("free", 9)) == [
        *("other", "free"),
    ]
    (error,) = state.put
    assert isinstance(error, NoTokenLeft)
    assert error.details["parameters"] == ["allowed_token_ids", "bad_words"]
    assert error.details["tokens"] == 1
    assert engine.aborted == ["r"]
    assert other.put == []


async def test_several_tokens_in_a_step_are_looked_at_in_their_order(engine: Engine) -> None:
    state = State()
    engine.add("r", state, words=[[1, 2]])
    assert await engine.step(output("r", 2, 1, 3, 2)) == ["r"]
    assert await engine.step(output("r", 1, 2)) == []
    assert "after 5 tokens" in str(state.put[0])


async def test_of_several_completions_all_end(engine: Engine) -> None:
    for name in ("0_r", "1_r"):
        engine.add(name, State("r"), allowed_token_ids=[4])
    assert await engine.step(output("0_r", 4), output("1_r", 5)) == ["0_r"]
    assert engine.aborted == ["r"]


async def test_the_last_token_is_looked_at_too(engine: Engine) -> None:
    state = State()
    engine.add("r", state, allowed_token_ids=[4])
    assert await engine.step(output("r", 0, finish="length")) == []
    assert len(state.put) == 1


async def test_each_element_of_a_streamed_prompt_has_its_own_constraints(engine: Engine) -> None:
    state = State(streaming_input=True)
    engine.add("r", state)  # the first forbids nothing
    engine.add("r", state, allowed_token_ids=[4], words=[[4, 4]])
    assert await engine.step(output("r", 9)) == ["r"]
    assert await engine.step(output("r", 4, finish="length")) == ["r"]
    assert await engine.step(output("r", 4)) == ["r"]
    assert await engine.step(output("r", 9)) == []
    assert "after 1 tokens" in str(state.put[0])


async def test_a_request_that_is_gone_is_not_kept(engine: Engine) -> None:
    states = engine.output_processor.request_states
    constraints = constraints_of(sampling(allowed_token_ids=[4]), 10)
    engine.add("ended", State(), allowed_token_ids=[4])
    assert await engine.step(output("ended", 4, finish="length")) == ["ended"]
    assert engine.watched._watched == {}
    # One that was refused, or aborted, has no state.
    engine.watched.add("refused", constraints)
    assert engine.watched._watched == {}
    engine.add("aborted", State(), allowed_token_ids=[4])
    states.clear()
    assert await engine.step(output("aborted", 5)) == ["aborted"]
    assert engine.watched._watched == {}
    # Another request of the same id.
    engine.add("again", State(), allowed_token_ids=[4])
    states["again"] = State()
    assert await engine.step(output("again", 5)) == ["again"]
    assert engine.watched._watched == {}


async def test_those_that_have_ended_are_forgotten_when_there_are_many(engine: Engine) -> None:
    for number in range(10 * MANY):
        engine.add(str(number), State(), allowed_token_ids=[4])
        if number % 2:
            del engine.output_processor.request_states[str(number)]
    running = {str(number) for number in range(0, 10 * MANY, 2)}
    assert running <= engine.watched._watched.keys()
    for name in running:
        del engine.output_processor.request_states[name]
    for number in range(2 * MANY):
        engine.add(f"new-{number}", State(), allowed_token_ids=[4])
    assert len(engine.watched._watched) <= 10 * MANY


async def test_what_the_structure_rejects_is_the_same(engine: Engine) -> None:
    state = State()
    engine.add("r", state, structured_outputs="any", stop_token_ids=[5])
    assert await engine.step(output("r", 4)) == ["r"]
    assert await engine.step(output("r", 4, 0, finish="error")) == []
    assert "after 2 tokens" in str(state.put[0])
    assert "stop_token_ids and structured_outputs" in str(state.put[0])


async def test_a_structure_that_cannot_be_compiled_is_the_fault_of_the_request(
    engine: Engine,
) -> None:
    state = State()
    engine.add("r", state, structured_outputs="any")
    assert await engine.step(output("r", finish="error")) == []
    (error,) = state.put
    assert isinstance(error, NoTokenLeft)
    assert "could not compile the structure" in str(error)
    assert "name another back end" in str(error)
    assert error.details == {"parameter": "sampling_params.structured_outputs"}


@pytest.mark.parametrize(
    ("before", "tokens", "structure", "missing"),
    [
        ((), (4,), None, None),
        ((), (), None, None),
        ((4,), (), "any", None),
        ((), (), "any", ["an image"]),
    ],
)
async def test_other_errors_of_the_engine_stay_as_they_are(
    engine: Engine,
    before: tuple[int, ...],
    tokens: tuple[int, ...],
    structure: str | None,
    missing: list[str] | None,
) -> None:
    """A connector failed, or an image is no longer in a cache."""
    state = State()
    engine.add("r", state, structured_outputs=structure, allowed_token_ids=[4])
    if before:
        assert await engine.step(output("r", *before)) == ["r"]
    last = output("r", *tokens, finish="error")
    last.mm_cache_miss_hashes = missing
    assert await engine.step(last) == ["r"]
    assert state.put == []


async def test_the_error_of_a_request_without_a_queue_is_kept(engine: Engine) -> None:
    state: Any = State()
    state.queue = None
    engine.add("r", state, allowed_token_ids=[4])
    assert await engine.step(output("r", 0)) == []
    (error,) = engine.watched.unheard
    assert isinstance(error, NoTokenLeft)
    assert engine.aborted == ["r"]
