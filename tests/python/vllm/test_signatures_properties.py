"""No value at any parameter ends an engine, hangs it, or is refused without saying why.

Every value of ``odd_values`` goes to every place of ``odd_places`` on one real engine, and after
each that was let in a good request must be answered, exactly. A value that does not fit a plain
annotation must be refused, by the name of what it was thrown at.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, Session, sampling
from tests.python.support.odd_places import (
    CLASSES,
    EXCLUDED,
    MANIFEST,
    NO_PARAMETERS,
    Place,
    fields,
    parameters,
)
from tests.python.support.odd_values import ODD, tensor
from tests.python.support.values import Ref

# The first of them may have to wait for the engine.

PLACES = [*parameters(), *fields()]

#: Nothing takes longer, on a busy machine too; a brick takes for ever.
TIMEOUT_MS = 120_000

#: Whose fault it is when a value does not fit.
REFUSALS = {"INVALID", "NOT_FOUND", "UNSUPPORTED", "CONFLICT"}

#: Where a value that fits can still fail for a reason of the engine's, which it says.
MAY_FAIL = {
    "pin_lora": {"ENGINE_ERROR"},  # there is no such adapter
    "start_profile": {"ENGINE_ERROR"},  # this engine has no profiler
    # ... and no weight transfer.
    "init_weight_transfer_engine": {"ENGINE_ERROR"},
    "update_weights": {"ENGINE_ERROR"},
    "finish_weight_update": {"ENGINE_ERROR"},
    "collective_rpc": {"TIMEOUT", "ENGINE_ERROR"},  # the worker's method does not take it
    "wait_for_requests_to_drain": {"TIMEOUT"},  # after no time at all
}

STREAMS = {"generate", "encode"}

#: What a call that was let in leaves behind, and what takes that away.
UNDO: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "sleep": [("wake_up", ())],
    "pause_generation": [("resume_generation", ())],
    "start_profile": [("stop_profile", ())],
    "update_weight_version": [("update_weight_version", ("default",))],
}

TYPES: dict[str, Any] = {
    "int": int,
    "str": str,
    "bool": bool,
    "float": (int, float),
    "None": type(None),
}


@dataclass
class Thrower:
    """Throws values at one engine and knows whether it is well."""

    session: Session
    engine: Ref
    model: ScriptedModel
    since_good: list[str]

    async def throw(self, place: Place, value: Any, name: str) -> str | None:
        """Returns what is wrong with the answer; None if nothing is."""
        self.since_good.append(f"{place.name} <- {name}")
        kind, message, let_in = "", "", True
        try:
            running = await self.session.start(
                self.engine, place.method, timeout_ms=TIMEOUT_MS, **place.arguments(value)
            )
            await (running.items() if place.method in STREAMS else running.value())
        except Failed as failed:
            kind, message = failed.kind, failed.failure.message
            let_in = not failed.failure.type.endswith((".InvalidArgument", ".LimitExceeded"))
        if let_in:
            await self.recover(place, value)
            await self.check()
        if kind and kind not in REFUSALS | MAY_FAIL.get(place.method, set()):
            return f"{kind}: {message}"
        if kind and "without a message" in message:
            return message
        if not fits(place.annotation, value) and (kind != "INVALID" or place.field not in message):
            return f"{kind or 'accepted'}, and it does not fit: {message}"
        return None

    async def recover(self, place: Place, value: Any) -> None:
        """Takes away what a call may have left behind."""
        for method, arguments in UNDO.get(place.method, []):
            try:
                await self.session.call(self.engine, method, *arguments, timeout_ms=TIMEOUT_MS)
            except Failed as failed:
                if failed.kind not in REFUSALS | {"ENGINE_ERROR"}:
                    raise AssertionError(self.culprit(failed)) from None
        if place.method == "add_request":
            request_id = place.arguments(value)["request_id"]
            if isinstance(request_id, str):
                await self.session.call(self.engine, "abort", request_id, timeout_ms=TIMEOUT_MS)

    async def check(self) -> None:
        """A good request is answered exactly, and nothing is left unfinished."""
        good = sampling(temperature=0.0, max_tokens=4, output_kind="FINAL_ONLY")
        try:
            running = await self.session.start(
                self.engine, "generate", "Hello", good, "good", timeout_ms=TIMEOUT_MS
            )
            (last,) = await running.items()
            unfinished = await self.session.call(self.engine, "get_num_unfinished_requests")
        except Failed as failed:
            raise AssertionError(self.culprit(failed)) from None
        assert last.outputs[0].text == self.model.expected_text("Hello", 4), self.culprit(last)
        assert unfinished == 0, self.culprit(f"{unfinished} unfinished requests")
        self.since_good.clear()

    def culprit(self, seen: object) -> str:
        """The report of an engine that is not well."""
        thrown = "\n  ".join(self.since_good[-5:])
        return f"the engine is not well: {seen}; last thrown at it:\n  {thrown}"


def fits(annotation: str, value: Any) -> bool:
    """Whether a value fits a plain annotation; any value fits all others."""
    members = annotation.split(" | ")
    if not set(members) <= TYPES.keys():
        return True
    if isinstance(value, float) and math.isnan(value):
        return False
    return any(
        isinstance(value, TYPES[it]) and isinstance(value, bool) == (it == "bool") for it in members
    )


@asynccontextmanager
async def thrower(client: Client, engine: Ref, model: ScriptedModel) -> AsyncIterator[Thrower]:
    async with client.session() as session:
        throws = Thrower(session, engine, model, [])
        yield throws
        await throws.check()


def test_every_parameter_class_is_thrown_at() -> None:
    """A class that a new vLLM brings has to be listed, in one way or the other."""
    outputs = {name for name in MANIFEST["classes"] if name.endswith(("Output", "Result"))}
    taken = {
        name
        for name, described in MANIFEST["classes"].items()
        if described["kind"] != "enum"
        and name.endswith(("Params", "Prompt", "Request", "Input", "Args", "Envelope", "Action"))
    }
    assert taken - outputs - NO_PARAMETERS == CLASSES.keys()
    methods = {it["name"] for it in MANIFEST["async_llm"]["members"] if it.get("parameters")}
    assert {it.method for it in PLACES} >= {it for it in methods - EXCLUDED if it[0] != "_"}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_no_value_ends_the_engine(
    place: Place, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    wrong = {}
    tokenizer = await vllm_client.call(vllm_engine, "get_tokenizer")
    async with thrower(vllm_client, vllm_engine, model) as throws:
        for name, value in {**ODD, "a reference": tokenizer}.items():
            if problem := await throws.throw(place, value, name):
                wrong[name] = problem[:300]
    assert wrong == {}


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**66), max_value=2**66),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(
        [it for name, it in ODD.items() if "huge" not in name and "list of" not in name]
    ),
)
names = st.one_of(
    st.text(max_size=10),
    st.sampled_from(sorted({it.field for it in PLACES})),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(names, st.integers(-(2**63), 2**63)), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(place=st.sampled_from(PLACES), value=values)
async def test_no_made_up_value_ends_the_engine(
    place: Place, value: Any, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    async with thrower(vllm_client, vllm_engine, model) as throws:
        assert await throws.throw(place, value, repr(value)[:500]) is None


async def test_embeddings_of_the_right_width_and_wrong_in_all_else(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    """This engine has no ``enable_prompt_embeds``; what says it is rendered is not asked for it."""
    width = json.loads((model.path / "config.json").read_text())["hidden_size"]
    place = next(it for it in PLACES if it.name == "generate(prompt)")
    async with thrower(vllm_client, vllm_engine, model) as throws:
        for dtype, size in {"float32": 4, "float64": 8, "int64": 8, "bool": 1}.items():
            for shape in ([2, width], [1, 2, width], [width], [0, width]):
                embeds = tensor(dtype, shape, b"\0" * (size * math.prod(shape)))
                for prompt in (
                    {"prompt_embeds": embeds},
                    {"type": "embeds", "prompt_embeds": embeds},
                ):
                    name = f"{dtype} {shape} {sorted(prompt)}"
                    assert await throws.throw(place, prompt, name) is None


async def test_an_expired_worker_call_says_so_and_leaves_the_engine_alone(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    with pytest.raises(Failed, match="'check_health' did not end within 1e-06 s") as caught:
        await vllm_client.call(vllm_engine, "collective_rpc", "check_health", 1e-6)
    assert caught.value.kind == "TIMEOUT"
    async with thrower(vllm_client, vllm_engine, model):
        pass  # A good request is answered at its end.
