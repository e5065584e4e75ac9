"""Writes a Llama model directory: configuration, byte-level tokenizer, weights.

vLLM gets exactly the files of a model downloaded from a hub. Only NumPy, ``tokenizers`` and
``safetensors`` are needed, so a directory takes a few milliseconds to make.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
SPECIAL_TOKENS = (PAD, BOS, EOS, *ROLES)

#: The id of byte 0: bytes follow the special tokens, pieces follow the bytes.
FIRST_BYTE_ID = len(SPECIAL_TOKENS)
FIRST_PIECE_ID = FIRST_BYTE_ID + 256

#: Renders the four roles and a list of tools. ``{tail}`` opens the assistant's turn.
CHAT_TEMPLATE = (
    "{{{{ bos_token }}}}"
    "{{% if tools %}}<|system|>tools: {{{{ tools | tojson }}}}\n{{% endif %}}"
    "{{% for message in messages %}}"
    "{{{{ '<|' + message.role + '|>' + (message.content or '') }}}}"
    "{{% if message.tool_calls %}}{{{{ message.tool_calls | tojson }}}}{{% endif %}}"
    "{{{{ '\n' if not loop.last else '' }}}}"
    "{{% endfor %}}"
    "{{% if add_generation_prompt %}}{tail}{{% endif %}}"
)

#: Names what made a directory; raise it when the content of any kind changes.
RECIPE = 1
STAMP = "tiny_model.json"

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama.

    ``head_size`` must be one that vLLM's CPU attention knows: 32, 64, 80, 96, 112, 128, ...
    """

    hidden: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 256
    max_positions: int = 2048

    @property
    def head_size(self) -> int:
        """The width of one attention head."""
        return self.hidden // self.heads


def byte_alphabet() -> list[str]:
    """Returns the character that stands for each byte in a byte-level vocabulary.

    This is GPT-2's mapping, the one ``tokenizers`` decodes: printable bytes stand for themselves,
    the others for the code points from 256 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def tokenizer_json(pieces: Sequence[str] = ()) -> str:
    """Returns the text of a ``tokenizer.json`` that can encode every text.

    Args:
        pieces: Texts that are one token each wherever they occur; the longest wins. All other
            text becomes one token per UTF-8 byte.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    alphabet = byte_alphabet()
    names = [*SPECIAL_TOKENS, *alphabet]
    names += ["".join(alphabet[byte] for byte in piece.encode()) for piece in pieces]
    vocabulary = {name: number for number, name in enumerate(names)}
    if len(vocabulary) != len(names):
        raise ValueError("a piece is listed twice, or is a single byte or a special token")

    # With ignore_merges a pre-token that is in the vocabulary is one token. Splitting at the
    # pieces is then all it takes, without a merge for every prefix of every piece.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    steps: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    if pieces:
        pattern = "|".join(re.escape(piece) for piece in sorted(pieces, key=len, reverse=True))
        steps.insert(0, pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL_TOKENS])
    return str(tokenizer.to_str(pretty=True))


def tokenizer_config(shape: Shape, *, opens_turn: bool = True) -> dict[str, Any]:
    """Returns the content of ``tokenizer_config.json``.

    Args:
        shape: The model's sizes.
        opens_turn: Whether a generation prompt ends in the assistant's role token.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "bos_token": BOS,
        "eos_token": EOS,
        "model_max_length": shape.max_positions,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE.format(tail="\n<|assistant|>" if opens_turn else ""),
    }


def llama_config(shape: Shape, *, vocab_size: int, architecture: str) -> dict[str, Any]:
    """Returns the content of ``config.json``."""
    return {
        "architectures": [architecture],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": vocab_size,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "max_position_embeddings": shape.max_positions,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "pad_token_id": SPECIAL_TOKENS.index(PAD),
        "bos_token_id": SPECIAL_TOKENS.index(BOS),
        "eos_token_id": SPECIAL_TOKENS.index(EOS),
    }


def weight_shapes(shape: Shape, *, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Returns the names and shapes of the weights of a Llama without its head, in order."""
    hidden, kv_width = shape.hidden, shape.kv_heads * shape.head_size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab_size, hidden)}
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        shapes |= {
            prefix + "self_attn.q_proj.weight": (hidden, hidden),
            prefix + "self_attn.k_proj.weight": (kv_width, hidden),
            prefix + "self_attn.v_proj.weight": (kv_width, hidden),
            prefix + "self_attn.o_proj.weight": (hidden, hidden),
            prefix + "mlp.gate_proj.weight": (shape.intermediate, hidden),
            prefix + "mlp.up_proj.weight": (shape.intermediate, hidden),
            prefix + "mlp.down_proj.weight": (hidden, shape.intermediate),
            prefix + "input_layernorm.weight": (hidden,),
            prefix + "post_attention_layernorm.weight": (hidden,),
        }
    shapes["model.norm.weight"] = (hidden,)
    return shapes


def stamp(kind: str, shape: Shape, **rest: object) -> dict[str, Any]:
    """Returns what identifies the content of a directory: equal stamps, equal files."""
    recipe = {"kind": kind, "recipe": RECIPE, "shape": asdict(shape), **rest}
    text = json.dumps(recipe, sort_keys=True)
    return {"kind": kind, "digest": hashlib.sha256(text.encode()).hexdigest()}


def is_current(path: Path, wanted: Mapping[str, Any]) -> bool:
    """Tells whether ``path`` already holds what ``wanted`` (a stamp) describes."""
    try:
        return bool(json.loads((path / STAMP).read_text()) == dict(wanted))
    except (OSError, ValueError):
        return False


def write(
    path: Path,
    *,
    stamp: Mapping[str, Any],
    files: Mapping[str, object],
    weights: Weights | None,
    weights_file: str = "model.safetensors",
) -> None:
    """Writes a model or adapter directory in one step: it is there whole, or as it was before.

    Args:
        path: The directory. It is replaced when an earlier run made it.
        stamp: What ``is_current`` will look for.
        files: Name to content: text as it is, anything else as JSON.
        weights: Name to tensor; None for a directory without them.
        weights_file: The name of the file they go to.

    Raises:
        FileExistsError: ``path`` exists and is not the work of an earlier run.
    """
    from safetensors.numpy import save_file

    if path.exists() and any(path.iterdir()) and not (path / STAMP).exists():
        raise FileExistsError(f"{path} exists and was not made by tiny_model; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        draft.chmod(0o755)
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
            (draft / name).write_text(text, encoding="utf-8")
        if weights is not None:
            save_file(dict(weights), draft / weights_file, metadata={"format": "pt"})
        (draft / STAMP).write_text(json.dumps(dict(stamp)) + "\n")
        if path.exists():
            shutil.rmtree(path)
        os.replace(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
