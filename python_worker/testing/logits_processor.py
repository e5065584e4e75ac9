"""A logits processor that a test can see the effect of: it leaves one token.

An engine gets it by its name::

    logits_processors=["python_worker.testing.logits_processor:OnlyToken"]

and a request asks for it with ``extra_args={"target_token": 65}``. Others are left alone. vLLM
imports this module in its own processes, so this is the one of ``testing`` that imports vLLM.
"""

from __future__ import annotations

import torch
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.logits_process import LogitsProcessor
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

ARGUMENT = "target_token"


class OnlyToken(AdapterLogitsProcessor):  # type: ignore[misc]
    """Makes every token of a request the one it names."""

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuses a target that is no token, before the request reaches the engine."""
        target = (sampling_params.extra_args or {}).get(ARGUMENT)
        if target is None:
            return
        if type(target) is not int or target < 0:
            raise VLLMValidationError(f"{ARGUMENT} wants a token id, got {target!r}")

    def is_argmax_invariant(self) -> bool:
        """Tells that greedy decoding is affected as well."""
        return False

    def new_req_logits_processor(self, params: SamplingParams) -> LogitsProcessor | None:
        """Returns what masks the logits of one request, or None for a request without a target."""
        target = (params.extra_args or {}).get(ARGUMENT)
        if target is None:
            return None

        def mask(_output_ids: list[int], logits: torch.Tensor) -> torch.Tensor:
            # Beyond the vocabulary there is nothing to leave, and an error here ends the engine.
            if target >= logits.shape[-1]:
                return logits
            kept = logits[target].item()
            logits.fill_(float("-inf"))
            logits[target] = kept
            return logits

        return mask
