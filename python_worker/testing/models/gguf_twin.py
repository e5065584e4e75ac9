"""The scripted model and its adapters as GGUF files, for llama.cpp.

The twin says the same as the model that it is made from (``scripted_model``): it has the same
weights and the same tokens. Every piece of the script is a user-defined token, because llama.cpp
looks for those in a text before it splits the rest, as the model's own tokenizer does.

An adapter is the GGUF twin of a PEFT folder that ``adapters`` makes.

As a command, ``python -m python_worker.testing.models.gguf_twin FOLDER FILE`` writes either.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARCHITECTURE = "llama"

# By the names of transformers: the names of llama.cpp.
_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_OTHERS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}

# The byte 255 in the alphabet of byte-level BPE.
_NO_TEXT = "\u00ff"

_IN_LAYER = re.compile(r"(?:base_model\.model\.)?model\.layers\.(\d+)\.(.+)")


def gguf_model(model: Path, path: Path) -> Path:
    """Writes the twin of a scripted model.

    The projections of queries and keys are zero in that model, so the order of their rows, which
    differs between the two formats, is all the same.

    Args:
        model: The folder of the scripted model.
        path: The file to write.
    """
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    _add_tokenizer(writer, model, config)
    for name, tensor in load_file(model / "model.safetensors").items():
        writer.add_tensor(_named(name.removesuffix(".weight")) + ".weight", tensor)
    return _written(writer, path)


def gguf_adapter(adapter: Path, path: Path) -> Path:
    """Writes the twin of an adapter.

    Args:
        adapter: The PEFT folder.
        path: The file to write.
    """
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        module, _, half = name.removesuffix(".weight").rpartition(".")
        writer.add_tensor(f"{_named(module)}.weight.{half.lower()}", tensor)
    return _written(writer, path)


def _named(name: str) -> str:
    """The name that llama.cpp has for a module."""
    if (found := _IN_LAYER.fullmatch(name)) is not None:
        return f"blk.{found[1]}.{_LAYER[found[2]]}"
    return _OTHERS[name]


def _add_tokenizer(writer: Any, model: Path, config: dict[str, Any]) -> None:
    from gguf import TokenType

    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    kinds = [_kind(token, token in special, TokenType) for token in tokens]
    texts = [
        _text(token) if kind == TokenType.USER_DEFINED else token
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    # llama.cpp wants a merge. This one is of a byte that stands in no text of UTF-8.
    writer.add_token_merges([_NO_TEXT + " " + _NO_TEXT])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    chat = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    writer.add_chat_template(chat["chat_template"])


def _kind(token: str, special: bool, kinds: Any) -> Any:
    if special:
        return kinds.CONTROL
    return kinds.NORMAL if len(token) == 1 else kinds.USER_DEFINED


def _text(token: str) -> str:
    """The text of a token, which the vocabulary has in the alphabet of byte-level BPE."""
    from tokenizers import decoders

    return str(decoders.ByteLevel().decode([token]))


def _written(writer: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="gguf_twin", description="Write a GGUF file.")
    parser.add_argument("folder", type=Path, help="a scripted model, or an adapter of it")
    parser.add_argument("file", type=Path, help="the file to write")
    options = parser.parse_args(argv)
    is_adapter = (options.folder / "adapter_config.json").exists()
    print((gguf_adapter if is_adapter else gguf_model)(options.folder, options.file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
