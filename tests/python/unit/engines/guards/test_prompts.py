"""What only the engine's own configuration can tell of a prompt."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.prompts import check_prompt, check_token_types
from python_worker.exceptions import InvalidArgument


def model(**changes: Any) -> Any:
    """The configuration of a model of three tokens, four wide, with a context of eight."""
    config = {"skip_tokenizer_init": False, "enable_prompt_embeds": True, "max_model_len": 8}
    methods = {"get_vocab_size": lambda: 3, "get_inputs_embeds_size": lambda: 4}
    return SimpleNamespace(**{**config, **methods, **changes})


def embeds(*shape: int, floats: bool = True) -> Any:
    return SimpleNamespace(shape=shape, dtype="dtype", is_floating_point=lambda: floats)


@pytest.mark.parametrize(
    ("prompt", "tokenization", "config"),
    [
        ("Hello", None, model()),
        ([99], None, model()),  # vLLM's tokenizer knows
        ([0, 2], None, model(skip_tokenizer_init=True)),
        ({"prompt_token_ids": [2]}, {}, model(skip_tokenizer_init=True)),
        ({"prompt_embeds": embeds(2, 4)}, None, model()),
        ({"prompt_embeds": embeds(1, 2, 4)}, None, model()),
        ({"type": "embeds", "prompt_embeds": embeds(2, 4)}, None, model()),
        ("Hello", {"pad_prompt_tokens": 8}, model()),
        ("Hello", {"max_length": 2**40}, model()),
    ],
)
def test_a_prompt_that_the_model_can_take(prompt: Any, tokenization: Any, config: Any) -> None:
    check_prompt(prompt, tokenization, config)


@pytest.mark.parametrize(
    ("prompt", "tokenization", "config", "named"),
    [
        ([3], None, model(skip_tokenizer_init=True), "token id 3"),
        ({"prompt_token_ids": [-1]}, None, model(skip_tokenizer_init=True), "token id -1"),
        ({"prompt_embeds": embeds(2, 5)}, None, model(), "4 columns"),
        ({"prompt_embeds": embeds(4)}, None, model(), "4 columns"),
        ({"prompt_embeds": embeds()}, None, model(), "4 columns"),
        ({"prompt_embeds": embeds(2, 4, floats=False)}, None, model(), "floats"),
        ({"type": "embeds", "prompt_embeds": embeds(1, 2, 4)}, None, model(), "4 columns"),
        (
            {"type": "embeds", "prompt_embeds": embeds(2, 4)},
            None,
            model(enable_prompt_embeds=False),
            "enable_prompt_embeds",
        ),
        ("Hello", {"pad_prompt_tokens": 9}, model(), "at most 8"),
        ("Hello", {"padding": "max_length", "max_length": 2**40}, model(), "max_length"),
    ],
)
def test_a_prompt_that_the_model_cannot_take(
    prompt: Any, tokenization: Any, config: Any, named: str
) -> None:
    with pytest.raises(InvalidArgument, match=named):
        check_prompt(prompt, tokenization, config)


class Bert:
    def forward(self, input_ids: object, token_type_ids: object = None) -> None:
        """As vLLM's classifiers."""


class Llama:
    def forward(self, input_ids: object) -> None:
        """As vLLM's."""


def of_class(cls: type, token_types: int) -> Any:
    registry = SimpleNamespace(resolve_model_cls=lambda *_: (cls, cls.__name__))
    hf_config = SimpleNamespace(type_vocab_size=token_types)
    return SimpleNamespace(registry=registry, hf_config=hf_config, architectures=[])


def test_token_types_are_for_models_that_have_them() -> None:
    params = SimpleNamespace(extra_kwargs={"compressed_token_type_ids": 3})
    check_token_types(params, of_class(Bert, 2))
    check_token_types(SimpleNamespace(extra_kwargs=None), of_class(Llama, 0))
    check_token_types(SimpleNamespace(), of_class(Llama, 0))
    for config in (of_class(Bert, 1), of_class(Llama, 2)):
        with pytest.raises(InvalidArgument, match="no token types"):
            check_token_types(params, config)
