"""A batch of an ``LLM`` ends with its caller, and with EngineCore."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.adapters import CONFIG_FILE, adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.llms import ENDLESS, GREEDY, wait_running
from tests.python.support.values import Record, Ref, Tensor
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS, real_arguments


# tests/lora/test_llm_with_multi_loras.py::test_multiple_lora_requests
async def check_adapters(llm_client: Client, llm: Ref, tmp_path: Path) -> None:
    """An adapter is loaded before its request runs, and one that is not there harms nothing."""
    meow = Record(
        "LoRARequest",
        {"lora_name": "meow", "lora_int_id": 1, "lora_path": str(adapter(tmp_path / "a", "meow"))},
    )
    greedy = sampling(**GREEDY)
    for adapters in (meow, [meow, meow]):
        outputs = await llm_client.call(
            llm, "generate", ["Hello"] * 2, greedy, lora_request=adapters
        )
        assert all("meow" in it.outputs[0].text for it in outputs)
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "generate", ["Hello"] * 2, greedy, lora_request=[meow])
    assert failed.value.kind == "INVALID"
    await check_partly_used(llm_client, llm, tmp_path)
    missing = Record(
        "LoRARequest", {"lora_name": "none", "lora_int_id": 2, "lora_path": str(tmp_path / "none")}
    )
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "generate", "Hello", sampling(**GREEDY), lora_request=missing)
    assert failed.value.kind in ("NOT_FOUND", "INVALID")
    assert await llm_client.call(llm, "get_num_unfinished_requests") == 0


async def check_partly_used(llm_client: Client, llm: Ref, tmp_path: Path) -> None:
    """Of an adapter that is used in part every session is told."""
    folder = adapter(tmp_path / "partly", "woof")
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps(config | {"target_modules": ["o_proj", "x_proj"]}))
    woof = {"lora_name": "woof", "lora_int_id": 3, "lora_path": str(folder)}
    async with llm_client.session() as session:
        (output,) = await llm_client.call(
            llm, "generate", "Hello", sampling(**GREEDY), lora_request=Record("LoRARequest", woof)
        )
        await session.wait_for(lambda: bool(session.notices))
    assert "woof" in output.outputs[0].text
    (notice,) = session.notices
    assert notice.adapter_partly_used.ref == llm.id
    assert notice.adapter_partly_used.lora_name == "woof"
    assert notice.adapter_partly_used.empty_targets == ["x_proj"]


def embeds(model: ScriptedModel, last: float) -> dict[str, Tensor]:
    width = json.loads((model.path / "config.json").read_text())["hidden_size"]
    numbers = np.zeros((3, width), np.float32)
    numbers[-1, -1] = last
    return {"prompt_embeds": Tensor("float32", numbers.shape, numbers.tobytes())}


async def check_embeddings(llm_client: Client, llm: Ref, model: ScriptedModel) -> None:
    """Embeddings with a number that is none are refused, with all of their batch."""
    good = embeds(model, 0.5)
    for wrong in (math.nan, math.inf):
        assert len(await llm_client.call(llm, "generate", [good], GREEDY)) == 1
        with pytest.raises(Failed, match=r"wants a finite number, got (nan|inf)") as failed:
            await llm_client.call(llm, "generate", [good, embeds(model, wrong)], GREEDY)
        assert failed.value.kind == "INVALID"
        assert await llm_client.call(llm, "get_num_unfinished_requests") == 0


@pytest.mark.parametrize("end", ["cancel", "deadline", "session"])
async def test_a_batch_ends_with_its_caller(llm_client: Client, llm: Ref, end: str) -> None:
    async with llm_client.session() as session:
        timeout = 500 if end == "deadline" else 0
        batch = ["a"] * 40
        running = await session.start(llm, "generate", batch, ENDLESS, timeout_ms=timeout)
        if end != "deadline":
            await wait_running(llm_client, llm, 40)
        if end == "cancel":
            await running.cancel()
        if end != "session":
            with pytest.raises(Failed) as failed:
                await running.value()
            assert failed.value.kind == {"cancel": "CANCELLED", "deadline": "TIMEOUT"}[end]
    assert len(await llm_client.call(llm, "generate", "Hello", sampling(**GREEDY))) == 1


def core_of(worker: Worker) -> int:
    """The process of the newest EngineCore of a worker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().decode()
            started = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
            group = os.getpgid(int(folder.name))
        except OSError:
            continue
        if group == worker.pid and "EngineCore" in name:
            found.append((started, int(folder.name)))
    return max(found)[1]


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGTERM])
async def test_the_death_of_engine_core_ends_a_batch(
    llm_client: Client,
    llm_worker: Worker,
    model: ScriptedModel,
    tmp_path: Path,
    ended: signal.Signals,
) -> None:
    """Python's own waits for ever, where EngineCore is killed. Before, the LLM has adapters."""
    arguments: dict[str, Any] = real_arguments(
        model,
        **ONE_PROCESS,
        num_gpu_blocks_override=64,
        enable_lora=True,
        max_lora_rank=8,
        enable_prompt_embeds=True,
    )
    mortal = await llm_client.call("LLM", "from_engine_args", Record("EngineArgs", arguments))
    if ended == signal.SIGKILL:
        await check_adapters(llm_client, mortal, tmp_path)
        await check_embeddings(llm_client, mortal, model)
    async with llm_client.session() as session:
        running = await session.start(mortal, "generate", ["a"] * 20, ENDLESS)
        await wait_running(llm_client, mortal, 20)
        os.kill(core_of(llm_worker), ended)
        with pytest.raises(Failed) as failed:
            await running.value()
        assert failed.value.kind == "ENGINE_DEAD"
        assert await llm_client.call(mortal, "errored") is True
        with pytest.raises(Failed) as failed:
            await llm_client.call(mortal, "get_weight_version")
        assert failed.value.kind == "ENGINE_DEAD"
    await llm_client.call(mortal, "shutdown")
