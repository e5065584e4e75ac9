"""Patches of vLLM, tried on a module that is wrong in the same way."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from python_worker.process import vllm_patches

WRONG = """
import torch

def bgmv_expand(inputs, weights, output, indices, add_inputs=True):
    output += torch.einsum("bi, boi -> bo", inputs, weights[indices])

def sgmv_expand(inputs, weights, output, indices):
    bgmv_expand(inputs, weights, output, indices)
"""


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "wrong_ops.py").write_text(WRONG)
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    sys.meta_path.insert(0, vllm_patches.PatchOnImport("wrong_ops", vllm_patches.patch_lora_ops))
    yield importlib.import_module("wrong_ops")
    assert sys.meta_path == finders
    del sys.modules["wrong_ops"]


@pytest.mark.parametrize("name", ["bgmv_expand", "sgmv_expand"])
def test_nothing_is_added_to_a_row_of_the_base_model(name: str, wrong: Any) -> None:
    weights = torch.tensor([[[1.0]], [[100.0]]])
    output = torch.zeros(3, 1)
    getattr(wrong, name)(torch.ones(3, 1), weights, output, torch.tensor([0, -1, 1]))
    assert output.flatten().tolist() == [1.0, 0.0, 100.0]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_no_value_of_anothers_adapter_reaches_a_row_of_the_base_model(
    value: float, wrong: Any
) -> None:
    """Finite weights that are large enough make such a row before they are multiplied again."""
    output = torch.zeros(2, 1)
    wrong.bgmv_expand(
        torch.tensor([[1.0], [value]]), torch.ones(1, 1, 1), output, torch.tensor([0, -1])
    )
    assert output.flatten().tolist() == [1.0, 0.0]


def test_a_module_may_be_patched_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twice_wrong.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("first", "second"):
        sys.meta_path.insert(0, vllm_patches.PatchOnImport("twice_wrong", _setting(name)))
    module = importlib.import_module("twice_wrong")
    assert (module.first, module.second) == (True, True)
    del sys.modules["twice_wrong"]


def _setting(name: str) -> Callable[[Any], None]:
    return lambda module: setattr(module, name, True)


def test_install_has_vllm_patched_on_import() -> None:
    finders = list(sys.meta_path)
    try:
        vllm_patches.install()
        added = [it for it in sys.meta_path if it not in finders]
        assert len(added) == len(vllm_patches.PATCHES)
        assert all(isinstance(it, vllm_patches.PatchOnImport) for it in added)
    finally:
        sys.meta_path[:] = finders
