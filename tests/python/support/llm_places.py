"""Where an odd value can be thrown at an ``LLM``: its parameters, and the fields inside of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.python.support.odd_places import GREEDY, LORA, MANIFEST, Place
from tests.python.support.values import Record

Around = Callable[[Any], dict[str, Any]]
"""Makes the arguments of a call around an odd value."""

BEAM = {"beam_width": 1, "max_tokens": 1}
MESSAGES = [{"role": "user", "content": "Hello"}]

#: Not thrown at: they make objects.
EXCLUDED = {"__init__", "from_engine_args"}

#: What every required parameter gets when another one is under test.
REQUIRED: dict[str, Any] = {
    "prompts": ["Hello"],
    "params": BEAM,
    "messages": MESSAGES,
    "method": "check_health",
    "new_version": "default",
    "request": {},
    "func": "tests.python.support.model_functions:no_such_function",
    "data_1": "a",
    "data_2": "b",
}

#: What a method with these parameters gets for them, so that a call is over soon.
SHORT = {"sampling_params": GREEDY}


def parameters() -> Iterator[Place]:
    """Every parameter of every method."""
    for member in MANIFEST["llm"]["members"]:
        if member["name"] in EXCLUDED:
            continue
        names = [it["name"] for it in member["parameters"]]
        base = {it: value for it, value in {**REQUIRED, **SHORT}.items() if it in names}
        for parameter in member["parameters"]:
            yield _place(member["name"], parameter, _with(base, parameter["name"]))


def _place(
    method: str, parameter: dict[str, Any], around: Callable[[Any], dict[str, Any]]
) -> Place:
    name, annotation = parameter["name"], parameter["annotation"]
    return Place(f"{method}({name})", name, annotation, method, around)


def _with(base: dict[str, Any], name: str) -> Around:
    return lambda value: {**base, name: value}


#: Class -> method, required fields, the arguments around an object of it.
CLASSES: dict[str, tuple[str, dict[str, Any], Around]] = {
    "SamplingParams": (
        "generate",
        GREEDY,
        lambda it: {"prompts": "Hello", "sampling_params": it},
    ),
    "BeamSearchParams": ("beam_search", BEAM, lambda it: {"prompts": ["Hello"], "params": it}),
    "TextPrompt": (
        "generate",
        {"prompt": "Hello"},
        lambda it: {"prompts": [it], "sampling_params": GREEDY},
    ),
    "TokensPrompt": (
        "beam_search",
        {"prompt_token_ids": [5]},
        lambda it: {"prompts": [it], "params": BEAM},
    ),
    "LoRARequest": (
        "generate",
        LORA,
        lambda it: {"prompts": "Hello", "sampling_params": GREEDY, "lora_request": it},
    ),
}


def fields() -> Iterator[Place]:
    """Every field of these classes."""
    for name, (method, base, around) in CLASSES.items():
        for field in MANIFEST["classes"][name]["fields"]:
            yield Place(
                f"{name}.{field['name']}",
                field["name"],
                field["annotation"],
                method,
                _around(name, base, field["name"], around),
            )


def _around(name: str, base: dict[str, Any], field: str, around: Around) -> Around:
    return lambda value: around(Record(name, {**base, field: value}))
