"""Makes tiny models that look at images: ``python -m python_worker.testing.models.vision_models``.

They say nothing that means anything, but another image gives another text.

=========== ==================================================================================
kind        content
=========== ==================================================================================
llava       ``LlavaForConditionalGeneration``: images of any size, four tokens each
yivl        the same as LLaMA-Factory derives it from Yi-VL: its projector has norms
qwen2vl     ``Qwen2VLForConditionalGeneration``: images and videos; larger ones have more tokens
=========== ==================================================================================

Names and shapes of the weights, and the files of the processors, come from transformers.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from python_worker.testing.models import model_files
from python_worker.testing.models.model_files import Shape

#: What stands in a prompt for an image or a video, by the name in the configuration.
LLAVA_TOKENS = {"image": "<image>"}
QWEN_TOKENS = {
    "vision_start": "<|vision_start|>",
    "vision_end": "<|vision_end|>",
    "image": "<|image_pad|>",
    "video": "<|video_pad|>",
}

#: Around the turns of a chat. The template above has none, those of Qwen2-VL have.
QWEN_TURNS = ("<|im_start|>", "<|im_end|>")

PATCH = 14

#: vLLM knows the vision tower by the names that it had in transformers before version 5.
OLD_NAMES = {"model.vision_tower.": "model.vision_tower.vision_model."}

Make = Callable[[Shape], tuple[Any, Any]]
"""Makes a model of a size and its processor."""


def vision_model(path: str | Path, *, kind: str, seed: int = 0) -> Path:
    """Makes a model of one of the kinds, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        kind: As in the module's table.
        seed: Of the weights.

    Returns:
        The directory.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    return written(path, kind, KINDS[kind], OLD_NAMES, seed)


def written(
    path: str | Path, kind: str, make: Make, names: Mapping[str, str], seed: int = 0
) -> Path:
    """Writes a model with random weights, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        kind: What it is called in its stamp.
        make: Makes the model, without weights, and its processor.
        names: By the beginning of a weight's name in transformers: the one that vLLM reads.
        seed: Of the weights.

    Returns:
        The directory.
    """
    path, shape = Path(path), Shape(max_positions=4096)
    stamp = model_files.stamp(kind, shape, seed=seed)
    if model_files.is_current(path, stamp):
        return path
    model, processor = make(shape)
    model_files.write(
        path,
        stamp=stamp,
        files=_files(model.config, processor),
        weights=_random_weights(model.state_dict(), names, seed),
    )
    return path


def _llava(shape: Shape) -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = chat_tokenizer(shape, LLAVA_TOKENS)
    side = 2 * PATCH
    vision = CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=PATCH,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text_config(shape, len(tokenizer))),
        image_token_index=tokenizer.convert_tokens_to_ids(LLAVA_TOKENS["image"]),
        vision_feature_layer=-2,
        image_seq_length=4,
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token=LLAVA_TOKENS["image"],
        num_additional_image_tokens=1,
    )
    return without_memory(LlavaForConditionalGeneration, config), processor


def _yivl(shape: Shape) -> tuple[Any, Any]:
    import torch

    model, processor = _llava(shape)
    model.config.is_yi_vl_derived_model = True
    width = shape.hidden
    with torch.device("meta"):
        projector = model.model.multi_modal_projector
        projector.linear_2 = torch.nn.LayerNorm(width)
        projector.linear_3 = torch.nn.Linear(width, width)
        projector.linear_4 = torch.nn.LayerNorm(width)
    return model, processor


def _qwen2vl(shape: Shape) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = chat_tokenizer(shape, QWEN_TOKENS, QWEN_TURNS)
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in QWEN_TOKENS.items()
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    config = Qwen2VLConfig(
        text_config={**text_config(shape, len(tokenizer)), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": shape.hidden,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
        },
        **ids,
    )
    # A token stands for 28 x 28 pixels.
    least, most = 4 * (2 * PATCH) ** 2, 64 * (2 * PATCH) ** 2
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=least, max_pixels=most),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(min_pixels=least, max_pixels=most),
    )
    return without_memory(Qwen2VLForConditionalGeneration, config), processor


KINDS: Mapping[str, Make] = {"llava": _llava, "yivl": _yivl, "qwen2vl": _qwen2vl}


def text_config(shape: Shape, vocab_size: int) -> dict[str, Any]:
    """The configuration of the part that writes the text."""
    special = model_files.SPECIAL_TOKENS.index
    return {
        "vocab_size": vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.max_positions,
        "pad_token_id": special(model_files.PAD),
        "bos_token_id": special(model_files.BOS),
        "eos_token_id": special(model_files.EOS),
        "tie_word_embeddings": False,
    }


def chat_tokenizer(shape: Shape, tokens: Mapping[str, str], more: Sequence[str] = ()) -> Any:
    """The tokenizer of the other tiny models, with tokens of its own.

    Args:
        shape: Of the model.
        tokens: What stands for media.
        more: Other tokens.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    config = model_files.tokenizer_config(shape)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(model_files.tokenizer_json()),
        **{name: config[name] for name in ("pad_token", "bos_token", "eos_token")},
        model_max_length=shape.max_positions,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": [*tokens.values(), *more]})
    tokenizer.chat_template = config["chat_template"]
    return tokenizer


def without_memory(cls: Any, config: Any) -> Any:
    """The model as names and shapes of its weights."""
    import torch

    with torch.device("meta"):
        return cls(config)


def _files(config: Any, processor: Any) -> dict[str, str]:
    """The text files of the model and of its processor, as transformers writes them."""
    config.architectures = [type_name(config)]
    config.dtype = "float32"
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        processor.save_pretrained(folder)
        return {path.name: path.read_text("utf-8") for path in sorted(Path(folder).iterdir())}


def type_name(config: Any) -> str:
    """The architecture of a configuration: ``LlavaConfig`` is that of the one named after it."""
    return type(config).__name__.removesuffix("Config") + "ForConditionalGeneration"


def _random_weights(
    state: Mapping[str, Any], names: Mapping[str, str], seed: int
) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    weights: dict[str, Any] = {}
    for name, tensor in state.items():
        for theirs, ours in names.items():
            if name.startswith(theirs):
                name = ours + name.removeprefix(theirs)
                break
        size = tuple(tensor.shape)
        if name.endswith(".bias"):
            weights[name] = np.zeros(size, np.float32)
        elif is_norm(name, size):
            weights[name] = np.ones(size, np.float32)
        else:
            # As in `tiny_model`: the best and the second best token are well apart.
            spread = 2.0 / math.sqrt(math.prod(size[1:]) or 1)
            weights[name] = (random.standard_normal(size) * spread).astype(np.float32)
    return weights


def is_norm(name: str, size: tuple[int, ...]) -> bool:
    """Whether a weight is that of a norm. Those in a projector are not named after it."""
    parts = ("norm", "ln_q", "pre_layrnorm", "projector.linear_")
    return len(size) == 1 and any(part in name for part in parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m python_worker.testing.models.vision_models",
        description="Make a tiny model that looks at images. Idempotent; needs no network.",
    )
    parser.add_argument("out", type=Path, help="the directory to make")
    parser.add_argument("--kind", choices=sorted(KINDS), required=True)
    options = parser.parse_args(argv)
    try:
        vision_model(options.out, kind=options.kind)
    except (OSError, ValueError) as error:
        print(f"vision_models: {error}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
