"""A seed's random numbers outlast a prompt in parts, on a stand-in as wrong as vLLM's.

With a real engine: ``vllm/test_adapter_rows.py``, whose prompts with seeds are in parts.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from python_worker.process import seeded_prompts

SEED = 7


class CPUModelRunner:
    """As vLLM's, in a step with one request with a seed after one without."""

    def __init__(self, *, is_part: bool) -> None:
        generator = torch.Generator().manual_seed(SEED)
        self.input_batch = SimpleNamespace(num_reqs=2, generators={1: generator})
        # The mask is longer than the step, and has what an earlier one left there.
        self.discard_request_mask = SimpleNamespace(np=np.array([True, is_part, True]))

    def _sample(self) -> float:
        return float(torch.rand(1, generator=self.input_batch.generators[1]))

    def _bookkeeping_sync(self) -> list[int]:
        for index in np.nonzero(self.discard_request_mask.np[:2])[0]:
            generator = self.input_batch.generators.get(int(index))
            if generator is not None:
                generator.set_offset(generator.get_offset() - 4)
        return list(self.input_batch.generators)


@pytest.fixture
def runner_class() -> Any:
    patched: Any = type("CPUModelRunner", (CPUModelRunner,), {})
    seeded_prompts.patch_cpu_model_runner(SimpleNamespace(CPUModelRunner=patched))
    return patched


def test_a_part_of_a_prompt_takes_no_random_numbers(runner_class: Any) -> None:
    runner = runner_class(is_part=True)
    first = torch.rand(1, generator=torch.Generator().manual_seed(SEED)).item()
    for _ in range(3):
        assert runner._sample() == first
        assert runner._bookkeeping_sync() == []
    assert list(runner.input_batch.generators) == [1]


def test_a_token_that_is_kept_takes_them(runner_class: Any) -> None:
    runner = runner_class(is_part=False)
    expected = torch.rand(3, generator=torch.Generator().manual_seed(SEED)).tolist()
    for value in expected:
        assert runner._sample() == value
        assert runner._bookkeeping_sync() == [1]


def test_a_vllm_without_the_methods_stays_as_it_is() -> None:
    other = SimpleNamespace(CPUModelRunner=SimpleNamespace())
    seeded_prompts.patch_cpu_model_runner(other)
    assert vars(other.CPUModelRunner) == {}


def test_torch_still_needs_the_patch() -> None:
    """If this fails, generators on CPUs have offsets: look whether vLLM's way works there now."""
    with pytest.raises(RuntimeError, match="does not use offset"):
        CPUModelRunner(is_part=True)._bookkeeping_sync()
