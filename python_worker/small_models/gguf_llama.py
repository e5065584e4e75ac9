"""A GGUF file of a Llama to what vLLM loads: weights in bfloat16, tokenizer, configuration.

GGUF holds quantised weights under names of its own, and the rows of q and k in another order:
llama.cpp rotates neighbouring rows, Hugging Face's Llama the first and the second half of a head.
The tokenizer and the chat template are fields of the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The only tokenizer that is known here, as GGUF names it: GPT-2's, but each digit is a token.
TOKENIZER = ("gpt2", "smollm")

#: The type of a token that stands for no text, in `tokenizer.ggml.token_type`.
CONTROL = 3

OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

#: Names within `blk.<layer>.` -> names within `model.layers.<layer>.`.
INNER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class GgufLlama:
    """A GGUF file of a Llama.

    Args:
        path: The file. It is mapped into memory as long as the object lives.

    Raises:
        ValueError: The file is of another architecture or has another tokenizer.
    """

    def __init__(self, path: Path) -> None:
        from gguf import GGUFReader

        self._reader = GGUFReader(path)
        kind = (self.field("tokenizer.ggml.model"), self.field("tokenizer.ggml.pre"))
        if self.field("general.architecture") != "llama" or kind != TOKENIZER:
            raise ValueError(f"{path} is no Llama with a tokenizer that is known here")

    def field(self, name: str) -> Any:
        """The value of a metadata field.

        Raises:
            ValueError: The file has no such field.
        """
        field = self._reader.get_field(name)
        if field is None:
            raise ValueError(f"the GGUF file has no field {name}")
        return field.contents()

    def write(self, folder: Path) -> None:
        """Writes the files of the model into a folder."""
        self._write_weights(folder / "model.safetensors")
        self._tokenizer().save(str(folder / "tokenizer.json"))
        template = self.field("tokenizer.chat_template")
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        for name, content in {
            "config.json": self._config(),
            "generation_config.json": self._special_ids(),
            "tokenizer_config.json": self._tokenizer_config(),
        }.items():
            (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def weight(self, tensor: Any) -> NDArray[np.float32]:
        """One tensor of the file, dequantised, its rows in Hugging Face's order."""
        from gguf import dequantize

        weight: NDArray[np.float32] = dequantize(tensor.data, tensor.tensor_type)
        part = tensor.name.split(".")[-2]
        if part == "attn_q":
            return halves_apart(weight, self.field("llama.attention.head_count"))
        if part == "attn_k":
            return halves_apart(weight, self.field("llama.attention.head_count_kv"))
        return weight

    def _write_weights(self, path: Path) -> None:
        from safetensors import TensorSpec, serialize_file

        # The file is written from these arrays' memory, so they live until it is.
        weights = {
            hugging_face_name(tensor.name): bfloat16(self.weight(tensor))
            for tensor in self._reader.tensors
        }
        specs = {
            name: TensorSpec(
                dtype="bfloat16",
                shape=weight.shape,
                data_ptr=weight.ctypes.data,
                data_len=weight.nbytes,
            )
            for name, weight in weights.items()
        }
        serialize_file(specs, path, metadata={"format": "pt"})

    def _config(self) -> dict[str, Any]:
        hidden, heads = (
            self.field("llama.embedding_length"),
            self.field("llama.attention.head_count"),
        )
        names = {tensor.name for tensor in self._reader.tensors}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "vocab_size": len(self.field("tokenizer.ggml.tokens")),
            "hidden_size": hidden,
            "intermediate_size": self.field("llama.feed_forward_length"),
            "num_hidden_layers": self.field("llama.block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.field("llama.attention.head_count_kv"),
            "head_dim": hidden // heads,
            "max_position_embeddings": self.field("llama.context_length"),
            "hidden_act": "silu",
            "rms_norm_eps": _shortest(self.field("llama.attention.layer_norm_rms_epsilon")),
            "rope_theta": _shortest(self.field("llama.rope.freq_base")),
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": "output.weight" not in names,
            **self._special_ids(),
        }

    def _special_ids(self) -> dict[str, int]:
        return {
            "bos_token_id": self.field("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.field("tokenizer.ggml.eos_token_id"),
            "pad_token_id": self.field("tokenizer.ggml.padding_token_id"),
        }

    def _tokenizer(self) -> Any:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        tokens = self.field("tokenizer.ggml.tokens")
        merges = [tuple(pair.split(" ")) for pair in self.field("tokenizer.ggml.merges")]
        vocabulary = {token: number for number, token in enumerate(tokens)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        steps: list[Any] = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        tokenizer.decoder = decoders.ByteLevel()
        kinds = self.field("tokenizer.ggml.token_type")
        special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
        return tokenizer

    def _tokenizer_config(self) -> dict[str, Any]:
        tokens = self.field("tokenizer.ggml.tokens")
        special = {
            f"{name}_token": tokens[self.field(f"tokenizer.ggml.{field}_token_id")]
            for name, field in [
                ("bos", "bos"),
                ("eos", "eos"),
                ("unk", "unknown"),
                ("pad", "padding"),
            ]
        }
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.field("llama.context_length"),
            "clean_up_tokenization_spaces": False,
            **special,
        }


def hugging_face_name(name: str) -> str:
    """The name of a weight in a Hugging Face Llama, from its name in GGUF."""
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    _blk, layer, inner, suffix = name.split(".")
    return f"model.layers.{layer}.{INNER_NAMES[inner]}.{suffix}"


def halves_apart(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Sorts the rows of each head: those at even places first, then those at odd places."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def bfloat16(weight: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the numbers in bfloat16: rounded to the nearest, ties to even, as torch does."""
    bits = np.ascontiguousarray(weight, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _shortest(number: float) -> float:
    """The number that was meant: GGUF holds 1e-05 as the float32 9.99999974e-06."""
    return float(str(np.float32(number)))
