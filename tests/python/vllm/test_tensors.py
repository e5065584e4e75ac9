"""Embeddings and other tensors of requests with numbers that are none.

Requests of others stay exact, before, beside and after. The engine has few blocks of KV cache, so
that one that holds NaN would soon be another request's.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest

from python_worker.engines.guards.tensors import FIELDS, PROMPTS, check_request_tensors
from python_worker.exceptions import InvalidArgument
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Failed, sampling
from tests.python.support.shared_engine import SharedEngine
from tests.python.support.values import Tensor

ROWS = 40


def embeddings(model: ScriptedModel, dtype: str, wrong: float) -> Tensor:
    hidden = json.loads((model.path / "config.json").read_text())["hidden_size"]
    numbers = np.zeros((ROWS, hidden), dtype)
    numbers[7, 5] = wrong
    return Tensor(dtype, numbers.shape, numbers.tobytes())


# --- Embeddings ---


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        ("float32", math.nan, "nan"),
        ("float32", math.inf, "inf"),
        ("float16", -math.inf, "-inf"),
        ("float64", math.nan, "nan"),
        ("float64", 1e300, "1e+300, which is infinite as float32"),
    ],
)
async def test_embeddings_that_are_no_numbers_are_refused_and_harm_nobody(
    shared: SharedEngine, dtype: str, value: float, said: str
) -> None:
    beside = asyncio.ensure_future(shared.assert_exact(4))
    prompt = {"prompt_embeds": embeddings(shared.model, dtype, value)}
    for n in (1, 2):
        with pytest.raises(Failed) as caught:
            await shared.client.items(shared.ref, "generate", prompt, sampling(n=n), "r")
        assert caught.value.kind == "INVALID"
        message = f"prompt.prompt_embeds[7, 5]: wants a finite number, got {said}"
        assert message in str(caught.value)
        assert caught.value.details["position"] == [7, 5]
    await beside


async def test_embeddings_that_are_numbers_are_answered(shared: SharedEngine) -> None:
    prompt = {"prompt_embeds": embeddings(shared.model, "float32", 1.0)}
    last = await shared.client.generate(shared.ref, prompt, sampling(max_tokens=4))
    assert len(last.outputs[0].token_ids) == 4


# --- Images, videos and sounds, by vLLM's own classes ---

#: Fields of vLLM's prompts that hold no numbers of which a model computes.
OTHER_FIELDS = {
    *(
        "type",
        "prompt",
        "prompt_token_ids",
        "encoder_prompt_token_ids",
        "prompt_token_offsets",
        "prompt_is_token_ids",
    ),
    *("is_token_ids", "token_type_ids", "multi_modal_uuids", "cache_salt", "arrival_time"),
    # Of ``DataPrompt``, which is for plugins and not for AsyncLLM.
    *("data", "data_format"),
    # Made by vLLM's renderer alone; checked on the way to EngineCore.
    *("mm_kwargs", "mm_hashes", "mm_placeholders"),
}


def test_every_field_of_vllms_prompts_is_checked_or_holds_no_numbers() -> None:
    import typing_extensions
    from vllm import inputs
    from vllm.inputs import engine, llm

    found = {
        field
        for module in (inputs, engine, llm)
        for cls in vars(module).values()
        if typing_extensions.is_typeddict(cls) and "Builtins" not in cls.__name__
        for field in cls.__annotations__
    }
    assert "prompt_embeds" in found
    assert found - OTHER_FIELDS - {*FIELDS, *PROMPTS} == set()


async def test_what_vllms_processors_make_is_checked_on_its_way_to_engine_core() -> None:
    import torch
    from vllm.multimodal.inputs import (
        MultiModalBatchedField,
        MultiModalFeatureSpec,
        MultiModalFieldElem,
        MultiModalKwargsItem,
        PlaceholderRange,
    )
    from vllm.v1.engine import EngineCoreRequest

    def request(pixels: Any) -> Any:
        element = MultiModalFieldElem(data=pixels, field=MultiModalBatchedField())
        feature = MultiModalFeatureSpec(
            data=MultiModalKwargsItem({"pixel_values": element}),
            modality="image",
            identifier="i",
            mm_position=PlaceholderRange(offset=0, length=1),
            mm_hash="h",
        )
        return EngineCoreRequest(
            request_id="r",
            prompt_token_ids=[1],
            mm_features=[feature],
            sampling_params=None,
            pooling_params=None,
            arrival_time=0.0,
            lora_request=None,
            cache_salt=None,
            data_parallel_rank=None,
        )

    pixels = torch.zeros(3, 4, dtype=torch.float16)
    await check_request_tensors(request([pixels]), torch.float16)
    pixels[1, 2] = math.inf
    with pytest.raises(InvalidArgument, match=r"\['image'\]\.pixel_values\[0\]\[1, 2\]: wants"):
        await check_request_tensors(request([pixels]), torch.float16)
