"""Real small models for tests: made once in the cache, or the test is skipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from python_worker.install.environment import cache_dir
from python_worker.install.progress import Progress, SetupError
from python_worker.small_models.catalogue import MINILM, make


def minilm() -> Path:
    """The folder of MiniLM, which embeds sentences."""
    try:
        return make(MINILM, cache_dir(), Progress(MINILM.name))
    except SetupError as error:
        pytest.skip(f"{error}: {error.advice}")


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    """MiniLM with a head of random weights, which reads a query and a document together."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(minilm(), folder)
    shutil.rmtree(folder / "1_Pooling")
    (folder / "modules.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    names = {str(number): f"LABEL_{number}" for number in range(labels)}
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": names}
    (folder / "config.json").write_text(json.dumps(config))
    weights = {f"bert.{name}": tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    torch.manual_seed(0)
    width = config["hidden_size"]
    weights |= {"classifier.weight": torch.randn(labels, width), "classifier.bias": torch.zeros(1)}
    weights |= {
        "bert.pooler.dense.weight": torch.randn(width, width) / width**0.5,
        "bert.pooler.dense.bias": torch.zeros(width),
    }
    save_file(weights, folder / WEIGHTS)
    return folder


WEIGHTS = "model.safetensors"
