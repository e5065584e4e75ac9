"""Gives models that LLaMA-Factory derives from Yi-VL the projector that they were trained with.

Such a model says of itself that it is a LLaVA, but its projector has a norm after each of its two
layers. LLaMA-Factory replaces vLLM's class for it. That does not reach the process in which vLLM
runs the model, and its class takes other arguments than those of this vLLM.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

LLAVA: Final = "vllm.model_executor.models.llava"

#: In the configuration of such a model.
FLAG: Final = "is_yi_vl_derived_model"


def patch_llava(module: Any) -> None:
    """Patches vLLM's module of LLaVA."""
    model = module.LlavaForConditionalGeneration
    model.__init__ = with_projector(module, model.__init__)


def with_projector(module: Any, init: Callable[..., None]) -> Callable[..., None]:
    """Returns the constructor, changed to take another projector where the model wants it."""

    @functools.wraps(init)
    def patched(self: Any, *, vllm_config: Any, prefix: str = "") -> None:
        if not getattr(vllm_config.model_config.hf_config, FLAG, False):
            init(self, vllm_config=vllm_config, prefix=prefix)
            return
        from python_worker.process.yi_vl_projector import YiVLProjector

        own = module.LlavaMultiModalProjector
        module.LlavaMultiModalProjector = functools.partial(YiVLProjector, module.get_act_fn)
        try:
            init(self, vllm_config=vllm_config, prefix=prefix)
        finally:
            module.LlavaMultiModalProjector = own

    return patched
