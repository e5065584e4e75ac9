"""The renderers of engines, with a function in place of vLLM's."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.chat import vllm_parts
from python_worker.chat.templates import Parsers, Templates
from python_worker.exceptions import InvalidArgument, Unsupported


class Engine:
    """An engine of vLLM's, as far as it is looked at."""

    def __init__(self, tokenizer: object = "tokenizer", reasoning_parser: str = "") -> None:
        self.renderer = SimpleNamespace(tokenizer=tokenizer)
        self.vllm_config = SimpleNamespace(
            structured_outputs_config=SimpleNamespace(reasoning_parser=reasoning_parser)
        )


class Renderer:
    """In place of vLLM's."""


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What renderers were made with."""
    made: list[dict[str, Any]] = []

    def online_renderer(_engine: object, **options: Any) -> object:
        if options["tool_parser"] == "unfit":
            raise RuntimeError("no such token in the tokenizer")
        made.append(options)
        return Renderer()

    monkeypatch.setattr(vllm_parts, "online_renderer", online_renderer)
    monkeypatch.setattr(vllm_parts, "tool_parsers", lambda: ["hermes", "unfit"])
    monkeypatch.setattr(vllm_parts, "reasoning_parsers", lambda: ["qwen3"])
    return made


def test_a_renderer_is_made_once_for_each_engine_and_pair_of_parsers(
    made: list[dict[str, Any]],
) -> None:
    templates, engine, other = Templates(), Engine(), Engine()
    first = templates.renderer(engine, Parsers("hermes", None, "auto"))
    assert templates.renderer(engine, Parsers("hermes", None, "auto")) is first
    assert templates.renderer(engine, Parsers("hermes", "qwen3", "auto")) is not first
    assert templates.renderer(other, Parsers("hermes", None, "auto")) is not first
    assert len(made) == 3


def test_without_a_name_the_engines_own_reasoning_parser_is_used(
    made: list[dict[str, Any]],
) -> None:
    Templates().renderer(Engine(reasoning_parser="qwen3"), Parsers(None, None, "auto"))
    assert [it["reasoning_parser"] for it in made] == ["qwen3"]


def test_renderers_go_with_their_engine() -> None:
    templates, engine = Templates(), Engine()
    renderer = weakref.ref(templates.renderer(engine, Parsers(None, None, "auto")))
    del engine
    gc.collect()
    assert renderer() is None


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        (("hermess", None, "auto"), "tool_parser"),
        ((None, "qwen", "auto"), "reasoning_parser"),
        ((None, None, "strings"), "chat_template_content_format"),
    ],
)
def test_an_unknown_name_is_refused_with_all_that_there_are(
    arguments: tuple[str | None, str | None, str], parameter: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{parameter}: .*did you mean") as error:
        Templates().renderer(Engine(), Parsers(*arguments))
    assert error.value.details == {"parameter": parameter}


def test_a_name_like_no_other_is_refused_in_whole_sentences() -> None:
    with pytest.raises(InvalidArgument, match=r"there is no 'zzz'\. There are hermes, unfit$"):
        Templates().renderer(Engine(), Parsers("zzz", None, "auto"))


def test_a_parser_that_does_not_fit_the_model_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'unfit'.*no such token"):
        Templates().renderer(Engine(), Parsers("unfit", None, "auto"))


def test_an_engine_without_a_tokenizer_cannot_chat() -> None:
    with pytest.raises(Unsupported, match="needs an engine with a tokenizer"):
        Templates().renderer(Engine(tokenizer=None), Parsers(None, None, "auto"))


def test_an_engine_that_is_not_vllms_cannot_chat() -> None:
    with pytest.raises(Unsupported, match="an engine of vLLM's own"):
        Templates().renderer(object(), Parsers(None, None, "auto"))
