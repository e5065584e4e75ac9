"""VLLM's LLM with a second way to each method: what it returns in process, as plain data.

It is served beside ``reference_engine``'s. A test compares what comes over the bridge with what the
same object, and so the same engine, returns here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm import LLM
from vllm.inputs import PromptType
from vllm.pooling_params import PoolingParams
from vllm.sampling_params import BeamSearchParams, SamplingParams

from tests.python.support.media import read_media


class ReferenceLLM(LLM):  # type: ignore[misc]
    """See the module's documentation. Each method calls vLLM's own, past the guards."""

    def generate_in_process(
        self,
        prompts: PromptType | Sequence[PromptType],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
    ) -> Any:
        """As ``generate``."""
        if isinstance(sampling_params, SamplingParams):
            sampling_params.skip_clone = False  # the worker sets it, and no user of Python's
        return plain(LLM.generate(self, prompts, sampling_params, use_tqdm=False))

    def chat_in_process(
        self, messages: list[Any], sampling_params: SamplingParams, **kwargs: Any
    ) -> Any:
        """As ``chat``."""
        sampling_params.skip_clone = False
        return plain(LLM.chat(self, messages, sampling_params, use_tqdm=False, **kwargs))

    def media_in_process(
        self,
        prompts: list[dict[str, Any]],
        files: list[dict[str, list[str]]],
        sampling_params: SamplingParams,
    ) -> Any:
        """As ``generate``, of prompts with files that Python's libraries read."""
        given = [
            {
                **prompt,
                "multi_modal_data": {
                    kind: [read_media(kind, path) for path in paths] for kind, paths in it.items()
                },
            }
            for prompt, it in zip(prompts, files, strict=True)
        ]
        return self.generate_in_process(given, sampling_params)

    def beam_search_in_process(self, prompts: list[Any], params: BeamSearchParams) -> Any:
        """As ``beam_search``."""
        return plain(LLM.beam_search(self, prompts, params))

    def pool_in_process(self, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """As ``encode``, ``embed``, ``classify`` or ``score``."""
        if "pooling_params" in kwargs:
            kwargs["pooling_params"] = PoolingParams(**kwargs["pooling_params"])
        return plain(getattr(LLM, method)(self, *args, use_tqdm=False, **kwargs))


def plain(value: Any) -> Any:
    """A value as plain data: objects by their public fields, tensors as lists."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        return value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if type(value).__name__ == "FlatLogprobs":
        return [plain(position) for position in value]
    names = getattr(value, "__struct_fields__", None) or vars(value)
    return {name: plain(getattr(value, name)) for name in names if name[0] != "_"}
