"""Adapters that do not fit or hold numbers that are none, on a real engine.

A load that fails leaves its id what it was, and the requests of others stay exact.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.adapters import WEIGHTS_FILE
from tests.python.support.client import Failed, sampling
from tests.python.support.shared_engine import SharedEngine, edited, pair, repeated, salts
from tests.python.support.worker import Worker

#: Adapters that do not load, and what the error says.
CAUSES = {
    "broken-nan": "layers.1.self_attn.o_proj.lora_B.weight[3, 5]: wants a finite number, got nan",
    "broken-infinity": "lora_A.weight[3, 5]: wants a finite number, got inf",
    "broken-alpha": "make the factor nan",
    "broken-scale": "make the factor 1.25e+299",
    "broken-flat": "o_proj: lora_A and lora_B want the shapes [rank, inputs]",
    "broken-half": "layers.1.self_attn.o_proj: lora_B is missing, only lora_A is there",
    "broken-pair": "want the shapes [rank, inputs] and [outputs, rank], got [4, ",
    "broken-narrow": "shapes [8, 16] of lora_A and [16, 8] of lora_B must match the layer's",
    "broken-prefix": "the adapter has transformer.h.*.self_attn.o_proj; the model takes ",
    "broken-rank": "rank 1024 is greater than max_lora_rank",
    "broken-weights": "header",
}


@pytest.mark.parametrize("name", CAUSES)
async def test_a_load_that_fails_leaves_an_id_what_it_was(shared: SharedEngine, name: str) -> None:
    beside = asyncio.ensure_future(shared.assert_exact(2))
    for before in (None, "meow"):
        if before is not None:
            assert await shared.add(1, before)
        broken = shared.lora(1, name, load_inplace=before is not None)
        for in_request in (False, True):
            load = shared.said(broken) if in_request else shared.load(broken)
            with pytest.raises(Failed, match="INVALID") as caught:
                await load
            assert CAUSES[name] in str(caught.value)
            assert await shared.loaded() == ({1} if before else set())
        if before is not None:
            assert await shared.said(shared.lora(1, before)) == repeated(before)
    # The id is free for another one.
    assert await shared.said(shared.lora(1, "woof", load_inplace=True)) == repeated("woof")
    await beside


@pytest.mark.parametrize("pinned", [False, True])
async def test_adapters_that_gave_way_to_one_that_fails_are_back(
    shared: SharedEngine, pinned: bool
) -> None:
    for lora_id, word in ((1, "meow"), (2, "woof")):
        await shared.add(lora_id, word)
    if pinned:
        await shared.client.call(shared.ref, "pin_lora", 1)
    for lora_id, inplace in ((3, False), (1, True), (2, True)):
        with pytest.raises(Failed, match="size of tensor"):
            await shared.add(lora_id, unchecked(shared), load_inplace=inplace)
        assert await shared.loaded() == {1, 2}
    # A pin that was lost would let the first one go now.
    await shared.add(4, "one")
    assert await shared.loaded() == ({1, 4} if pinned else {2, 4})
    kept = (1, "meow") if pinned else (2, "woof")
    assert await shared.said(shared.lora(*kept)) == repeated(kept[1])


def unchecked(shared: SharedEngine) -> str:
    """An adapter that passes all checks and fails while it is copied to its slot.

    Whether the head's part fits the vocabulary is seen only there.
    """
    return edited(shared, "too-many-tokens", lambda lora_a: pair("lm_head", lora_a, 100_000))


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_folder_with_other_weights_does_not_answer_from_the_old_ones_cache(
    shared: SharedEngine, in_place: bool
) -> None:
    folder = shared.folder / f"trained-{in_place}"
    shutil.copytree(shared.path("meow"), folder)
    # Longer than a block, so that its beginning is cached.
    prompt = "count " * 70

    async def logprobs(**salt: str) -> Any:
        params = sampling(temperature=0.0, max_tokens=1, logprobs=3)
        last = await shared.client.generate(
            shared.ref, {"prompt": prompt, **salt}, params, lora_request=shared.lora(1, str(folder))
        )
        (position,) = last.outputs[0].logprobs
        return {token: it.logprob for token, it in position.items()}, last.num_cached_tokens

    await logprobs()
    _, cached = await logprobs()
    assert cached > 0
    shutil.copy(Path(shared.path("woof")) / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    if in_place:
        await shared.add(1, str(folder), load_inplace=True)
    else:
        await shared.client.call(shared.ref, "remove_lora", 1)
    anew, _ = await logprobs(cache_salt=next(salts))
    again, cached = await logprobs()
    assert cached == 0
    assert again == pytest.approx(anew, abs=1e-4)
    _, cached = await logprobs()
    assert cached > 0


async def test_loads_of_one_id_at_once_leave_one_that_is_whole(shared: SharedEngine) -> None:
    names = ["meow", "broken-flat", "woof", "broken-nan"] * 4
    adds = [shared.add(1, name, load_inplace=True) for name in names]
    results = await asyncio.gather(*adds, return_exceptions=True)
    assert [isinstance(it, Failed) for it in results] == [False, True] * 8
    # Which of the calls the worker gets last is open: each is a gRPC call of its own.
    lora = shared.lora(1, "meow")
    said = await shared.said(lora)
    assert said in (repeated("meow"), repeated("woof"))
    assert await asyncio.gather(*(shared.said(lora) for _ in range(8))) == [said] * 8


async def test_of_loads_of_one_session_the_last_one_counts(shared: SharedEngine) -> None:
    names = ["meow", "broken-flat", "woof", "broken-nan"] * 4
    async with shared.client.session() as session:
        loads = [
            await session.start(shared.ref, "add_lora", shared.lora(1, name, load_inplace=True))
            for name in names
        ]
        results = await asyncio.gather(*(it.value() for it in loads), return_exceptions=True)
    assert [isinstance(it, Failed) for it in results] == [False, True] * 8
    assert await shared.said(shared.lora(1, "meow")) == repeated("woof")


async def test_a_deadline_in_the_middle_of_a_load_leaves_an_id_what_it_was(
    shared: SharedEngine,
) -> None:
    await shared.add(1, "meow")
    for name in ("broken-flat", unchecked(shared)):
        broken = shared.lora(1, name, load_inplace=True)
        with pytest.raises(Failed):
            await shared.client.call(shared.ref, "add_lora", broken, timeout_ms=1)
        assert await shared.said(shared.lora(1, "meow")) == repeated("meow")


async def test_a_folder_that_is_gone_leaves_an_id_what_it_was(shared: SharedEngine) -> None:
    folder = shared.folder / "vanishing"
    shutil.copytree(shared.path("meow"), folder)
    await shared.add(1, str(folder))
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(Failed, match="INVALID"):
        await shared.add(1, str(folder), load_inplace=True)
    shutil.rmtree(folder)
    with pytest.raises(Failed, match="NOT_FOUND"):
        await shared.add(1, str(folder), load_inplace=True)
    assert await shared.said(shared.lora(1, str(folder))) == repeated("meow")


async def test_a_pin_that_fails_leaves_everything_as_it_was(shared: SharedEngine) -> None:
    for lora_id, word in ((1, "meow"), (2, "woof")):
        await shared.add(lora_id, word)
    with pytest.raises(Failed, match="NOT_FOUND"):
        await shared.client.call(shared.ref, "pin_lora", 3)
    assert await shared.loaded() == {1, 2}
    assert await shared.said(shared.lora(1, "meow")) == repeated("meow")


async def test_numbers_that_overflow_in_the_model_harm_nobody_else(shared: SharedEngine) -> None:
    def more(lora_a: Any) -> dict[str, Any]:
        large = np.full_like(lora_a, 1e25)
        pairs = [pair(f"model.layers.0.self_attn.{it}_proj", large, 1) for it in "qk"]
        return {
            name: tensor if "lora_A" in name else np.full((outputs(name), 8), 1e5, np.float32)
            for tensors in pairs
            for name, tensor in tensors.items()
        }

    def outputs(name: str) -> int:
        config = json.loads((shared.model.path / "config.json").read_text())
        heads = "num_attention_heads" if "q_proj" in name else "num_key_value_heads"
        return int(config[heads] * config["head_dim"])

    path = edited(shared, "overflowing", more)
    for _ in range(4):
        await asyncio.gather(shared.said(shared.lora(1, path)), shared.assert_exact(4))
    # Nobody has refused it: what it is asked for is its own noise.
    assert await shared.loaded() == {1}


@pytest.mark.parametrize("file", ["adapter_model.bin", "adapter_model.pt", WEIGHTS_FILE])
@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
async def test_weights_of_every_file_and_dtype_are_checked(
    shared: SharedEngine, file: str, dtype: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = shared.folder / f"{dtype}-{file}"
    shutil.copytree(shared.path("meow"), folder)
    tensors = load_file(folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).unlink()
    save = save_file if file == WEIGHTS_FILE else torch.save
    for wrong in (False, True):
        if wrong:
            list(tensors.values())[-1][3, 5] = math.nan
        save({name: it.to(getattr(torch, dtype)) for name, it in tensors.items()}, folder / file)
        if wrong:
            with pytest.raises(Failed, match=r"\[3, 5\]: wants a finite number, got nan"):
                await shared.add(1, str(folder), load_inplace=True)
        else:
            await shared.add(1, str(folder))
        assert await shared.said(shared.lora(1, str(folder))) == repeated("meow")


async def test_what_of_an_adapter_is_not_used_is_told_in_the_log(
    shared: SharedEngine, vllm_worker: Worker
) -> None:
    def more(lora_a: Any) -> dict[str, Any]:
        layer = pair("model.layers.7.self_attn.o_proj", lora_a, lora_a.shape[1])
        return {**layer, "base_model.model.lm_head.base_layer.weight": lora_a}

    path = edited(shared, "partly-used", more, targets=("o_proj", "q_proj"))
    assert await shared.said(shared.lora(1, path)) == repeated("meow")
    log = [line for line in vllm_worker.log.read_text().splitlines() if path in line]
    told = [line for line in log if "WARNING" in line and "is used in part only" in line]
    for what in (
        "modules that the model does not have: model.layers.*.self_attn.o_proj",
        "tensors of the base model itself are not loaded: base_model.model.lm_head.base_layer",
        "target_modules in adapter_config.json without weights: q_proj",
    ):
        assert any(what in line for line in told), log


@pytest.mark.parametrize("in_request", [False, True])
async def test_what_of_an_adapter_is_not_used_is_told_to_every_session(
    shared: SharedEngine, in_request: bool
) -> None:
    def more(lora_a: Any) -> dict[str, Any]:
        layer = pair("model.layers.7.self_attn.o_proj", lora_a, lora_a.shape[1])
        return {**layer, "base_model.model.lm_head.base_layer.weight": lora_a}

    path = edited(shared, f"partly-told-{in_request}", more, targets=("o_proj", "q_proj"))
    whole, partly = shared.lora(1, "woof"), shared.lora(2, path, lora_name="partly")
    async with shared.client.session() as session:
        for lora in (whole, partly, partly):
            await (shared.said(lora) if in_request else shared.load(lora))
        await session.wait_for(lambda: bool(session.notices))
    # Once, and nothing of the one that is used as a whole.
    (notice,) = session.notices
    told = notice.adapter_partly_used
    assert told.ref == shared.ref.id
    assert (told.lora_name, told.lora_int_id, told.lora_path) == ("partly", 2, path)
    assert told.unknown_modules == ["model.layers.*.self_attn.o_proj"]
    assert told.base_tensors == ["base_model.model.lm_head.base_layer.weight"]
    assert told.empty_targets == ["q_proj"]
    assert "model.layers.*.self_attn.q_proj" in told.model_modules
