"""A CTranslate2 file of an English Whisper to what vLLM loads: weights, configuration.

CTranslate2 holds the weights in float16 under names of its own: the projections that read the same
input are one matrix, one above the other. Half of Whisper's configuration is seen in the shapes of
the weights; the rest is the same for all English ones.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

#: CTranslate2's number for float16.
FLOAT16 = 4

HEAD_SIZE = 64
SAMPLING_RATE = 16_000

#: Of the English tokenizer of all sizes.
END_OF_TEXT = 50_256
START_OF_TRANSCRIPT = 50_257
BLANK = 220

Weights = dict[str, NDArray[np.float16]]

OUTER_NAMES = {
    "position_encodings/encodings": "embed_positions.weight",
    "embeddings/weight": "embed_tokens.weight",
    **{
        f"{part}/{name}": f"{part}.{name}"
        for part in ("conv1", "conv2")
        for name in ("weight", "bias")
    },
}

#: Names within a layer. Where there are several, the weight is split into as many.
INNER_NAMES = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}

#: CTranslate2 calls the two parts of a norm so.
NORM_PARTS = {"gamma": "weight", "beta": "bias"}


def read(path: Path) -> Weights:
    """Reads the weights of a file, by CTranslate2's names. Scalars, such as flags, are left out.

    Raises:
        ValueError: The file is cut off, or is none of CTranslate2's.
    """
    with path.open("rb") as file:
        try:
            _version = _number(file)
            specification = _text(file)
            if specification != "WhisperSpec":
                raise ValueError(f"{path} is no Whisper of CTranslate2, but {specification!r}")
            _revision = _number(file)
            return {name: weight for name, weight in _variables(file) if weight is not None}
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no whole file of CTranslate2: {error}") from error


def _number(file: BinaryIO) -> int:
    number: int = struct.unpack("<I", file.read(4))[0]
    return number


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length).rstrip(b"\0").decode()


def _variables(file: BinaryIO) -> Iterator[tuple[str, NDArray[np.float16] | None]]:
    for _ in range(_number(file)):
        name = _text(file)
        (rank,) = struct.unpack("<B", file.read(1))
        extents = [_number(file) for _ in range(rank)]
        (kind,) = struct.unpack("<B", file.read(1))
        data = file.read(_number(file))
        if kind == FLOAT16 and rank:
            yield name, np.frombuffer(data, np.float16).reshape(extents)
        else:
            yield name, None


def hugging_face_weights(weights: Mapping[str, NDArray[np.float16]]) -> Weights:
    """The same weights under the names of Hugging Face.

    Raises:
        ValueError: A weight has a name that is not known here.
    """
    named: Weights = {}
    for name, weight in weights.items():
        if name == "decoder/projection/weight":  # the embeddings once more
            continue
        for new, part in _renamed(name, weight):
            # Whisper's keys have no bias; CTranslate2 has zeros in its place.
            if not new.endswith("k_proj.bias"):
                named[new] = np.ascontiguousarray(part)
    return named


def _renamed(name: str, weight: NDArray[np.float16]) -> Iterator[tuple[str, NDArray[np.float16]]]:
    side, _, rest = name.partition("/")
    if rest in OUTER_NAMES:
        yield f"model.{side}.{OUTER_NAMES[rest]}", weight
        return
    path, _, last = rest.rpartition("/")
    last = NORM_PARTS.get(last, last)
    if path == "layer_norm":
        yield f"model.{side}.layer_norm.{last}", weight
        return
    found = re.fullmatch(r"layer_(\d+)/(.+)", path)
    if found is None or found[2] not in INNER_NAMES:
        raise ValueError(f"a weight {name} is not known here")
    names = INNER_NAMES[found[2]]
    for new, part in zip(names, np.split(weight, len(names)), strict=True):
        yield f"model.{side}.layers.{found[1]}.{new}.{last}", part


def config(weights: Mapping[str, NDArray[np.float16]]) -> dict[str, Any]:
    """What ``config.json`` holds, of weights with Hugging Face's names."""
    vocab_size, width = weights["model.decoder.embed_tokens.weight"].shape
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": "float32",
        "vocab_size": vocab_size,
        "d_model": width,
        "num_mel_bins": weights["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": len(weights["model.encoder.embed_positions.weight"]),
        "max_target_positions": len(weights["model.decoder.embed_positions.weight"]),
        **{
            f"{side}_{field}": value
            for side in ("encoder", "decoder")
            for field, value in {
                "layers": _layers(weights, side),
                "attention_heads": width // HEAD_SIZE,
                "ffn_dim": len(weights[f"model.{side}.layers.0.fc1.weight"]),
            }.items()
        },
        "begin_suppress_tokens": [BLANK, END_OF_TEXT],
        **_special_ids(),
    }


def _layers(weights: Mapping[str, object], side: str) -> int:
    return sum(name.startswith(f"model.{side}.") and name.endswith("fc1.bias") for name in weights)


def _special_ids() -> dict[str, int]:
    return {
        "bos_token_id": START_OF_TRANSCRIPT,
        "eos_token_id": END_OF_TEXT,
        "pad_token_id": END_OF_TEXT,
        "decoder_start_token_id": START_OF_TRANSCRIPT,
    }


def write(source: Path, folder: Path) -> None:
    """Writes the files of the model into a folder, all but its tokenizer.

    Args:
        source: CTranslate2's ``model.bin``.
        folder: Where they go.
    """
    from safetensors.numpy import save_file

    weights = hugging_face_weights(read(source))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    end = "<|endoftext|>"
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end)
    described = config(weights)
    for name, content in {
        "config.json": described,
        "generation_config.json": _special_ids(),
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            "processor_class": "WhisperProcessor",
            **special,
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "processor_class": "WhisperProcessor",
            "feature_size": described["num_mel_bins"],
            "sampling_rate": SAMPLING_RATE,
            "chunk_length": 30,
            "hop_length": 160,
            "n_fft": 400,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
        },
    }.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
