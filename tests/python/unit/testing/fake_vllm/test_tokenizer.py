"""The tokenizer of the fake engine."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.testing.fake_vllm.tokenizer import FIRST_SAID, FakeTokenizer


@pytest.mark.parametrize("text", ["", "Hello", "caf\u00e9 \u65e5"])
def test_a_text_survives(text: str) -> None:
    tokenizer = FakeTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_scripted_text_keeps_the_id_of_its_first_use() -> None:
    tokenizer = FakeTokenizer()
    ids = [tokenizer.say(text) for text in ("a", "b", "a")]
    assert ids == [FIRST_SAID, FIRST_SAID + 1, FIRST_SAID]
    assert tokenizer.decode([256, *ids]) == " 256aba"
    assert len(tokenizer) == tokenizer.vocab_size == FIRST_SAID + 2


def test_cut_utf_8_is_replaced() -> None:
    assert FakeTokenizer().decode("\u00e9".encode()[:1]) == "\ufffd"


def test_a_chat_is_a_line_for_each_message() -> None:
    tokenizer = FakeTokenizer()
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    tools = [{"function": {"name": "f"}}]
    text = "<|tool|>f\n<|system|>a\n<|user|>b\n<|assistant|>"
    options: dict[str, Any] = {"tools": tools, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template(messages, tokenize=False, **options) == text
    assert tokenizer.apply_chat_template(messages, **options) == tokenizer.encode(text)
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<|system|>a\n<|user|>b"
