"""From a context to a prompt. Images are in ``test_images``, and with a model in ``vllm/``."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.integrations.mellea import library
from tests.python.support.mellea import CHAT, Engine, Tokenizer, backend_of

prompts: Any = library.load("prompts")


@pytest.mark.parametrize(
    ("value", "variables"),
    [
        (None, {}),
        (True, {"enable_thinking": True, "thinking": True}),
        (False, {"enable_thinking": False, "thinking": False}),
        ("low", {"reasoning_effort": "low"}),
    ],
)
async def test_thinking_is_a_variable_of_the_chat_template(
    value: Any, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def apply_chat_template(self: Tokenizer, messages: Any, **options: Any) -> str:
        seen.append(options)
        return ""

    monkeypatch.setattr(Tokenizer, "apply_chat_template", apply_chat_template)
    backend = await backend_of(Engine())
    await backend.render_prompt("x", CHAT, {"@@@thinking@@@": value})
    common = {"tools": None, "tokenize": False, "add_generation_prompt": True}
    assert seen == [{**common, **variables}]


async def test_the_tokenizer_of_an_engine_may_have_to_be_awaited() -> None:
    class Awaited(Engine):
        async def get_tokenizer(self) -> Tokenizer:  # type: ignore[override]
            return Tokenizer()

    backend = await backend_of(Awaited())
    assert await backend.render_prompt("x", CHAT) == "user: x\nassistant:"


async def test_a_message_whose_text_speaks_of_a_cblock_is_logged_and_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = await backend_of(Engine())
    with caplog.at_level("ERROR", "mellea"):
        assert "CBlock" in await backend.render_prompt("a CBlock", CHAT)
    assert "Found the string `CBlock`" in caplog.text
