"""Prompt log probabilities on an engine that takes adapters, beside other requests and alone.

Without ``process/adapter_rows.py`` the requests at once end EngineCore. Texts without an adapter
beside texts with one are in ``test_providers.py``; here is what vLLM's functions make of such rows.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.process import vllm_patches
from python_worker.process.adapter_rows import prompts_one_by_one
from python_worker.testing.models.adapters import CONFIG_FILE, WEIGHTS_FILE, adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, sampling
from tests.python.support.values import Record, Ref

TOP = 4
CLOSE = 1e-3

#: Some are longer than what is left of a step, so that they are computed in parts.
LENGTHS = (2, 3, 7, 8, 40, 90, 150)

salts = map(str, itertools.count())


# --- With vLLM's own model runner and layer, without an engine ---

VOCABULARY, HIDDEN, RANK = 11, 5, 2

#: The adapters' ids by their slots. The last slot is the one that -1 means to PyTorch.
SLOTS = (7, 8, None)

#: Name, id of the adapter and number of tokens. "c" has as many rows as there are requests.
STEP = (("a", 7, 4), ("b", 0, 6), ("c", 8, 5), ("d", 7, 2))


class Runner:
    """What vLLM's model runner is for its method, in a step with the requests of ``STEP``."""

    def __init__(self) -> None:
        import torch
        from vllm.lora.layers import LoRAMapping
        from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
        from vllm.v1.sample.sampler import Sampler

        draw = partial(torch.randn, generator=torch.Generator().manual_seed(3))
        self.lora_a, self.lora_b = draw(3, 1, RANK, HIDDEN), draw(3, 1, VOCABULARY, RANK)
        self.lora_b[SLOTS.index(None)] = 0.0
        names = [name for name, _, _ in STEP]
        ids = tuple(lora_id for _, lora_id, _ in STEP)
        lengths = [length for _, _, length in STEP]
        self.punica = PunicaWrapperCPU(64, 8, "cpu")
        self._last_mapping: Any = None
        tokens = tuple(np.repeat(ids, lengths).tolist())
        self.set_adapter_mapping(LoRAMapping(tokens, ids, is_prefill=True))
        self.hidden_states = draw(len(tokens), HIDDEN)
        self.scheduled = dict(zip(names, lengths, strict=True))

        self.lora_config = object()
        self.lora_manager = SimpleNamespace(_adapter_manager=self)
        self.model = SimpleNamespace(compute_logits=self.compute_logits)
        self.model_config = SimpleNamespace(logprobs_mode="raw_logits")
        self.sampler, self.device = Sampler(), torch.device("cpu")
        self.num_prompt_logprobs = dict.fromkeys(names, VOCABULARY)
        starts = np.cumsum([0, *lengths])
        self.query_start_loc = SimpleNamespace(np=starts)
        self.input_batch = SimpleNamespace(
            req_id_to_index={name: n for n, name in enumerate(names)}
        )
        self.requests = {
            name: SimpleNamespace(
                prompt_token_ids=[n % VOCABULARY for n in range(length)],
                num_computed_tokens=0,
                in_progress_prompt_logprobs_cpu=None,
                lora_request=SimpleNamespace(lora_int_id=lora_id) if lora_id else None,
            )
            for name, lora_id, length in STEP
        }

    def set_adapter_mapping(self, mapping: Any) -> None:
        self._last_mapping = mapping
        self.punica.update_metadata(mapping, list(SLOTS), len(SLOTS) + 1, VOCABULARY)

    def compute_logits(self, rows: Any) -> Any:
        logits = rows.new_zeros(len(rows), VOCABULARY)
        self.punica.add_lora_logits(logits, rows, self.lora_a, self.lora_b, 1.0)
        return logits

    def _sync_device(self) -> None:
        pass

    def expected(self, name: str) -> Any:
        """The logits that the prompt's own adapter makes of its rows."""
        index = self.input_batch.req_id_to_index[name]
        start, end = self.query_start_loc.np[index : index + 2]
        slot = SLOTS.index(STEP[index][1] or None)
        rows = self.hidden_states[start : end - 1]
        return rows @ self.lora_a[slot, 0].T @ self.lora_b[slot, 0].T


def vllm_method() -> Callable[..., Any]:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    method: Callable[..., Any] = GPUModelRunner._get_prompt_logprobs_dict
    return method


def test_each_prompt_has_the_values_of_its_own_adapter() -> None:
    runner = Runner()
    of_the_step = runner.punica.sampler_indices.tolist()
    compute = prompts_one_by_one(vllm_method())
    computed = compute(runner, runner.hidden_states, runner.scheduled)
    assert set(computed) == set(runner.scheduled)
    for name, found in computed.items():
        # The first column is the prompt's own token, and the others are in order of their values.
        wanted = runner.expected(name)
        assert found.logprobs[:, 1:].tolist() == [
            pytest.approx(sorted(row, reverse=True), abs=1e-5) for row in wanted.tolist()
        ]
    assert runner.num_prompt_logprobs == {}
    assert runner.punica.sampler_indices.tolist() == of_the_step


@pytest.mark.parametrize("asked", [("a",), ("a", "b", "c")])
def test_vllm_still_needs_the_patch(asked: tuple[str, ...]) -> None:
    """If this fails: does vLLM now compute every prompt with its adapter? Then drop the patch."""
    runner = Runner()
    runner.num_prompt_logprobs = dict.fromkeys(asked, VOCABULARY)
    with pytest.raises(RuntimeError, match="einsum"):
        vllm_method()(runner, runner.hidden_states, runner.scheduled)


@pytest.mark.parametrize("name", vllm_patches.EXPANDING)
def test_vllm_still_needs_the_patch_of_rows_without_an_adapter(name: str) -> None:
    """If this fails: does vLLM now skip a row with the index -1? Then drop `skip_base_rows`."""
    import torch
    from vllm.lora.ops.torch_ops import lora_ops

    expand = getattr(lora_ops, name)
    where = (0, 1) if name.endswith("slice") else ()
    weights = torch.tensor([[[1.0]], [[100.0]]])
    for function, of_the_base in ((expand, 100.0), (vllm_patches.skip_base_rows(expand), 0.0)):
        output = torch.zeros(2, 1)
        function(torch.ones(2, 1), weights, output, torch.tensor([0, -1]), *where)
        assert output.flatten().tolist() == [1.0, of_the_base]


# --- With an engine ---


@pytest.fixture(scope="module")
def adapters(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> list[Record | None]:
    """None and three adapters: each with a word of its own, two with a part for the head."""
    folder = tmp_path_factory.mktemp("adapters-of-heads")
    paths = {
        "meow": adapter(folder / "meow", "meow"),
        "meow-head": with_head(model, folder / "meow-head", "meow", seed=1),
        "woof-head": with_head(model, folder / "woof-head", "woof", seed=2),
    }
    return [
        None,
        *(
            Record("LoRARequest", {"lora_name": name, "lora_int_id": n, "lora_path": str(path)})
            for n, (name, path) in enumerate(paths.items(), 101)
        ),
    ]


def with_head(model: ScriptedModel, path: Path, word: str, seed: int) -> Path:
    """An adapter that changes the logits in the head as well."""
    from safetensors.numpy import load_file, save_file

    made = adapter(path.with_name(f"{path.name}-source"), word)
    shutil.copytree(made, path)
    tensors = load_file(path / WEIGHTS_FILE)
    rank, hidden = next(tensor.shape for name, tensor in tensors.items() if "lora_A" in name)
    vocabulary = json.loads((model.path / "config.json").read_text())["vocab_size"]
    draw = np.random.default_rng(seed).standard_normal
    head = "base_model.model.lm_head.lora_"
    tensors[f"{head}A.weight"] = draw((rank, hidden), np.float32)
    tensors[f"{head}B.weight"] = draw((vocabulary, rank), np.float32)
    save_file(tensors, path / WEIGHTS_FILE)
    config = json.loads((path / CONFIG_FILE).read_text())
    config["target_modules"] = ["o_proj", "lm_head"]
    (path / CONFIG_FILE).write_text(json.dumps(config))
    return path


class Asking:
    """Asks the engine for the values of prompts."""

    def __init__(self, client: Client, engine: Ref) -> None:
        self._client, self._engine = client, engine

    async def last(self, ids: list[int], lora: Record | None, **fields: Any) -> Any:
        # Several tokens, so that requests that come one after the other are in one step as well.
        prompt = {"prompt_token_ids": ids, "cache_salt": next(salts)}
        params = sampling(**{"temperature": 0.0, "max_tokens": 8, "ignore_eos": True, **fields})
        return await self._client.generate(self._engine, prompt, params, lora_request=lora)

    async def prompt_values(
        self, ids: list[int], lora: Record | None, **fields: Any
    ) -> list[list[float]]:
        """For each position but the first: the value of its own token, then the highest ones."""
        last = await self.last(ids, lora, prompt_logprobs=TOP, **fields)
        first, *positions = last.prompt_logprobs
        assert first is None
        assert len(positions) == len(ids) - 1
        return [
            [position[token].logprob, *highest(position)]
            for token, position in zip(ids[1:], positions, strict=True)
        ]


def highest(position: Any) -> list[float]:
    """The highest values of a position. Which tokens have them is open where they are equal."""
    return sorted((it.logprob for it in position.values()), reverse=True)[:TOP]


def close(values: list[list[float]]) -> list[Any]:
    return [pytest.approx(it, abs=CLOSE) for it in values]


@pytest.fixture
def asking(vllm_client: Client, embedding_engine: Ref) -> Asking:
    return Asking(vllm_client, embedding_engine)


def prompt_of(length: int, seed: int) -> list[int]:
    # These ids are tokens of the script's words and of bytes.
    return [int(it) for it in np.random.default_rng(seed).integers(5, 60, length)]


@pytest.mark.parametrize("fields", [{}, {"n": 2, "temperature": 1.0, "seed": 5}])
async def test_values_are_the_same_beside_others_as_alone(
    asking: Asking, adapters: list[Record | None], fields: dict[str, Any]
) -> None:
    # The engine has two slots for adapters: others wait until one is free.
    for mixture in (adapters[:3], adapters[2:], [None, adapters[3]]):
        requests = [
            (prompt_of(length, seed), lora)
            for seed, (length, lora) in enumerate(zip(LENGTHS, itertools.cycle(mixture)))
        ]
        alone = [await asking.prompt_values(*it) for it in requests]
        together = await asyncio.gather(*(asking.prompt_values(*it, **fields) for it in requests))
        assert together == [close(values) for values in alone]


async def test_values_are_those_that_the_next_token_is_sampled_from(
    asking: Asking, adapters: list[Record | None]
) -> None:
    ids = prompt_of(7, seed=9)
    found = await asyncio.gather(*(asking.prompt_values(ids, lora) for lora in adapters[1:3]))
    for lora, values in zip(adapters[1:3], found, strict=True):
        for length, (_, *wanted) in enumerate(values, 1):
            last = await asking.last(ids[:length], lora, max_tokens=1, logprobs=TOP)
            (position,) = last.outputs[0].logprobs
            assert highest(position) == pytest.approx(wanted, abs=CLOSE)
    assert found[0] != [close([it])[0] for it in found[1]]
