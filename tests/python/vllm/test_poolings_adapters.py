"""Batches with LoRA adapters: by name, for all inputs, and one for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.adapters import adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed
from tests.python.support.llms import plain
from tests.python.support.pooling import pooling_engine
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker


@pytest.fixture(scope="module")
def engine(llm_worker: Worker, model: ScriptedModel) -> Iterator[Ref]:
    """The scripted model as one that embeds, with adapters."""
    with pooling_engine(llm_worker, Path(model.path), enable_lora=True, max_lora_rank=8) as engine:
        yield engine


async def test_adapters_are_given_by_name_or_for_each_input(
    llm_client: Client, engine: Ref, tmp_path: Path
) -> None:
    async def rows(inputs: list[str], **options: Any) -> list[Any]:
        batch = await llm_client.call(engine, "embed", inputs, **options)
        assert batch.model == expected_model
        embeddings: list[Any] = plain(batch.embeddings)
        return embeddings

    fields = {
        "lora_name": "meow",
        "lora_int_id": 1,
        "lora_path": str(adapter(tmp_path / "m", "meow")),
    }
    request = Record("LoRARequest", fields)
    with pytest.raises(Failed, match=r"there is no 'meow'.*An adapter is loaded with add_lora"):
        await llm_client.call(engine, "embed", ["Hello"], model="meow")
    assert await llm_client.call(engine, "add_lora", request)

    expected_model = model_name = (await llm_client.call(engine, "embed", ["Hello"])).model
    (base,) = await rows(["Hello"])
    expected_model = "meow"
    (adapted,) = await rows(["Hello"], model="meow")
    assert adapted != pytest.approx(base, abs=1e-2)
    (given,) = await rows(["Hello"], lora_request=request)
    assert given == pytest.approx(adapted, abs=1e-5)
    expected_model = model_name
    both = await rows(["Hello", "Hello"], lora_request=[request, None])
    assert both[0] == pytest.approx(adapted, abs=1e-5)
    assert both[1] == pytest.approx(base, abs=1e-5)
    (named,) = await rows(["Hello"], model=None)
    assert named == pytest.approx(base, abs=1e-5)
    scored = await llm_client.call(engine, "score", ["Hello"], ["Hello"], model="meow")
    assert plain(scored.scores) == pytest.approx([1.0], abs=1e-5)

    with pytest.raises(Failed, match="lora_request: wants one value, or a list of as many"):
        await llm_client.call(engine, "embed", ["a", "b"], lora_request=[request])
    with pytest.raises(Failed, match="not both"):
        await llm_client.call(engine, "embed", ["a"], lora_request=request, model="meow")
    gone = Record("LoRARequest", {**fields, "lora_int_id": 2, "lora_path": str(tmp_path / "no")})
    with pytest.raises(Failed, match=r"inputs\[1\]: ") as failed:
        await llm_client.call(engine, "embed", ["a", "b"], lora_request=[None, gone])
    assert failed.value.kind in ("INVALID", "NOT_FOUND")
