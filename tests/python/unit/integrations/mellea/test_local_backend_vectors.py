"""Our backend beside mellea 0.4.1, the last version with a ``LocalVLLMBackend`` of its own.

What the old one does is recorded: see ``tests/vectors/make_mellea.py``. The engine arguments and
the attempts to start an engine are compared in
``tests/elixir/unit/core/mellea/attempts_test.exs``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from python_worker.integrations.mellea.sessions import Session
from tests.python.support.mellea import CHAT, Engine, Tokenizer, backend_of
from tests.vectors import make_mellea

VECTORS = json.loads(make_mellea.FILE.read_text())

# By kind and name: what is different, and why.
DIFFERENT: dict[tuple[str, str], Any] = {
    # 0.4.1 loses the temperature, because its name is the same on both sides.
    ("sampling", "a temperature"): {"temperature": 0.25},
}


def vectors(kind: str) -> list[Any]:
    return [
        pytest.param(it["given"], DIFFERENT.get((kind, it["name"]), it["expected"]), id=it["name"])
        for it in VECTORS
        if it["kind"] == kind
    ]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the chat template of the test's engine is given."""
    seen: list[dict[str, Any]] = []

    def apply_chat_template(self: Tokenizer, messages: Any, **options: Any) -> str:
        seen.append({"messages": messages, "tools": options["tools"] or []})
        return "prompt"

    monkeypatch.setattr(Tokenizer, "apply_chat_template", apply_chat_template)
    return seen


def test_the_cases_are_those_of_the_script() -> None:
    made = [
        (kind, name, given)
        for kind, (cases, _) in make_mellea.KINDS.items()
        for name, given in cases.items()
    ]
    assert [(it["kind"], it["name"], it["given"]) for it in VECTORS] == made
    assert DIFFERENT.keys() <= {(it["kind"], it["name"]) for it in VECTORS}


@pytest.mark.parametrize(("given", "expected"), vectors("prompt"))
async def test_prompts(given: Any, expected: Any, rendered: list[dict[str, Any]]) -> None:
    backend = await backend_of(Engine())
    await backend.generate_from_context(**{"context": CHAT, **given})
    assert rendered == [expected]


@pytest.mark.parametrize(("given", "expected"), vectors("raw"))
async def test_raw_texts(given: Any, expected: Any) -> None:
    engine = Engine()
    await (await backend_of(engine)).generate_from_raw(given)
    assert [prompt for prompt, _params in engine.asked] == expected


@pytest.mark.parametrize(("given", "expected"), vectors("sampling"))
async def test_the_parameters_of_a_request(given: Any, expected: Any) -> None:
    backend = await backend_of(Engine(), model_options=given["backend"])
    assert (await backend.effective_options(given["call"]))["sampling"] == expected


@pytest.mark.parametrize(("given", "expected"), vectors("calls"))
async def test_the_calls_of_tools_in_a_text(given: str, expected: Any) -> None:
    tools = [make_mellea.WEATHER, make_mellea.CLOCK]
    backend = await backend_of(Engine(given))
    thunk = await backend.generate_from_context("x", CHAT, tool_calls=True, tools=tools)
    assert await thunk.tool_calls() == expected


@pytest.mark.parametrize(("given", "expected"), vectors("request"))
async def test_what_a_request_asks_for(given: Any, expected: Any) -> None:
    engine = Engine()
    thunk = await (await backend_of(engine)).generate_from_context("x", CHAT, **given)
    await thunk.avalue()
    [(_prompt, params)] = engine.asked
    structure = params.structured_outputs
    made = {"output_kind": params.output_kind.name, "json": structure and structure["json"]}
    assert made == expected


@pytest.mark.parametrize(("given", "expected"), vectors("repair"))
async def test_a_repair(given: None, expected: Any, rendered: list[dict[str, Any]]) -> None:
    session = await Session.new(await backend_of(Engine("one", "two")), CHAT)
    instruction = {
        "description": "Count.",
        "requirements": [{"description": "Be two.", "asked": True}],
    }
    strategy = {"name": "repair_template", "loop_budget": 2}
    async for item in session.instruct(instruction, strategy):
        if "question" in item:
            good = item["text"] == "two"
            await session.answer(item["question"], good, None if good else "It is not two.")
    assert rendered[1]["messages"] == expected
