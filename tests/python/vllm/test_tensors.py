"""Embeddings and adapters with numbers that are none, and adapters that do not fit.

Requests of others stay exact, before, beside and after. The engine has few blocks of KV cache, so
that one that holds NaN would soon be another request's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_worker.engines.guards.tensors import FIELDS, PROMPTS, check_request_tensors
from python_worker.exceptions import InvalidArgument
from python_worker.testing.models.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref, Tensor
from tests.python.support.worker import Worker

TOKENS = 24
ROWS = 40

salts = map(str, itertools.count())

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


class Engine:
    """The engine, and what must be true of it."""

    def __init__(self, client: Client, ref: Ref, model: ScriptedModel, folder: Path) -> None:
        self.client, self.ref, self.model, self.folder = client, ref, model, folder

    def path(self, name: str) -> str:
        return str(adapter(self.folder / name, name))

    def lora(self, lora_id: int, name: str, **fields: object) -> Record:
        """A request for an adapter: by its name, or in a folder."""
        path = name if "/" in name else self.path(name)
        given = {"lora_name": str(lora_id), "lora_int_id": lora_id, "lora_path": path, **fields}
        return Record("LoRARequest", given)

    async def load(self, lora_request: Record) -> Any:
        return await self.client.call(self.ref, "add_lora", lora_request)

    async def add(self, *args: Any, **kwargs: Any) -> Any:
        return await self.load(self.lora(*args, **kwargs))

    async def loaded(self) -> set[int]:
        return set(await self.client.call(self.ref, "list_loras"))

    async def said(self, lora_request: Record | None = None) -> str:
        """What it answers, without a prefix that is cached."""
        prompt = {"prompt": "count", "cache_salt": next(salts)}
        params = sampling(temperature=0.0, max_tokens=TOKENS)
        last = await self.client.generate(self.ref, prompt, params, lora_request=lora_request)
        return str(last.outputs[0].text)

    async def assert_exact(self, count: int = 8) -> None:
        """All of so many requests at once are answered by the script."""
        expected = self.model.expected_text("count", TOKENS)
        assert await asyncio.gather(*(self.said() for _ in range(count))) == [expected] * count


@pytest.fixture
async def tried(
    vllm_client: Client,
    embedding_engine: Ref,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Engine]:
    """The engine. After the test every block has been used by exact requests."""
    folder = tmp_path_factory.getbasetemp() / "adapters"
    engine = Engine(vllm_client, embedding_engine, model, folder)
    yield engine
    for lora_id in await engine.loaded():
        await engine.client.call(engine.ref, "remove_lora", lora_id)
    for _ in range(3):
        await engine.assert_exact()


def embeddings(model: ScriptedModel, dtype: str, wrong: float) -> Tensor:
    hidden = json.loads((model.path / "config.json").read_text())["hidden_size"]
    numbers = np.zeros((ROWS, hidden), dtype)
    numbers[7, 5] = wrong
    return Tensor(dtype, numbers.shape, numbers.tobytes())


def repeated(word: str) -> str:
    return f" {word}" * TOKENS


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
    tried: Engine, dtype: str, value: float, said: str
) -> None:
    beside = asyncio.ensure_future(tried.assert_exact(4))
    prompt = {"prompt_embeds": embeddings(tried.model, dtype, value)}
    for n in (1, 2):
        with pytest.raises(Failed) as caught:
            await tried.client.items(tried.ref, "generate", prompt, sampling(n=n), "r")
        assert caught.value.kind == "INVALID"
        message = f"prompt.prompt_embeds[7, 5]: wants a finite number, got {said}"
        assert message in str(caught.value)
        assert caught.value.details["position"] == [7, 5]
    await beside


async def test_embeddings_that_are_numbers_are_answered(tried: Engine) -> None:
    prompt = {"prompt_embeds": embeddings(tried.model, "float32", 1.0)}
    last = await tried.client.generate(tried.ref, prompt, sampling(max_tokens=4))
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


# --- Adapters ---


@pytest.mark.parametrize("name", CAUSES)
async def test_a_load_that_fails_leaves_an_id_what_it_was(tried: Engine, name: str) -> None:
    beside = asyncio.ensure_future(tried.assert_exact(2))
    for before in (None, "meow"):
        if before is not None:
            assert await tried.add(1, before)
        broken = tried.lora(1, name, load_inplace=before is not None)
        for in_request in (False, True):
            load = tried.said(broken) if in_request else tried.load(broken)
            with pytest.raises(Failed, match="INVALID") as caught:
                await load
            assert CAUSES[name] in str(caught.value)
            assert await tried.loaded() == ({1} if before else set())
        if before is not None:
            assert await tried.said(tried.lora(1, before)) == repeated(before)
    # The id is free for another one.
    assert await tried.said(tried.lora(1, "woof", load_inplace=True)) == repeated("woof")
    await beside


@pytest.mark.parametrize("pinned", [False, True])
async def test_adapters_that_gave_way_to_one_that_fails_are_back(
    tried: Engine, pinned: bool
) -> None:
    for lora_id, word in ((1, "meow"), (2, "woof")):
        await tried.add(lora_id, word)
    if pinned:
        await tried.client.call(tried.ref, "pin_lora", 1)
    for lora_id, inplace in ((3, False), (1, True), (2, True)):
        with pytest.raises(Failed, match="size of tensor"):
            await tried.add(lora_id, unchecked(tried), load_inplace=inplace)
        assert await tried.loaded() == {1, 2}
    # A pin that was lost would let the first one go now.
    await tried.add(4, "one")
    assert await tried.loaded() == ({1, 4} if pinned else {2, 4})
    kept = (1, "meow") if pinned else (2, "woof")
    assert await tried.said(tried.lora(*kept)) == repeated(kept[1])


def unchecked(tried: Engine) -> str:
    """An adapter that passes all checks and fails while it is copied to its slot.

    Whether the head's part fits the vocabulary is seen only there.
    """
    return edited(tried, "too-many-tokens", lambda lora_a: pair("lm_head", lora_a, 100_000))


def pair(module: str, lora_a: Any, outputs: int) -> dict[str, Any]:
    """Weights for a module, as many inputs as those of another."""
    name = f"base_model.model.{module}.lora_"
    lora_b = np.zeros((outputs, len(lora_a)), np.float32)
    return {f"{name}A.weight": lora_a, f"{name}B.weight": lora_b}


def edited(
    tried: Engine,
    name: str,
    more: Callable[[Any], dict[str, Any]],
    targets: tuple[str, ...] = ("o_proj",),
) -> str:
    """The adapter "meow" with more tensors, which are made from one of its ``lora_A``."""
    from safetensors.numpy import load_file, save_file

    folder = tried.folder / name
    shutil.copytree(tried.path("meow"), folder, dirs_exist_ok=True)
    meow = load_file(folder / WEIGHTS_FILE)
    lora_a = next(tensor for name, tensor in meow.items() if "lora_A" in name)
    save_file({**meow, **more(lora_a)}, folder / WEIGHTS_FILE)
    config = json.loads((folder / CONFIG_FILE).read_text()) | {"target_modules": targets}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_folder_with_other_weights_does_not_answer_from_the_old_ones_cache(
    tried: Engine, in_place: bool
) -> None:
    folder = tried.folder / f"trained-{in_place}"
    shutil.copytree(tried.path("meow"), folder)
    # Longer than a block, so that its beginning is cached.
    prompt = "count " * 70

    async def logprobs(**salt: str) -> Any:
        params = sampling(temperature=0.0, max_tokens=1, logprobs=3)
        last = await tried.client.generate(
            tried.ref, {"prompt": prompt, **salt}, params, lora_request=tried.lora(1, str(folder))
        )
        (position,) = last.outputs[0].logprobs
        return {token: it.logprob for token, it in position.items()}, last.num_cached_tokens

    await logprobs()
    _, cached = await logprobs()
    assert cached > 0
    shutil.copy(Path(tried.path("woof")) / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    if in_place:
        await tried.add(1, str(folder), load_inplace=True)
    else:
        await tried.client.call(tried.ref, "remove_lora", 1)
    anew, _ = await logprobs(cache_salt=next(salts))
    again, cached = await logprobs()
    assert cached == 0
    assert again == pytest.approx(anew, abs=1e-4)
    _, cached = await logprobs()
    assert cached > 0


async def test_loads_of_one_id_at_once_leave_one_that_is_whole(tried: Engine) -> None:
    names = ["meow", "broken-flat", "woof", "broken-nan"] * 4
    adds = [tried.add(1, name, load_inplace=True) for name in names]
    results = await asyncio.gather(*adds, return_exceptions=True)
    assert [isinstance(it, Failed) for it in results] == [False, True] * 8
    assert await tried.said(tried.lora(1, "meow")) == repeated("woof")


async def test_a_deadline_in_the_middle_of_a_load_leaves_an_id_what_it_was(tried: Engine) -> None:
    await tried.add(1, "meow")
    for name in ("broken-flat", unchecked(tried)):
        broken = tried.lora(1, name, load_inplace=True)
        with pytest.raises(Failed):
            await tried.client.call(tried.ref, "add_lora", broken, timeout_ms=1)
        assert await tried.said(tried.lora(1, "meow")) == repeated("meow")


async def test_a_folder_that_is_gone_leaves_an_id_what_it_was(tried: Engine) -> None:
    folder = tried.folder / "vanishing"
    shutil.copytree(tried.path("meow"), folder)
    await tried.add(1, str(folder))
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(Failed, match="INVALID"):
        await tried.add(1, str(folder), load_inplace=True)
    shutil.rmtree(folder)
    with pytest.raises(Failed, match="NOT_FOUND"):
        await tried.add(1, str(folder), load_inplace=True)
    assert await tried.said(tried.lora(1, str(folder))) == repeated("meow")


async def test_a_pin_that_fails_leaves_everything_as_it_was(tried: Engine) -> None:
    for lora_id, word in ((1, "meow"), (2, "woof")):
        await tried.add(lora_id, word)
    with pytest.raises(Failed, match="NOT_FOUND"):
        await tried.client.call(tried.ref, "pin_lora", 3)
    assert await tried.loaded() == {1, 2}
    assert await tried.said(tried.lora(1, "meow")) == repeated("meow")


async def test_numbers_that_overflow_in_the_model_harm_nobody_else(tried: Engine) -> None:
    def more(lora_a: Any) -> dict[str, Any]:
        large = np.full_like(lora_a, 1e25)
        pairs = [pair(f"model.layers.0.self_attn.{it}_proj", large, 1) for it in "qk"]
        return {
            name: tensor if "lora_A" in name else np.full((outputs(name), 8), 1e5, np.float32)
            for tensors in pairs
            for name, tensor in tensors.items()
        }

    def outputs(name: str) -> int:
        config = json.loads((tried.model.path / "config.json").read_text())
        heads = "num_attention_heads" if "q_proj" in name else "num_key_value_heads"
        return int(config[heads] * config["head_dim"])

    path = edited(tried, "overflowing", more)
    for _ in range(4):
        await asyncio.gather(tried.said(tried.lora(1, path)), tried.assert_exact(4))
    # Nobody has refused it: what it is asked for is its own noise.
    assert await tried.loaded() == {1}


@pytest.mark.parametrize("file", ["adapter_model.bin", "adapter_model.pt", WEIGHTS_FILE])
@pytest.mark.parametrize(
    "dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
)
async def test_weights_of_every_file_and_dtype_are_checked(
    tried: Engine, file: str, dtype: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = tried.folder / f"{dtype}-{file}"
    shutil.copytree(tried.path("meow"), folder)
    tensors = load_file(folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).unlink()
    save = save_file if file == WEIGHTS_FILE else torch.save
    for wrong in (False, True):
        if wrong:
            list(tensors.values())[-1][3, 5] = math.nan
        save({name: it.to(getattr(torch, dtype)) for name, it in tensors.items()}, folder / file)
        if wrong:
            with pytest.raises(Failed, match=r"\[3, 5\]: wants a finite number, got nan"):
                await tried.add(1, str(folder), load_inplace=True)
        else:
            await tried.add(1, str(folder))
        assert await tried.said(tried.lora(1, str(folder))) == repeated("meow")


async def test_what_of_an_adapter_is_not_used_is_told_in_the_log(
    tried: Engine, vllm_worker: Worker
) -> None:
    def more(lora_a: Any) -> dict[str, Any]:
        layer = pair("model.layers.7.self_attn.o_proj", lora_a, lora_a.shape[1])
        return {**layer, "base_model.model.lm_head.base_layer.weight": lora_a}

    path = edited(tried, "partly-used", more, targets=("o_proj", "q_proj"))
    assert await tried.said(tried.lora(1, path)) == repeated("meow")
    log = [line for line in vllm_worker.log.read_text().splitlines() if path in line]
    told = [line for line in log if "WARNING" in line and "is used in part only" in line]
    for what in (
        "modules that the model does not have: model.layers.*.self_attn.o_proj",
        "tensors of the base model itself are not loaded: base_model.model.lm_head.base_layer",
        "target_modules in adapter_config.json without weights: q_proj",
    ):
        assert any(what in line for line in told), log
