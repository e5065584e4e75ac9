"""What the model decides about a request: widths, lengths, vocabulary, token types.

``validation`` knows types; here is what only the engine's own configuration can tell. Each of
these ends the engine, or the worker, if it passes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from python_worker.engines.guards.protocols import ModelConfig
from python_worker.exceptions import InvalidArgument


class Tensor(Protocol):
    """A tensor of torch's."""

    @property
    def shape(self) -> Iterable[int]:
        """Its size in each dimension."""

    @property
    def dtype(self) -> object:
        """The type of its numbers."""

    def is_floating_point(self) -> bool:
        """Whether these are floats."""


def check_prompt(
    prompt: object, tokenization: Mapping[str, Any] | None, model_config: ModelConfig
) -> None:
    """Refuse a prompt that the model cannot take.

    Args:
        prompt: Checked by ``validation``.
        tokenization: The request's ``tokenization_kwargs``.
        model_config: The engine's.
    """
    if isinstance(prompt, dict):
        embeds = prompt.get("prompt_embeds")
        if embeds is not None:
            check_embeds(embeds, model_config, rendered="type" in prompt)
    # vLLM checks the vocabulary by the tokenizer, and not at all without one.
    if model_config.skip_tokenizer_init:
        ids = prompt.get("prompt_token_ids") if isinstance(prompt, dict) else prompt
        if ids and isinstance(ids, list):
            check_token_ids(ids, model_config.get_vocab_size())
    if tokenization:
        check_padding(tokenization, model_config.max_model_len)


def check_embeds(embeds: Tensor, model_config: ModelConfig, *, rendered: bool) -> None:
    """Refuse embeddings that are not rows as wide as the model.

    Args:
        embeds: A tensor.
        model_config: The engine's.
        rendered: Whether the prompt has been through vLLM's renderer, or says so: vLLM does not
            look at it again then.
    """
    path = "prompt.prompt_embeds"
    shape = list(embeds.shape)
    width = model_config.get_inputs_embeds_size()
    if rendered and not model_config.enable_prompt_embeds:
        raise InvalidArgument(
            f"{path}: this engine runs without enable_prompt_embeds", parameter=path
        )
    if not embeds.is_floating_point():
        raise InvalidArgument(f"{path}: wants floats, got {embeds.dtype}", parameter=path)
    if shape[-1:] != [width] or not (len(shape) == 2 or (len(shape) == 3 and not rendered)):
        raise InvalidArgument(
            f"{path}: wants rows of {width} columns, the width of this model, got shape {shape}",
            parameter=path,
        )


def check_token_ids(ids: list[int], vocab_size: int) -> None:
    """Refuse token ids that are not in the vocabulary."""
    wrong = next((it for it in (min(ids), max(ids)) if not 0 <= it < vocab_size), None)
    if wrong is not None:
        raise InvalidArgument(
            f"prompt: token id {wrong} is out of vocabulary; this model has ids from 0 to "
            f"{vocab_size - 1}",
            parameter="prompt",
        )


def check_padding(tokenization: Mapping[str, Any], max_model_len: int) -> None:
    """Refuse to pad beyond the context, which vLLM does first and refuses later.

    A list of 2**40 padding tokens takes the memory of the whole machine.
    """
    name = "max_length" if tokenization.get("padding") == "max_length" else "pad_prompt_tokens"
    wanted = tokenization.get(name)
    if wanted is not None and wanted > max_model_len:
        raise InvalidArgument(
            f"tokenization_kwargs[{name!r}]: wants at most {max_model_len}, the context length "
            f"of this model, got {wanted}",
            parameter=f"tokenization_kwargs[{name!r}]",
        )


def check_token_types(params: object, model_config: ModelConfig) -> None:
    """Refuse token types where the model has none: its ``forward`` would raise.

    Args:
        params: Of any kind; only pooling has ``extra_kwargs``.
        model_config: The engine's.
    """
    extra = getattr(params, "extra_kwargs", None)
    if not extra:
        return
    if extra.get("compressed_token_type_ids") is not None and not has_token_types(model_config):
        raise InvalidArgument(
            "pooling_params.extra_kwargs['compressed_token_type_ids']: this model has no token "
            "types",
            parameter="pooling_params.extra_kwargs",
        )


def has_token_types(model_config: ModelConfig) -> bool:
    """Whether the model takes token types, by which BERT's classifiers tell two texts apart."""
    if getattr(model_config.hf_config, "type_vocab_size", 0) < 2:
        return False
    architectures = model_config.architectures
    model, _ = model_config.registry.resolve_model_cls(architectures, model_config)
    return "token_type_ids" in inspect.signature(model.forward).parameters
