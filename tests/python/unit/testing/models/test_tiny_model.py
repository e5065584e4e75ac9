"""The tiny models: right files, no work the second time, and an oracle that agrees with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from python_worker.testing.models import tiny_model
from python_worker.testing.models.scripted_model import ScriptedModel, scripted_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScriptedModel:
    return scripted_model(tmp_path_factory.mktemp("models") / "scripted")


@pytest.mark.parametrize("kind", tiny_model.KINDS)
def test_command_makes_a_whole_model_directory(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / kind
    assert tiny_model.main([str(out), "--kind", kind]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    config = json.loads((out / "config.json").read_text())
    weights = load_file(out / "model.safetensors")
    embedding = next(array for name, array in weights.items() if "embed_tokens" in name)
    assert embedding.shape == (config["vocab_size"], config["hidden_size"])
    assert config["head_dim"] in (32, 64)
    assert (out / "tokenizer_config.json").exists()


def test_second_run_leaves_the_files_alone(tmp_path: Path) -> None:
    tiny_model.random_model(tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").stat()
    tiny_model.random_model(tmp_path / "m")
    after = (tmp_path / "m" / "model.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_other_arguments_replace_the_files(tmp_path: Path) -> None:
    def weights(seed: int) -> bytes:
        return (
            tiny_model.random_model(tmp_path / "m", seed=seed) / "model.safetensors"
        ).read_bytes()

    first, second = weights(0), weights(1)
    assert first != second
    assert weights(0) == first


def test_a_directory_of_somebody_else_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    assert tiny_model.main([str(tmp_path)]) == 1
    assert "was not made by tiny_model" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
