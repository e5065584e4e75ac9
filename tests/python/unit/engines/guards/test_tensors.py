"""Numbers that are none are found wherever a prompt or a request of vLLM's holds numbers."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from python_worker.engines.guards import tensors
from python_worker.engines.guards.tensors import check_prompt_tensors, check_request_tensors
from python_worker.exceptions import InvalidArgument

NAN = math.nan


def wrong(dtype: Any = torch.float32) -> Any:
    numbers = torch.zeros(2, 3)
    numbers[1, 2] = NAN
    return numbers.to(dtype)


FINE = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ({"prompt_embeds": wrong()}, "prompt.prompt_embeds[1, 2]"),
        ({"type": "embeds", "prompt_embeds": wrong()[None]}, "prompt.prompt_embeds[0, 1, 2]"),
        ({"multi_modal_data": {"image": wrong()}}, "multi_modal_data['image'][1, 2]"),
        ({"multi_modal_data": {"image": [FINE, wrong()]}}, "multi_modal_data['image'][1][1, 2]"),
        (
            {"multi_modal_data": {"image": {"image_embeds": [FINE, wrong(torch.bfloat16)]}}},
            "multi_modal_data['image']['image_embeds'][1][1, 2]",
        ),
        (
            {"multi_modal_data": {"audio": (np.array([0.5, NAN], "f4"), 16000.0)}},
            "multi_modal_data['audio'][0][1]",
        ),
        ({"multi_modal_data": {"audio": [0.5, NAN]}}, "multi_modal_data['audio'][1]: "),
        ({"multi_modal_data": {"audio": ([0.5], NAN)}}, "multi_modal_data['audio'][1]: "),
        (
            {"multi_modal_data": {"video": [(FINE, {"fps": NAN})]}},
            "multi_modal_data['video'][0][1]['fps']: ",
        ),
        ({"mm_processor_kwargs": {"a": [{"rescale": math.inf}]}}, "['a'][0]['rescale']: "),
        ({"media_io_kwargs": {"video": {"fps": NAN}}}, "media_io_kwargs['video']['fps']: "),
        (
            {"encoder_prompt": {"multi_modal_data": {"audio": wrong()}}, "decoder_prompt": "a"},
            "prompt.encoder_prompt.multi_modal_data['audio'][1, 2]",
        ),
        (
            {"encoder_prompt": "a", "decoder_prompt": {"prompt_embeds": wrong()}},
            "prompt.decoder_prompt.prompt_embeds[1, 2]",
        ),
    ],
)
async def test_a_number_that_is_none_is_named(prompt: Any, named: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await check_prompt_tensors(prompt, torch.float32)
    assert named in str(caught.value)
    assert ": wants a finite number, got " in str(caught.value)
    assert str(caught.value).startswith(str(caught.value.details["parameter"]))


@pytest.mark.parametrize(
    "prompt",
    [
        "nan",
        [1, 2],
        {"prompt": "nan", "prompt_token_ids": [1]},
        {"prompt_embeds": FINE, "multi_modal_data": None},
        {"multi_modal_data": {"image": [torch.ones(2, dtype=torch.uint8), None, "uuid", b"png"]}},
        {"multi_modal_data": {"audio": (np.ones(4), 16000.0)}},
        {"encoder_prompt": "a", "decoder_prompt": None},
    ],
)
async def test_other_prompts_pass(prompt: Any) -> None:
    await check_prompt_tensors(prompt, torch.float16)


async def test_embeddings_have_to_be_finite_in_the_models_dtype() -> None:
    large = {"prompt_embeds": torch.full((1, 2), 1e38)}
    await check_prompt_tensors(large, torch.bfloat16)
    with pytest.raises(InvalidArgument, match="1e\\+38, which is infinite as float16"):
        await check_prompt_tensors(large, torch.float16)


async def test_no_depth_is_too_deep() -> None:
    deep: Any = wrong()
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidArgument, match="finite number"):
        await check_prompt_tensors({"multi_modal_data": {"image": deep}}, torch.float32)


def request(embeds: Any = None, *features: Any) -> Any:
    return SimpleNamespace(prompt_embeds=embeds, mm_features=list(features) or None)


def feature(data: Any) -> Any:
    return SimpleNamespace(modality="image", mm_hash="h", data=data)


def element(data: Any) -> Any:
    return SimpleNamespace(data=data)


async def test_what_vllm_makes_of_a_prompt_is_looked_at() -> None:
    await check_request_tensors(request(FINE, feature(None)), torch.float32)
    await check_request_tensors(request(None, feature({"pixels": element([FINE])})), torch.float32)
    for made, named in (
        (request(wrong()), "prompt.prompt_embeds[1, 2]"),
        (
            request(None, feature(None), feature({"pixels": element([FINE, wrong()])})),
            "prompt.multi_modal_data['image'].pixels[1][1, 2]",
        ),
        (request(None, feature({"fps": element(NAN)})), "['image'].fps: "),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await check_request_tensors(made, torch.float32)
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "on_loop"),
    [
        ({"prompt_embeds": FINE}, True),
        ({"prompt_embeds": torch.zeros(2, 6)}, False),
        # How much it is would have to be found out first.
        ({"multi_modal_data": {"image": FINE}}, False),
        ({"encoder_prompt": {"prompt_embeds": FINE}, "decoder_prompt": None}, False),
    ],
)
async def test_what_is_large_or_may_be_is_checked_off_the_loop(
    prompt: Any, on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def look(numbers: Any, dtype: Any) -> None:
        threads.append(threading.current_thread())

    monkeypatch.setattr(tensors, "first_not_finite", look)
    monkeypatch.setattr(tensors, "OFF_LOOP_BYTES", 2 * FINE.nbytes)
    await check_prompt_tensors(prompt, None)
    assert [it is threading.main_thread() for it in threads] == [on_loop]


async def test_what_vllm_made_is_checked_off_the_loop_where_it_is_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def look(numbers: Any, dtype: Any) -> None:
        threads.append(threading.current_thread())

    monkeypatch.setattr(tensors, "first_not_finite", look)
    monkeypatch.setattr(tensors, "OFF_LOOP_BYTES", 2 * FINE.nbytes)
    for features in (1, 2):
        made = [feature({"pixels": element([FINE])})] * features
        await check_request_tensors(request(None, *made), None)
    assert [it is threading.main_thread() for it in threads] == [True, False, False]
