"""Renderers of engines, and names of what answers: of the model, of an adapter, of classes."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.pooling import vllm_parts
from python_worker.pooling.poolings import Poolings, adapter, labels_of


def engine(**model: Any) -> Any:
    return SimpleNamespace(model_config=SimpleNamespace(**model))


def test_a_batch_is_answered_by_the_model_or_by_one_adapter() -> None:
    one = engine(served_model_name="served")
    assert adapter(one, None, None) == (None, "served")
    assert adapter(engine(served_model_name=["first", "second"]), None, None) == (None, "first")
    lora = {"lora_name": "a"}
    assert adapter(one, None, lora) == (lora, "a")
    assert adapter(one, None, [lora, None]) == ([lora, None], "served")
    assert adapter(object(), None, None) == (None, "")


def test_an_adapter_is_given_once_and_by_name_where_names_are_known() -> None:
    with pytest.raises(InvalidArgument, match="not both"):
        adapter(engine(), "a", {"lora_name": "b"})
    with pytest.raises(Unsupported, match="none of vLLM's"):
        adapter(object(), "a", None)


def test_classes_have_names_where_the_model_has_them() -> None:
    named = engine(hf_config=SimpleNamespace(id2label={1: "bad", 0: "good"}))
    assert labels_of(named, 2) == ["good", "bad"]
    assert labels_of(named, 3) is None
    assert labels_of(engine(), 2) is None
    assert labels_of(object(), 2) is None


class Engine:
    """An engine that embeds, of vLLM's or of another maker."""

    def __init__(self, *, of_vllm: bool) -> None:
        if of_vllm:
            self.renderer = SimpleNamespace(tokenizer="tokenizer")
            self.model_config = SimpleNamespace(get_pooling_task=lambda tasks: tasks[0])

    async def get_supported_tasks(self) -> list[str]:
        return ["embed"]

    async def encode(self, prompt: str) -> None: ...


async def abort(_engine: Any, _ids: Any) -> None: ...


@pytest.mark.parametrize("of_vllm", [True, False])
async def test_a_renderer_is_made_once_and_keeps_no_engine_alive(
    monkeypatch: pytest.MonkeyPatch, of_vllm: bool
) -> None:
    for name in ("io_processors", "plain_processor", "score_type"):
        monkeypatch.setattr(vllm_parts, name, lambda *_: None)
    poolings, engine = Poolings(abort), Engine(of_vllm=of_vllm)
    tasks, renderer = await poolings._renderer(engine)
    assert tasks == ("embed",)
    assert (await poolings._renderer(engine))[1] is renderer
    del renderer
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


async def test_an_engine_without_a_tokenizer_is_refused() -> None:
    engine = Engine(of_vllm=True)
    engine.renderer.tokenizer = None
    with pytest.raises(Unsupported, match="this one skipped it: call encode"):
        await Poolings(abort)._renderer(engine)
