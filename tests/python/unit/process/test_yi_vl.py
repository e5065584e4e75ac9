"""Which models have the projector of Yi-VL, tried on a module that is built like vLLM's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from python_worker.process import yi_vl
from python_worker.process.yi_vl_projector import YiVLProjector


class Llava:
    """As vLLM's model: it takes its projector from its module."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        self.prefix = prefix
        if vllm_config.fails:
            raise ValueError("no model")
        self.projector = module.LlavaMultiModalProjector(
            vision_hidden_size=4,
            text_hidden_size=6,
            projector_hidden_act="gelu",
            multimodal_projector_bias=True,
            quant_config=None,
            prefix=prefix,
        )


class Projector:
    """vLLM's."""

    def __init__(self, **_: Any) -> None:
        pass


module = SimpleNamespace(
    LlavaForConditionalGeneration=Llava,
    LlavaMultiModalProjector=Projector,
    get_act_fn={"gelu": torch.nn.GELU()}.__getitem__,
)


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Llava, "__init__", Llava.__init__)
    yi_vl.patch_llava(module)


def config(fails: bool = False, **fields: bool) -> Any:
    model_config = SimpleNamespace(hf_config=SimpleNamespace(**fields))
    return SimpleNamespace(model_config=model_config, fails=fails)


@pytest.mark.parametrize(
    ("fields", "projector"),
    [
        ({}, Projector),
        ({"is_yi_vl_derived_model": False}, Projector),
        ({"is_yi_vl_derived_model": True}, YiVLProjector),
    ],
)
def test_a_model_has_the_projector_that_its_configuration_wants(
    fields: dict[str, bool], projector: type
) -> None:
    made = Llava(vllm_config=config(**fields), prefix="p")
    assert (type(made.projector), made.prefix) == (projector, "p")
    assert module.LlavaMultiModalProjector is Projector


def test_the_next_model_has_its_own_projector_where_one_failed() -> None:
    with pytest.raises(ValueError, match="no model"):
        Llava(vllm_config=config(fails=True, is_yi_vl_derived_model=True))
    assert type(Llava(vllm_config=config()).projector) is Projector
