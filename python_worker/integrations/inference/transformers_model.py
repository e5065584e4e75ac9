"""A model of Transformers with adapters of PEFT, loaded; everything here runs in one thread.

The first adapter wraps the model. Later ones are loaded into the same wrapper, which is switched
between them, and switched off for a text without an adapter. When the last one is gone, the model
is taken out of the wrapper again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from python_worker.exceptions import InvalidArgument
from python_worker.finite import first_not_finite
from python_worker.integrations import extras
from python_worker.integrations.inference.dtypes import resolve_dtype
from python_worker.integrations.inference.provider import (
    Adapter,
    Generation,
    ModelNotFound,
    ProviderFailed,
)
from python_worker.offline.llm_thread import stop_asked

MAX_PROMPT_TOKENS: Final = 8192
"""Longer prompts are cut at their end."""

LEAST_TEMPERATURE: Final = 0.01
"""Lower ones overflow the logits; 0 itself is greedy."""

CPU: Final = "cpu"
AUTO: Final = "auto"


@dataclass(frozen=True)
class Sampling:
    """How a text is sampled where the caller does not say."""

    temperature: float
    top_p: float
    repetition_penalty: float


@dataclass(frozen=True)
class Text:
    """A generated text, with the numbers of its tokens."""

    text: str
    token_count: int
    finish_reason: str


class StopWhenAsked:
    """Ends a text when its call has ended. One of Transformers' stopping criteria."""

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        """Whether each sequence is to end, as a tensor."""
        return input_ids.new_full(input_ids.shape[:1], int(stop_asked())).bool()


class TransformersModel:
    """A model that is loaded.

    Args:
        name: A folder, or a name on a hub.
        device: Such as ``cpu`` or ``cuda:0``; None for the best there is.
        torch_dtype: The name of a dtype, or ``auto``.

    Raises:
        ModelNotFound: There is no such model.
        InvalidArgument: It is no model of a language, or there is no such device.
        ProviderFailed: The device does not take it.
        MissingDependency: A library is not installed.
    """

    def __init__(self, name: str, device: str | None, torch_dtype: str) -> None:
        self._torch: Any = extras.load("providers", "torch")
        transformers: Any = extras.load("providers", "transformers")
        try:
            self._device = self._torch.device(device or best_device(self._torch))
        except RuntimeError as error:
            raise InvalidArgument(f"device: {error}", parameter="device") from None
        # The worker's log has no place for bars.
        transformers.logging.disable_progress_bar()
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            config = transformers.AutoConfig.from_pretrained(name)
            dtype = self._dtype(transformers, config, torch_dtype)
            model = transformers.AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
        except OSError as error:
            raise ModelNotFound(f"model_name: {error}", model_name=name) from error
        except Exception as error:
            raise InvalidArgument(
                f"model_name: {name!r} cannot be loaded: {type(error).__name__}: {error}",
                parameter="model_name",
            ) from error
        try:
            self._base: Any = model.to(self._device).eval()
        except Exception as error:
            raise ProviderFailed(f"{name!r} cannot be moved to {self._device}: {error}") from error
        self._wrapper: Any = None
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def _dtype(self, transformers: Any, config: Any, torch_dtype: str) -> str:
        if torch_dtype != AUTO or self._device.type == CPU:
            return torch_dtype
        with self._torch.device("meta"):
            empty = transformers.AutoModelForCausalLM.from_config(config)
        count = sum(parameter.numel() for parameter in empty.parameters())
        return resolve_dtype(count, free_memory(self._torch, self._device))

    @property
    def wrapped_adapters(self) -> list[str]:
        """The names of the adapters in the wrapper; none without a wrapper."""
        return [] if self._wrapper is None else sorted(self._wrapper.peft_config)

    def generate(self, generation: Generation, adapter: Adapter | None, defaults: Sampling) -> Text:
        """Generates a text.

        Raises:
            InvalidArgument: The prompt is too long for the model.
            ModelNotFound: There is no such adapter.
            ProviderFailed: PEFT or Transformers failed.
        """
        inputs = self._inputs(generation)
        length = inputs["input_ids"].shape[1]
        limit = self._limit(generation, length)
        with self._with_adapter(adapter) as model, self._torch.inference_mode():
            try:
                (tokens,) = model.generate(
                    **inputs,
                    max_new_tokens=limit,
                    pad_token_id=self._tokenizer.pad_token_id,
                    stopping_criteria=[StopWhenAsked()],
                    **_sampling(generation, defaults),
                )
            except RuntimeError as error:
                raise ProviderFailed(f"Transformers failed at this text: {error}") from error
        return self._text(tokens, length, limit)

    def _inputs(self, generation: Generation) -> dict[str, Any]:
        prompt = generation.joined_prompt
        if templated := self._tokenizer.chat_template is not None:
            # Some templates refuse a message of the system.
            prompt = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
        encoded = self._tokenizer(
            prompt,
            return_tensors="pt",
            truncation=True,
            max_length=MAX_PROMPT_TOKENS,
            # The template has them in its text.
            add_special_tokens=not templated,
        )
        if encoded["input_ids"].shape[1] == 0:
            raise InvalidArgument("prompt: wants at least one token, got none", parameter="prompt")
        return {name: encoded[name].to(self._device) for name in ("input_ids", "attention_mask")}

    def _limit(self, generation: Generation, length: int) -> int:
        """How many tokens fit behind the prompt, at most as many as were asked for."""
        positions = getattr(self._base.config, "max_position_embeddings", None)
        if not positions:
            return generation.max_tokens
        if length >= positions:
            raise InvalidArgument(
                f"prompt: has {length} tokens, and the model takes {positions} together with its "
                "text",
                parameter="prompt",
            )
        return min(generation.max_tokens, int(positions) - length)

    def _text(self, tokens: Any, length: int, limit: int) -> Text:
        made = tokens[length:]
        ends = self._base.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        ended = len(made) > 0 and int(made[-1]) in ends
        return Text(
            text=str(self._tokenizer.decode(made, skip_special_tokens=True)),
            token_count=len(tokens),
            finish_reason="length" if len(made) >= limit and not ended else "stop",
        )

    # --- Adapters

    @contextlib.contextmanager
    def _with_adapter(self, adapter: Adapter | None) -> Iterator[Any]:
        """The model with an adapter switched on, or with all of them off."""
        if adapter is not None:
            self._switch_to(adapter)
            yield self._wrapper
        elif self._wrapper is None:
            yield self._base
        else:
            with self._wrapper.disable_adapter():
                yield self._wrapper

    def _switch_to(self, adapter: Adapter) -> None:
        name = _name(adapter)
        if not os.path.isdir(adapter.path):  # PEFT would ask a hub for it
            raise ModelNotFound(f"there is no folder of an adapter at {adapter.path!r}")
        if name not in self.wrapped_adapters:
            self._load(adapter.path, name)
        self._wrapper.set_adapter(name)

    def _load(self, path: str, name: str) -> None:
        peft: Any = extras.load("providers", "peft")
        try:
            if self._wrapper is None:
                config = peft.PeftConfig.from_pretrained(path)
                config.inference_mode = True
                config.base_model_name_or_path = self._base.name_or_path
                self._wrapper = peft.get_peft_model(self._base, config, adapter_name=name).eval()
            loaded = self._wrapper.load_adapter(path, adapter_name=name)
            fault = self._fault(name, loaded)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        if fault is not None:
            raise AdapterFailed(f"the adapter at {path!r} cannot be loaded: {fault}", path=path)

    def _fault(self, name: str, loaded: Any) -> str | None:
        """What is wrong with an adapter that PEFT has loaded: it only warns, or does not look."""
        if loaded.missing_keys or loaded.unexpected_keys:
            lacks, has = len(loaded.missing_keys), len(loaded.unexpected_keys)
            return (
                f"it was made for another model: {lacks} of its weights are missing, and "
                f"{has} have no place in this one"
            )
        for parameter_name, parameter in self._wrapper.named_parameters():
            if f".{name}." in parameter_name and (wrong := first_not_finite(parameter.detach())):
                return f"{parameter_name} has a weight that is {wrong.text}"
        for module in self._wrapper.modules():
            scales = getattr(module, "scaling", None)
            if isinstance(scales, dict) and name in scales:
                scale = self._torch.tensor([scales[name]], dtype=self._torch.float64)
                if wrong := first_not_finite(scale, self._base.dtype):
                    return f"its scale is {wrong.text}"
        return None

    def keep_only(self, adapters: Collection[Adapter]) -> None:
        """Removes from the wrapper what no id stands for any more."""
        kept = set(map(_name, adapters))
        for name in self.wrapped_adapters:
            if name not in kept:
                # The last one cannot be deleted; the model is taken out of the wrapper instead.
                if len(self.wrapped_adapters) == 1:
                    self._base, self._wrapper = self._wrapper.unload(), None
                else:
                    self._wrapper.delete_adapter(name)


class AdapterFailed(ProviderFailed):
    """An adapter cannot be loaded. It may have left parts of itself in the model."""


def _name(adapter: Adapter) -> str:
    # PEFT puts names into paths of modules, where an id of a client could mean anything.
    return f"adapter_{adapter.number}"


def _sampling(generation: Generation, defaults: Sampling) -> dict[str, object]:
    """The arguments of Transformers for a generation."""
    temperature, top_p, penalty = (
        getattr(defaults, name) if (given := getattr(generation, name)) is None else given
        for name in ("temperature", "top_p", "repetition_penalty")
    )
    arguments: dict[str, object] = {"do_sample": temperature > 0}
    if temperature > 0:
        arguments |= {"temperature": max(temperature, LEAST_TEMPERATURE), "top_p": top_p}
    if penalty != 1.0:
        arguments["repetition_penalty"] = penalty
    return arguments


def best_device(torch: Any) -> str:
    """The fastest device of this machine."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else CPU


def free_memory(torch: Any, device: Any) -> int:
    """How many bytes a device that is no CPU has free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(torch.mps.recommended_max_memory())
