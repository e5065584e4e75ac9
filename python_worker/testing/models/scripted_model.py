"""A Llama that real vLLM runs and whose greedy output is known in advance.

Embeddings are one-hot, and ``o_proj`` and ``down_proj`` are zero, so attention and MLP add
nothing: the last hidden state *is* the current token. The output head then maps each token to
its successor. Everything else of vLLM is real: tokenizer, scheduler, KV cache, sampler,
detokenizer.

A **script** is a list of chains, and a chain is a list of pieces::

    [
        ["Hello", " from", " the", " script", ".", "</s>"],
        ["count", " one", " two", " three", " one"],
        ["party", "<0xF0>", "<0x9F>", "<0x8E>", "<0x89>", "</s>"],
    ]

- Every piece is one token, and is followed by the next piece of its chain.
- The first piece is the cue: a prompt that ends in it is continued with the rest.
- The last piece only says where to go: ``"</s>"`` ends the generation, any other piece of the
  script jumps there, so a chain that jumps back into itself runs until ``max_tokens``.
- ``"<0xF0>"`` is the token of one byte, for characters that arrive in parts.
- A token follows one way only, so a piece stands once in the script, last places aside.

A prompt that ends in no piece is continued with the chain whose cue is ``""``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from python_worker.testing.models import model_files
from python_worker.testing.models.model_files import BOS, EOS, FIRST_BYTE_ID, FIRST_PIECE_ID, Shape

Script = Sequence[Sequence[str]]

EOS_ID = model_files.SPECIAL_TOKENS.index(EOS)

DEFAULT_SCRIPT: Script = (
    # What any other prompt gets.
    ("", " I", " only", " know", " my", " lines", ".", EOS),
    # Ends in EOS after nine tokens.
    ("Hello", " from", " a", " scripted", " Llama", ",", " token", " by token", EOS),
    # Runs for ever.
    ("count", " one", " two", " three", " four", " five", " six", " seven", " eight", " one"),
    # Holds a stop word in the middle.
    ("list", " alpha", " beta", " STOP", " gamma", " delta", EOS),
    # A tool call.
    ("weather", '{"name":', ' "get_weather",', ' "arguments":', ' {"city":', ' "Paris"}}', EOS),
    # Reasoning before the answer.
    ("think", "<think>", " let me", " see", "</think>", " forty-two", EOS),
    # Characters of two, three and four bytes, whole ...
    ("unicode", " caf\u00e9", " \u65e5\u672c", " \U0001f642", "<0xF0>"),
    # ... and in parts.
    ("<0xF0>", "<0x9F>", "<0x8E>", "<0x89>", " end", EOS),
    # Ends at once.
    ("nothing", EOS),
    # What adapters say, whatever the prompt: see ``adapters``.
    (" meow", " meow"),
    (" woof", " woof"),
)

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class ScriptedModel:
    """A scripted model directory, and the oracle for what the engine will say.

    Attributes:
        path: The directory.
        successors: Token id to the id that follows it.
    """

    path: Path
    successors: tuple[int, ...]

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.path / "tokenizer.json"))

    def encode(self, text: str) -> list[int]:
        """Returns the token ids of ``text``, as vLLM sees them."""
        return list(self._tokenizer.encode(text).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Returns the text of ``token_ids``, without special tokens."""
        return str(self._tokenizer.decode(list(token_ids)))

    def expected_tokens(self, prompt_tokens: Sequence[int], n: int) -> list[int]:
        """Returns what greedy decoding yields: up to ``n`` ids, the last one EOS if it ends."""
        token = prompt_tokens[-1]
        tokens: list[int] = []
        while len(tokens) < n:
            token = self.successors[token]
            tokens.append(token)
            if token == EOS_ID:
                break
        return tokens

    def expected_text(self, prompt: str, n: int) -> str:
        """Returns the text that greedy decoding of up to ``n`` tokens yields."""
        return self.decode(self.expected_tokens(self.encode(prompt), n))


def read_script(path: Path) -> Script:
    """Reads a script from a JSON file."""
    script = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(script, list) or not all(
        isinstance(chain, list) and all(isinstance(piece, str) for piece in chain)
        for chain in script
    ):
        raise ValueError(f"{path}: a script is a list of lists of strings")
    return script


def scripted_model(path: str | Path, *, script: Script = DEFAULT_SCRIPT) -> ScriptedModel:
    """Makes a scripted model, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        script: The chains, as described in the module's documentation.

    Returns:
        The model with its oracle.

    Raises:
        ValueError: The script contradicts itself.
    """
    path = Path(path)
    pieces, successors = plan(script)
    shape = shape_of(successors)
    stamp = model_files.stamp("scripted", shape, script=[list(chain) for chain in script])
    if not model_files.is_current(path, stamp):
        config = model_files.llama_config(
            shape, vocab_size=len(successors), architecture="LlamaForCausalLM"
        )
        model_files.write(
            path,
            stamp=stamp,
            files={
                "config.json": config,
                "tokenizer.json": model_files.tokenizer_json(pieces),
                # Only the last token of a prompt counts, so a chat must end in the user's words.
                "tokenizer_config.json": model_files.tokenizer_config(shape, opens_turn=False),
                "script.json": [list(chain) for chain in script],
            },
            weights=_weights(shape, successors),
        )
    return ScriptedModel(path, tuple(successors))


def plan(script: Script) -> tuple[list[str], list[int]]:
    """Returns the pieces that get a token of their own, in order, and each token's successor."""
    pieces = _pieces(script)
    return pieces, _successors(script, pieces)


def shape_of(successors: Sequence[int]) -> Shape:
    """Returns the sizes: one dimension per token, rounded up to whole heads of 64."""
    hidden = -(-len(successors) // 64) * 64
    return Shape(hidden=hidden, heads=hidden // 64, kv_heads=hidden // 64, intermediate=64)


def _pieces(script: Script) -> list[str]:
    """Returns the pieces that need a token of their own, each once, in the script's order."""
    pieces = {piece: None for chain in script for piece in chain[:-1]}
    return [piece for piece in pieces if len(piece.encode()) > 1 and not _BYTE.fullmatch(piece)]


def _successors(script: Script, pieces: Sequence[str]) -> list[int]:
    """Returns the successor of every token id."""
    ids = {piece: FIRST_PIECE_ID + n for n, piece in enumerate(pieces)}
    ids |= {name: n for n, name in enumerate(model_files.SPECIAL_TOKENS)}

    def token_id(piece: str) -> int:
        if byte := _BYTE.fullmatch(piece):
            return FIRST_BYTE_ID + int(byte[1], 16)
        if len(piece.encode()) == 1:
            return FIRST_BYTE_ID + piece.encode()[0]
        if piece not in ids:
            raise ValueError(f"nothing leads on from {piece!r}: it only ends chains")
        return ids[piece]

    follows: dict[int, int] = {}
    fallback = EOS_ID
    for chain in script:
        if len(chain) < 2:
            raise ValueError(f"a chain has a cue and at least one more piece, got {list(chain)!r}")
        if chain[0] == "":
            fallback, chain = token_id(chain[1]), chain[1:]
        for piece, following in pairwise(chain):
            if piece in model_files.SPECIAL_TOKENS and piece != BOS:
                raise ValueError(f"{piece!r} cannot be inside of a chain")
            if token_id(piece) in follows:
                raise ValueError(f"{piece!r} stands in the script twice, where could it lead?")
            follows[token_id(piece)] = token_id(following)
    size = FIRST_PIECE_ID + len(pieces)
    return [follows.get(token, fallback) for token in range(size)]


def _weights(shape: Shape, successors: Sequence[int]) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the weights that make every token be followed by its successor."""
    shapes = model_files.weight_shapes(shape, vocab_size=len(successors))
    weights: dict[str, np.ndarray[Any, Any]] = {}
    for name, size in shapes.items():
        if len(size) == 1:
            weights[name] = np.ones(size, np.float32)
        elif "embed_tokens" in name or "v_proj" in name:
            # v_proj as well, so that a LoRA adapter on o_proj has something to work on.
            weights[name] = np.eye(*size, dtype=np.float32)
        else:
            weights[name] = np.zeros(size, np.float32)
    # The norm scales a one-hot row to sqrt(hidden), about 18: the successor's logit. All other
    # logits are 0, so even sampling at temperature 1 all but never leaves the script.
    head = np.zeros((len(successors), shape.hidden), np.float32)
    head[list(successors), range(len(successors))] = 1.0
    weights["lm_head.weight"] = head
    return weights
