"""The GGUF files of the scripted model: its tokens, its weights, its adapters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from python_worker.testing.models import gguf_twin
from python_worker.testing.models.scripted_model import ScriptedModel, scripted_model
from tests.python.support.gguf import Files, files_in


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScriptedModel:
    return scripted_model(tmp_path_factory.mktemp("models") / "scripted")


@pytest.fixture(scope="module")
def files(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files_in(tmp_path_factory.mktemp("gguf"), model)


def test_every_token_of_the_model_is_one_of_the_twin(model: ScriptedModel, files: Files) -> None:
    tokens = GGUFReader(files.model).fields["tokenizer.ggml.tokens"].contents()
    for cue in ("Hello", " by token", " caf\u00e9"):
        (token_id,) = model.encode(cue)
        assert tokens[token_id] == cue


def test_every_weight_of_the_model_is_in_the_twin(model: ScriptedModel, files: Files) -> None:
    twin = {tensor.name: tensor.data for tensor in GGUFReader(files.model).tensors}
    weights = load_file(model.path / "model.safetensors")
    assert len(twin) == len(weights)
    for theirs, ours in (
        ("output", "lm_head"),
        ("blk.1.attn_v", "model.layers.1.self_attn.v_proj"),
    ):
        np.testing.assert_array_equal(twin[f"{theirs}.weight"], weights[f"{ours}.weight"])


def test_an_adapter_has_the_weights_of_its_folder(files: Files) -> None:
    reader = GGUFReader(files.gguf("meow"))
    weights = load_file(Path(files.peft("meow")) / "adapter_model.safetensors")
    assert reader.fields["adapter.type"].contents() == "lora"
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    assert len(tensors) == len(weights)
    name = "base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight"
    np.testing.assert_array_equal(tensors["blk.0.attn_output.weight.lora_b"], weights[name])


def test_the_command_tells_models_and_adapters_apart(
    model: ScriptedModel, files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, kind in ((model.path, "model"), (Path(files.peft("woof")), "adapter")):
        file = tmp_path / kind / "file.gguf"
        assert gguf_twin.main([str(folder), str(file)]) == 0
        assert capsys.readouterr().out == f"{file}\n"
        assert ("adapter.type" in GGUFReader(file).fields) == (kind == "adapter")
