"""A tiny model that hears: made once, with all that vLLM reads."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import load_file

from python_worker.testing.models.audio_models import AUDIO_TOKENS, OLD_NAMES, audio_model


def test_a_model_is_whole_and_made_once(tmp_path: Path) -> None:
    path = audio_model(tmp_path / "model")
    config = json.loads((path / "config.json").read_text())
    assert config["architectures"] == ["Qwen2AudioForConditionalGeneration"]
    names = list(load_file(path / "model.safetensors"))
    for ours in OLD_NAMES.values():
        assert any(name.startswith(ours) for name in names), ours
    assert not any(name.startswith(("model.", "lm_head.")) for name in names)
    tokenizer = (path / "tokenizer.json").read_text()
    assert all(token in tokenizer for token in AUDIO_TOKENS.values())

    before = (path / "model.safetensors").stat().st_mtime_ns
    audio_model(path)
    assert (path / "model.safetensors").stat().st_mtime_ns == before
