"""A real engine that others use too: their requests stay exact, whatever one of them asks for."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from python_worker.testing.models.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, sampling
from tests.python.support.values import Record, Ref

TOKENS = 24

salts = map(str, itertools.count())


class SharedEngine:
    """An engine that several clients use, and what must be true of it.

    Attributes:
        folder: Where adapters are made.
    """

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


def repeated(word: str) -> str:
    return f" {word}" * TOKENS


def pair(module: str, lora_a: Any, outputs: int) -> dict[str, Any]:
    """Weights for a module, as many inputs as those of another."""
    name = f"base_model.model.{module}.lora_"
    lora_b = np.zeros((outputs, len(lora_a)), np.float32)
    return {f"{name}A.weight": lora_a, f"{name}B.weight": lora_b}


def edited(
    engine: SharedEngine,
    name: str,
    more: Callable[[Any], dict[str, Any]],
    targets: tuple[str, ...] = ("o_proj",),
) -> str:
    """The adapter "meow" with more tensors, which are made from one of its ``lora_A``."""
    from safetensors.numpy import load_file, save_file

    folder = engine.folder / name
    shutil.copytree(engine.path("meow"), folder, dirs_exist_ok=True)
    meow = load_file(folder / WEIGHTS_FILE)
    lora_a = next(tensor for name, tensor in meow.items() if "lora_A" in name)
    save_file({**meow, **more(lora_a)}, folder / WEIGHTS_FILE)
    config = json.loads((folder / CONFIG_FILE).read_text()) | {"target_modules": targets}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    return str(folder)
