"""Records what mellea 0.4.1 does: the last version with a ``LocalVLLMBackend`` of its own.

The vectors in ``mellea.json`` are compared with our backend in the unit lanes of both languages.
They change only with the cases below. To make them anew::

    python -m pip install --no-deps --target /tmp/mellea-0.4.1 mellea==0.4.1
    PYTHONPATH=/tmp/mellea-0.4.1 python -m tests.vectors.make_mellea

with the Python of the worker's environment, whose vLLM and libraries the old mellea imports. No
engine is started: in the place of vLLM's is one that records what it is given.

Each vector has ``name``, ``kind``, ``given`` as a client of the worker sends it, and ``expected``:

``prompt``    what the chat template was given: the messages and the tools
``raw``       the texts that the engine was given without a chat
``sampling``  the parameters of a request, from the options of a backend and of a call
``engine``    the engine arguments, from the options of a backend
``attempts``  the engine arguments of each attempt, where the engine takes a limited length
``calls``     the arguments by tool that are found in a text
``request``   the kind of output and the structure that a request asks for
``repair``    the messages of an instruction whose first text did not meet its requirements

What the model is asked as a judge is not recorded: the library itself has changed it since.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import json
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

FILE = Path(__file__).with_name("mellea.json")

CHAT: dict[str, Any] = {"type": "chat"}


def message(role: str, content: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {"name": name, "description": f"The tool {name}", "parameters": parameters}


WEATHER = tool("weather", city={"type": "string"}, days={"type": "integer"})
CLOCK = tool("clock")
TURNS = [message("user", "one"), message("assistant", "two"), "three"]

INSTRUCTION = {
    "type": "instruction",
    "description": "Write about {{topic}}.",
    "requirements": ["Mention {{topic}}.", {"description": "Be short.", "check_only": True}],
    "icl_examples": ["{{topic}}!", "Oh, {{topic}}."],
    "grounding_context": {"doc": "All about {{topic}}."},
    "user_variables": {"topic": "the sea"},
    "prefix": "Dear {{topic}},",
}
PLAIN = {"type": "instruction", "description": "Do it."}

PROMPTS: dict[str, dict[str, Any]] = {
    "a text": {"action": "x"},
    "a chat": {"action": "four", "context": {**CHAT, "turns": TURNS}},
    "a context that tells nothing": {"action": "x", "context": {"type": "simple", "turns": TURNS}},
    "a window": {"action": "x", "context": {**CHAT, "turns": TURNS, "window_size": 2}},
    "a system prompt": {
        "action": "x",
        "context": {**CHAT, "turns": [message("system", "own")]},
        "model_options": {"@@@system_prompt@@@": "given"},
    },
    "an instruction": {"action": INSTRUCTION},
    "a plain instruction after others": {
        "action": PLAIN,
        "context": {**CHAT, "turns": [INSTRUCTION]},
    },
    "tools": {"action": "x", "tools": [WEATHER, CLOCK], "tool_calls": True},
    "tools that are not asked for": {"action": "x", "tools": [WEATHER]},
    "tools beside a format": {
        "action": "x",
        "tools": [WEATHER],
        "tool_calls": True,
        "format": {"enum": ["a"]},
    },
    "a text that looks like a template": {"action": "{{ x }} {% if %}"},
}

RAW: dict[str, list[Any]] = {
    "texts": ["a", "", "b {{ x }}"],
    "instructions": [INSTRUCTION, PLAIN],
}

SAMPLING: dict[str, dict[str, Any]] = {
    "nothing": {"backend": {}, "call": {}},
    "the engine's names": {"backend": {"max_tokens": 5, "top_p": 0.5}, "call": {"top_k": 3}},
    "mellea's names": {"backend": {"@@@max_new_tokens@@@": 5}, "call": {"@@@seed@@@": 7}},
    "the call stands before the backend": {
        "backend": {"max_tokens": 5, "seed": 1},
        "call": {"@@@max_new_tokens@@@": 9, "seed": 2},
    },
    "an engine's name in the call stands before mellea's of the backend": {
        "backend": {"@@@max_new_tokens@@@": 5},
        "call": {"max_tokens": 9},
    },
    "both names in one map": {"backend": {}, "call": {"max_tokens": 5, "@@@max_new_tokens@@@": 9}},
    "names that nobody knows": {
        "backend": {"bogus": 1, "max_model_len": 512},
        "call": {"nonsense": True, "@@@thinking@@@": True, "@@@context_window@@@": 9},
    },
    "a seed for both": {"backend": {"seed": 7}, "call": {}},
    "stop": {"backend": {}, "call": {"stop": ["x"], "n": 2, "ignore_eos": True}},
    "a temperature": {"backend": {"temperature": 0.5}, "call": {"temperature": 0.25}},
}

ENGINES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "of the engine": {"max_model_len": 512, "max_num_seqs": 4, "enforce_eager": True},
    "names that nobody knows": {"bogus": 1, "top_k": 5, "@@@thinking@@@": True},
    "a seed for both": {"@@@seed@@@": 7, "gpu_memory_utilization": 0.5},
}

# By the length that the engine takes; 0 for one that never starts.
ATTEMPTS: dict[str, dict[str, Any]] = {
    "2048 positions": {"options": {}, "fits": 2048},
    "one attempt": {"options": {"max_model_len": 2048}, "fits": 2048},
    "never": {"options": {"max_num_seqs": 4, "max_model_len": 64}, "fits": 0},
    "a share that gets too small": {
        "options": {"gpu_memory_utilization": 0.12, "max_num_seqs": 1024},
        "fits": 0,
    },
}

ROME = {"city": "Rome", "days": 3}
CALLS: dict[str, str] = {
    "a call": json.dumps({"name": "weather", "arguments": ROME}),
    "in words": "Well: " + json.dumps({"name": "weather", "args": ROME}) + " and so on",
    "under another name": json.dumps({"name": "weather", "parameters": ROME}),
    "of the wrong types": json.dumps({"name": "weather", "arguments": {"city": 5, "days": "3"}}),
    "that cannot be made to fit": json.dumps(
        {"name": "weather", "arguments": {"city": "Rome", "days": "many"}}
    ),
    "with spaces": '{"name": "weather",\n\t"arguments": {"city": "  Rome ", "days": 1}}',
    "without arguments": json.dumps({"name": "clock", "arguments": {"made": "up"}}),
    "two of one tool": json.dumps({"name": "weather", "arguments": ROME})
    + json.dumps({"name": "weather", "arguments": {"city": "Oslo", "days": 1}}),
    "of two tools": json.dumps({"name": "weather", "arguments": ROME})
    + json.dumps({"name": "clock", "arguments": {}}),
    "in a map": json.dumps({"function": {"name": "weather", "arguments": ROME}}),
    "after a type": json.dumps({"type": "function", "function": {"name": "weather", "args": ROME}}),
    "as text": json.dumps({"name": "weather", "arguments": json.dumps(ROME)}),
    "of nobody": json.dumps({"name": "nobody", "arguments": {}}),
    "none": "{{{ no call",
}

REQUESTS: dict[str, dict[str, Any]] = {
    "a text": {},
    "a stream": {"model_options": {"@@@stream@@@": True}},
    "a format": {"format": {"enum": ["a", "b"]}},
}


# --- From what a client sends to mellea 0.4.1's objects -------------------------------


class Schema:
    """Stands for a class of pydantic's."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def model_json_schema(self) -> dict[str, Any]:
        return self.schema


def span(value: Any) -> Any:
    from mellea.core import CBlock, Requirement
    from mellea.stdlib.components import Instruction, Message

    if isinstance(value, str):
        return CBlock(value)
    fields = json.loads(json.dumps({k: v for k, v in value.items() if k != "type"}))
    if value["type"] == "message":
        return Message(fields["role"], fields["content"])
    fields["requirements"] = [
        it if isinstance(it, str) else Requirement(it["description"], check_only=it["check_only"])
        for it in fields.get("requirements", [])
    ]
    return Instruction(**fields)


def context(value: dict[str, Any]) -> Any:
    from mellea.stdlib.context import ChatContext, SimpleContext

    made = (
        ChatContext(window_size=value.get("window_size"))
        if value["type"] == "chat"
        else SimpleContext()
    )
    for turn in value.get("turns", []):
        made = made.add(span(turn))
    return made


def tools(values: list[dict[str, Any]]) -> dict[str, Any]:
    from mellea.backends.tools import MelleaTool

    return {
        value["name"]: MelleaTool(
            value["name"], lambda: None, {"type": "function", "function": value}
        )
        for value in values
    }


# --- In the place of vLLM's engine ----------------------------------------------------


class Tokenizer:
    """Records what it is to render."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def apply_chat_template(self, messages: Any, tokenize: bool, tools: Any) -> str:
        self.engine.rendered.append({"messages": messages, "tools": tools or []})
        return "prompt"


class Engine:
    """Records requests, and says what it is told to."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts) or ["text"]
        self.rendered: list[Any] = []
        self.asked: list[tuple[Any, Any]] = []

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer(self)

    async def generate(
        self, *, request_id: str, prompt: Any, sampling_params: Any
    ) -> AsyncIterator[Any]:
        self.asked.append((prompt, sampling_params))
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        yield types.SimpleNamespace(
            finished=True, outputs=[types.SimpleNamespace(text=text, index=0)]
        )


def backend(engine: Engine, options: dict[str, Any], attempts: list[Any], fits: int | None) -> Any:
    """Mellea's own backend, on an engine of ours."""
    import vllm

    # The mellea of the worker's environment has none.
    cls = importlib.import_module("mellea.backends.vllm").LocalVLLMBackend

    def build(args: Any) -> Engine:
        attempts.append(args)
        if fits is not None and not 0 < args["max_model_len"] <= fits:
            raise ValueError("it does not fit")
        return engine

    # The old mellea reads the fields of vLLM's class, and gives an object of it to the engine. Here
    # the object is a map: vLLM's own would fill in what depends on the machine.
    args = dataclasses.make_dataclass(
        "Args",
        [field.name for field in dataclasses.fields(vllm.AsyncEngineArgs)],
        init=False,
        namespace={"__new__": lambda _cls, **given: given},
    )
    with (
        patch.object(vllm, "AsyncEngineArgs", args),
        patch.object(vllm, "AsyncLLMEngine", types.SimpleNamespace(from_engine_args=build)),
    ):
        return cls("a/model", model_options=options)


def started(engine: Engine, options: dict[str, Any] | None = None) -> Any:
    return backend(engine, options or {}, [], None)


# --- The vectors ------------------------------------------------------------------------


async def generated(it: Any, case: dict[str, Any]) -> Any:
    """The thunk of a case, whose text is whole."""
    options = dict(case.get("model_options", {}))
    if "tools" in case:
        options["@@@tools@@@"] = tools(case["tools"])
    thunk, _context = await it.generate_from_context(
        span(case.get("action", "x")),
        context(case.get("context", CHAT)),
        format=Schema(case["format"]) if "format" in case else None,
        model_options=options,
        tool_calls=case.get("tool_calls", False),
    )
    await thunk.avalue()
    return thunk


async def prompt(case: dict[str, Any]) -> Any:
    engine = Engine()
    await generated(started(engine), case)
    return engine.rendered[0]


async def raw(actions: list[Any]) -> Any:
    from mellea.stdlib.context import SimpleContext

    engine = Engine()
    await started(engine).generate_from_raw([*map(span, actions)], SimpleContext())
    return [text for text, _params in engine.asked]


async def sampling(case: dict[str, Any]) -> Any:
    import vllm

    it = started(Engine(), case["backend"])
    merged = it._simplify_and_merge(case["call"])
    return it._make_backend_specific_and_remove(merged, vllm.SamplingParams)


async def engine_args(options: dict[str, Any]) -> Any:
    attempts: list[Any] = []
    backend(Engine(), options, attempts, None)
    return {name: value for name, value in attempts[0].items() if name != "model"}


async def attempted(case: dict[str, Any]) -> Any:
    attempts: list[Any] = []
    try:
        backend(Engine(), case["options"], attempts, case["fits"])
        starts = True
    except RuntimeError:
        starts = False
    names = ("max_num_seqs", "gpu_memory_utilization", "max_model_len")
    return {"attempts": [[args[name] for name in names] for args in attempts], "starts": starts}


async def calls(text: str) -> Any:
    case = {"tools": [WEATHER, CLOCK], "tool_calls": True}
    thunk = await generated(started(Engine(text)), case)
    found = thunk.tool_calls
    return None if found is None else {name: dict(call.args) for name, call in found.items()}


async def request(case: dict[str, Any]) -> Any:
    engine = Engine()
    await generated(started(engine), case)
    params = engine.asked[0][1]
    structure = params.structured_outputs
    return {"output_kind": params.output_kind.name, "json": structure and structure.json}


async def repaired(_given: Any) -> Any:
    from mellea.core import Requirement, ValidationResult
    from mellea.stdlib import functional
    from mellea.stdlib.sampling import RepairTemplateStrategy

    engine = Engine("one", "two")
    verdicts = [ValidationResult(False, reason="It is not two."), ValidationResult(True)]
    requirement = Requirement("Be two.", validation_fn=lambda _ctx: verdicts.pop(0))
    await functional.ainstruct(
        "Count.",
        context(CHAT),
        started(engine),
        requirements=[requirement],
        strategy=RepairTemplateStrategy(loop_budget=2),
    )
    return engine.rendered[1]["messages"]


KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "prompt": (PROMPTS, prompt),
    "raw": (RAW, raw),
    "sampling": (SAMPLING, sampling),
    "engine": (ENGINES, engine_args),
    "attempts": (ATTEMPTS, attempted),
    "calls": (CALLS, calls),
    "request": (REQUESTS, request),
    "repair": ({"once": None}, repaired),
}


async def vectors() -> list[dict[str, Any]]:
    """What mellea 0.4.1 makes of the cases."""
    return [
        {"name": name, "kind": kind, "given": given, "expected": await make(given)}
        for kind, (cases, make) in KINDS.items()
        for name, given in cases.items()
    ]


def text(entries: list[dict[str, Any]]) -> str:
    """What the file is to contain: one vector to a line."""
    return "[\n" + ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in entries) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text(asyncio.run(vectors())))
