"""The documented interface of llama-cpp-python, with a model that says what it was asked.

For tests of what the worker does with that library, which has to be compiled to be installed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOAD_FAILS = "no model"
DECODE_FAILS = "fail"
ENDS_PROCESS = "abort"
ENDLESS = "endless"
STARTED = ".started"  # after the model's name, for a file that an endless text makes


class StoppingCriteriaList(list[Callable[[Any, Any], bool]]):
    """Asked after each token."""

    def __call__(self, input_ids: Any, logits: Any) -> bool:
        """Whether the text is to end."""
        return any(it(input_ids, logits) for it in self)


class Llama:
    """A model that is loaded."""

    def __init__(
        self,
        model_path: str,
        *,
        n_gpu_layers: int = 0,
        n_ctx: int = 512,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        lora_path: str | None = None,
        verbose: bool = True,
    ) -> None:
        if LOAD_FAILS in Path(model_path).read_text():
            raise ValueError(f"Failed to load model from file: {model_path}")
        if lora_path is not None and LOAD_FAILS in Path(lora_path).read_text():
            raise RuntimeError(f"Failed to initialize LoRA adapter from lora path: {lora_path}")
        self._n_ctx, self._started = n_ctx, Path(model_path + STARTED)
        self._loaded = {
            "n_gpu_layers": n_gpu_layers,
            "n_threads": [n_threads, n_threads_batch],
            "lora": None if lora_path is None else Path(lora_path).read_text(),
            "verbose": verbose,
        }

    def create_completion(
        self,
        prompt: str,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        stop: list[str] | None = None,
        repeat_penalty: float = 1.0,
        seed: int | None = None,
        stopping_criteria: StoppingCriteriaList | None = None,
    ) -> dict[str, Any]:
        """Says what it was asked, or does what the prompt says."""
        tokens = prompt.split()
        if len(tokens) >= self._n_ctx:
            raise ValueError(
                f"Requested tokens ({len(tokens)}) exceed context window of {self._n_ctx}"
            )
        if prompt == DECODE_FAILS:
            raise RuntimeError("llama_decode returned -3")
        if prompt == ENDS_PROCESS:
            os.abort()
        if prompt == ENDLESS:
            self._started.touch()
        assert stopping_criteria is not None
        while not stopping_criteria(tokens, None) and prompt == ENDLESS:
            time.sleep(0.001)
        asked = {
            "prompt": prompt,
            "max_tokens": max_tokens,
            "sampling": [temperature, top_p, repeat_penalty],
            "stop": stop,
        }
        text = json.dumps({**self._loaded, **asked, "seeded": seed is not None})
        count = {"prompt_tokens": len(tokens), "completion_tokens": 2, "total_tokens": 7}
        return {
            "object": "text_completion",
            "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": "length"}],
            "usage": count,
        }
