"""For tests of providers: an engine without vLLM, and what every provider must honour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from python_worker.chat.answers import ChatChoice, ChatCompletion, ChatMessage, ChatUsage


class Engine:
    """What a provider uses of an engine.

    Attributes:
        adapters: By id: the name and the path.
        asked: The requests of chats.
    """

    errored = False
    dead_error: BaseException | None = None
    model_config = SimpleNamespace(max_model_len=1024)
    renderer: object = SimpleNamespace(tokenizer=object())

    def __init__(self) -> None:
        self.adapters: dict[int, tuple[str, str]] = {}
        self.asked: list[dict[str, Any]] = []

    async def generate(self) -> None:
        """Every engine has one."""

    async def add_lora(self, lora_request: tuple[str, int, str]) -> bool:
        """Loads an adapter, unless its path says that it is broken."""
        name, lora_id, path = lora_request
        if "broken" in path:
            raise ValueError("broken")
        self.adapters[lora_id] = (name, path)
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        """Unloads an adapter."""
        return self.adapters.pop(lora_id, None) is not None


async def chat(engine: Engine, request: dict[str, Any]) -> ChatCompletion:
    """Answers with the path of the adapter, or "base"."""
    engine.asked.append(request)
    paths = dict(engine.adapters.values())
    text = paths.get(request["model"], "base")
    choice = ChatChoice(0, ChatMessage("assistant", text), "stop")
    return ChatCompletion("id", request["model"] or "served", [choice], ChatUsage(3, 4, 7))


async def assert_overrides(text: Callable[..., Awaitable[str]]) -> None:
    """Each override changes the text of the scripted model, or keeps another from changing it.

    The model is sure of its script, until a penalty of 100 leaves the tokens that were said before
    little more likely than all others. Then chance decides, unless it is taken away.

    Args:
        text: Generates 20 tokens of the endless "count" with the overrides that it is given.
    """
    script = await text(temperature=0.0)
    assert script.split().count("one") > 1
    assert await text(temperature=1.0) == script
    assert await text(temperature=1.0, repetition_penalty=100.0) != script
    assert await text(temperature=0.0, repetition_penalty=100.0) == script
    assert await text(temperature=1.0, repetition_penalty=100.0, top_p=1e-9) == script
