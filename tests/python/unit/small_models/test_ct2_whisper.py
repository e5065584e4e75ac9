"""From CTranslate2 to what vLLM loads: names, halves of matrices, configuration."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from python_worker.small_models import ct2_whisper

WIDTH, INNER, MELS, WORDS = 64, 96, 8, 20


def weights() -> dict[str, NDArray[np.float16]]:
    """The weights of a small Whisper by CTranslate2's names, each with a number of its own."""
    shapes: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (WIDTH, MELS, 3),
        "encoder/conv1/bias": (WIDTH,),
        "encoder/conv2/weight": (WIDTH, WIDTH, 3),
        "encoder/conv2/bias": (WIDTH,),
        "encoder/position_encodings/encodings": (10, WIDTH),
        "decoder/position_encodings/encodings": (7, WIDTH),
        "decoder/embeddings/weight": (WORDS, WIDTH),
        "decoder/projection/weight": (WORDS, WIDTH),
    }
    sides: dict[str, dict[str, tuple[int, ...]]] = {
        "encoder": {"self_attention": (3, 1)},
        "decoder": {"self_attention": (3, 1), "attention": (1, 2, 1)},
    }
    for side, attentions in sides.items():
        layer = f"{side}/layer_0"
        for norm in (*(f"{layer}/{it}" for it in (*attentions, "ffn")), side):
            shapes |= {f"{norm}/layer_norm/{part}": (WIDTH,) for part in ("gamma", "beta")}
        for attention, parts in attentions.items():
            for number, count in enumerate(parts):
                name = f"{layer}/{attention}/linear_{number}"
                shapes |= {
                    f"{name}/weight": (count * WIDTH, WIDTH),
                    f"{name}/bias": (count * WIDTH,),
                }
        shapes |= {
            f"{layer}/ffn/linear_0/weight": (INNER, WIDTH),
            f"{layer}/ffn/linear_0/bias": (INNER,),
        }
        shapes |= {
            f"{layer}/ffn/linear_1/weight": (WIDTH, INNER),
            f"{layer}/ffn/linear_1/bias": (WIDTH,),
        }
    random = np.random.default_rng(0)
    return {name: random.standard_normal(size).astype("f2") for name, size in shapes.items()}


def write(path: Path, content: dict[str, NDArray[np.float16]], spec: str = "WhisperSpec") -> None:
    """Writes CTranslate2's file."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    flag = text("encoder/num_heads") + struct.pack("<BBI", 0, 1, 2) + struct.pack("<h", 1)
    parts = [struct.pack("<I", 6), text(spec), struct.pack("<I", 3)]
    parts += [struct.pack("<I", len(content) + 1), flag]
    for name, weight in content.items():
        extents = struct.pack(f"<{weight.ndim}I", *weight.shape)
        head = struct.pack("<B", weight.ndim) + extents + struct.pack("<BI", 4, weight.nbytes)
        parts += [text(name), head, weight.tobytes()]
    path.write_bytes(b"".join(parts))


def test_a_file_becomes_a_model(tmp_path: Path) -> None:
    content = weights()
    write(tmp_path / "model.bin", content)
    ct2_whisper.write(tmp_path / "model.bin", tmp_path)
    made = load_file(tmp_path / "model.safetensors")

    layer = "model.decoder.layers.0"
    query, key, value = np.split(content["decoder/layer_0/self_attention/linear_0/weight"], 3)
    assert np.array_equal(made[f"{layer}.self_attn.q_proj.weight"], query)
    assert np.array_equal(made[f"{layer}.self_attn.k_proj.weight"], key)
    assert np.array_equal(made[f"{layer}.self_attn.v_proj.weight"], value)
    key, value = np.split(content["decoder/layer_0/attention/linear_1/weight"], 2)
    assert np.array_equal(made[f"{layer}.encoder_attn.k_proj.weight"], key)
    assert np.array_equal(made[f"{layer}.encoder_attn.v_proj.weight"], value)
    norm = content["encoder/layer_0/ffn/layer_norm/gamma"]
    assert np.array_equal(made["model.encoder.layers.0.final_layer_norm.weight"], norm)
    words = content["decoder/embeddings/weight"]
    assert np.array_equal(made["model.decoder.embed_tokens.weight"], words)
    assert not any(name.endswith("k_proj.bias") for name in made)
    assert not any("projection" in name for name in made)

    config = json.loads((tmp_path / "config.json").read_text())
    assert {name: config[name] for name in ("d_model", "vocab_size", "num_mel_bins")} == {
        "d_model": WIDTH,
        "vocab_size": WORDS,
        "num_mel_bins": MELS,
    }
    assert (config["encoder_layers"], config["decoder_ffn_dim"]) == (1, INNER)
    assert (config["max_source_positions"], config["max_target_positions"]) == (10, 7)
    heard = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (heard["feature_size"], heard["sampling_rate"]) == (MELS, 16_000)


def test_what_is_no_whisper_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write(path, {}, spec="TransformerSpec")
    with pytest.raises(ValueError, match="is no Whisper of CTranslate2, but 'TransformerSpec'"):
        ct2_whisper.read(path)
    write(path, weights())
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="is no whole file of CTranslate2"):
        ct2_whisper.read(path)
    with pytest.raises(ValueError, match="a weight encoder/thing is not known here"):
        ct2_whisper.hugging_face_weights({"encoder/thing": np.zeros(3, "f2")})
