"""Tiny models that look at images: made once, with all that vLLM reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from python_worker.testing.models import vision_models
from python_worker.testing.models.vision_models import KINDS, LLAVA_TOKENS, QWEN_TOKENS


@pytest.mark.parametrize(
    ("kind", "architecture", "weight"),
    [
        (
            "llava",
            "LlavaForConditionalGeneration",
            "model.vision_tower.vision_model.post_layernorm",
        ),
        ("yivl", "LlavaForConditionalGeneration", "model.multi_modal_projector.linear_4"),
        ("qwen2vl", "Qwen2VLForConditionalGeneration", "model.visual.patch_embed.proj"),
    ],
)
def test_a_model_is_whole_and_made_once(
    kind: str, architecture: str, weight: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / kind
    assert vision_models.main([str(path), "--kind", kind]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    config = json.loads((path / "config.json").read_text())
    assert config["architectures"] == [architecture]
    weights = load_file(path / "model.safetensors")
    assert f"{weight}.weight" in weights
    assert all(np.isfinite(it).all() for it in weights.values())
    tokens = QWEN_TOKENS if kind == "qwen2vl" else LLAVA_TOKENS
    tokenizer = (path / "tokenizer.json").read_text()
    assert all(token in tokenizer for token in tokens.values())
    for name in ("processor_config.json", "chat_template.jinja", "tokenizer_config.json"):
        assert (path / name).exists()

    before = (path / "model.safetensors").stat().st_mtime_ns
    vision_models.vision_model(path, kind=kind)
    assert (path / "model.safetensors").stat().st_mtime_ns == before


def test_another_kind_is_refused(tmp_path: Path) -> None:
    assert sorted(KINDS) == ["llava", "qwen2vl", "yivl"]
    with pytest.raises(ValueError, match="kind must be one of llava, yivl, qwen2vl, got 'clip'"):
        vision_models.vision_model(tmp_path / "clip", kind="clip")
