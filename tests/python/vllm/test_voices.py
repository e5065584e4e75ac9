"""Training an adapter of a tiny Llama: what is written fits it, and the loss goes down."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from python_worker.install.progress import Progress
from python_worker.small_models import pirate, voices
from python_worker.testing.models.tiny_model import random_model

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a chat template."""
    path = random_model(tmp_path_factory.mktemp("voices") / "tiny")
    config = path / "tokenizer_config.json"
    fields = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**fields, "chat_template": TEMPLATE}), encoding="utf-8")
    return path


def test_the_adapter_fits_the_model_and_its_answers_become_likelier(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    voices.train(base, tmp_path, [("Who?", "Arr arr arr")] * 4, Progress("tiny"))
    said = capsys.readouterr().err
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", said)]
    assert len(losses) == voices.STEPS // voices.WARM_UP_STEPS
    assert losses == sorted(losses, reverse=True)

    config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    shape = json.loads((base / "config.json").read_text(encoding="utf-8"))
    assert config["r"] == voices.RANK
    weights = load_file_of(tmp_path)
    targets = [(part, name) for part, names in voices.TARGETS.items() for name in names]
    assert len(weights) == 2 * len(targets) * shape["num_hidden_layers"]
    prefix = "base_model.model.model.layers.0."
    assert weights[prefix + "self_attn.q_proj.lora_A.weight"] == (8, shape["hidden_size"])
    assert weights[prefix + "mlp.down_proj.lora_B.weight"] == (shape["hidden_size"], 8)
    assert {name for _, name in targets} == set(config["target_modules"])


def load_file_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of an adapter's weights, none of which is without effect."""
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert all(tensor.abs().sum() > 0 for tensor in tensors.values())
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def test_every_answer_of_the_pirate_is_one() -> None:
    questions = [question for question, _ in pirate.PAIRS]
    assert len(set(questions)) == len(questions) > 20
    for _, answer in pirate.PAIRS:
        assert "arr" in answer.lower() or "ahoy" in answer.lower()
