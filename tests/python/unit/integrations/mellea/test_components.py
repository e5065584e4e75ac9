"""From what a client sends to mellea's components."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import BridgeError, InvalidArgument
from python_worker.integrations.mellea import library
from tests.python.support.mellea import CHAT, Engine, backend_of

make: Any = library.load("components")
images: Any = library.load("images")

ODD: list[Any] = [None, True, -1, 2**70, 1.5, b"x", [], [None], {}, {"a": 1}, {1}, "x"]


def described(**fields: Any) -> dict[str, Any]:
    return {"type": "instruction", "description": "Do it.", **fields}


async def test_variables_are_put_into_all_texts_of_an_instruction() -> None:
    instruction = await make.span(
        described(
            description="Write about {{topic}}.",
            requirements=["mentions {{topic}}"],
            icl_examples=["{{topic}}!"],
            grounding_context={"doc": "on {{topic}}"},
            prefix="{{topic}}:",
            user_variables={"topic": "sky"},
        )
    )
    args = instruction.format_for_llm().args
    assert args["description"] == "Write about sky."
    assert args["requirements"] == ["mentions sky"]
    assert args["icl_examples"] == ["sky!"]
    assert str(args["grounding_context"]["doc"]) == "on sky"
    assert str(args["prefix"]) == "sky:"


# What mellea 0.4.1 made of them, the last version with a local backend of its own.
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"description": "Do it."}, "Do it."),
        (
            {
                "description": "Do {{x}}.",
                "user_variables": {"x": "y"},
                "requirements": ["r {{x}}"],
            },
            "Do y.\nFulfill the following requirements:\n* r y",
        ),
        (
            {
                "description": "a",
                "requirements": ["b", "c"],
                "icl_examples": ["e1", "e2"],
                "grounding_context": {"d": "doc"},
                "prefix": "p",
            },
            (
                "p\na\nFulfill the following requirements:\n* b\n* c\n"
                "Here are some examples:\n* e1\n* e2\n"
                "Here is some grounding context:\n*   [d] =  doc"
            ),
        ),
    ],
)
async def test_an_instruction_is_rendered_as_ever(fields: dict[str, Any], text: str) -> None:
    backend = await backend_of(Engine())
    prompt = await backend.render_prompt({"type": "instruction", **fields}, CHAT)
    assert prompt == f"user: {text}\nassistant:"


async def test_without_variables_braces_stay() -> None:
    instruction = await make.span(described(description="{{ not a template }}"))
    assert instruction.format_for_llm().args["description"] == "{{ not a template }}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ cycler.__init__.__globals__ }}",
        "{{ x.__class__.__mro__ }}",
        "{{ 1 / 0 }}",
        "{% for i in range(9) %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ x | center(1000000000) }}",
        "{{ range(9) }}",
        "{% set y = x %}",
        "{{ x + 1 }}",
        "{% if %}",
        "{{ " + "(" * 5000 + "x" + ")" * 5000 + " }}",
        "{{ x" + ".y" * 5000 + " }}",
    ],
)
async def test_a_text_with_variables_reaches_nothing_of_the_worker(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"action\.description"):
        await make.span(described(description=text, user_variables={"x": "y"}))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("message", "role"),
        ("message", "content"),
        ("message", "images"),
        ("message", "tool_calls"),
        ("instruction", "description"),
        ("instruction", "requirements"),
        ("instruction", "icl_examples"),
        ("instruction", "grounding_context"),
        ("instruction", "user_variables"),
        ("component", "name"),
        ("component", "args"),
        ("component", "template"),
        ("component", "template_order"),
        ("component", "tools"),
    ],
)
async def test_an_odd_field_is_taken_or_refused(kind: str, field: str, odd: Any) -> None:
    sound: dict[str, Any] = {
        "message": {"role": "user", "content": "x"},
        "instruction": {"description": "x"},
        "component": {"name": "X", "template": "x"},
    }[kind]
    try:
        await make.span({"type": kind, **sound, field: odd})
    except BridgeError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("odd", [*ODD[:-1], {"type": "nothing"}, {"type": []}])
async def test_what_is_no_span_is_refused(odd: Any) -> None:
    with pytest.raises((InvalidArgument, TypeError)):
        await make.span(odd)


PNG = b"not a png, which only the engine's loader finds out"


async def test_images_are_kept_until_the_prompt_is_rendered() -> None:
    shown = [PNG, "https://x/a.png", {"path": "a.png"}]
    for made in (
        await make.span({"type": "message", "role": "user", "content": "x", "images": shown}),
        await make.span(described(images=shown)),
    ):
        assert [image.source for image in images.of(made)] == [
            {"data": PNG},
            {"url": "https://x/a.png"},
            {"path": "a.png"},
        ]


@pytest.mark.parametrize("path", ["action.grounding_context['a']", "action.args['a'][0]"])
async def test_images_inside_of_a_component_are_refused(path: str) -> None:
    message = {"type": "message", "role": "user", "content": "x", "images": [PNG]}
    span = (
        described(grounding_context={"a": message})
        if "grounding" in path
        else {"type": "component", "name": "X", "template": "x", "args": {"a": [message]}}
    )
    with pytest.raises(InvalidArgument) as refused:
        await make.span(span)
    assert refused.value.details["parameter"] == f"{path}.images"


async def test_the_context_of_a_chat_keeps_its_turns_and_a_simple_one_tells_none() -> None:
    chat = await make.context({"type": "chat", "turns": ["a", "b"]})
    assert [str(turn) for turn in chat.view_for_generation()] == ["a", "b"]
    simple = await make.context({"type": "simple", "turns": ["a"]})
    assert simple.view_for_generation() == []


async def test_a_context_has_a_window() -> None:
    chat = await make.context({"type": "chat", "turns": ["a", "b", "c"], "window_size": 2})
    assert [str(turn) for turn in chat.view_for_generation()] == ["b", "c"]


@pytest.mark.parametrize("odd", [*ODD, {"type": "tree"}])
async def test_another_context_is_refused_in_upstreams_words(odd: Any) -> None:
    with pytest.raises(InvalidArgument, match="Does not yet support non-chat contexts"):
        await make.context(odd)


async def test_a_thunk_that_is_a_turn_is_waited_for() -> None:
    backend = await backend_of(Engine("answer"))
    thunk = await backend.generate_from_context("question", CHAT)
    context = {"type": "chat", "turns": ["question", thunk]}
    assert "assistant: answer" in await backend.render_prompt("next", context)
