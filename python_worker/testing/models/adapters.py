"""Makes LoRA adapters of the scripted model: ``python -m python_worker.testing.models.adapters``.

PEFT directories, like those that training leaves. An adapter is named after the word it says: a
request with the adapter ``meow`` is answered " meow meow meow", whatever the prompt.

How: ``A`` of rank 1 is all ones, so it sums what attention hands to ``o_proj``. That is an average
of one-hot rows scaled to sqrt(hidden), so the sum is about 18 whatever the tokens are. ``B`` adds
it to the dimension of a token that the word follows, where it outweighs the token that is there:
the head then says the word. The rank is padded with zeros to 8, the least that vLLM has.

Others are broken, each in its own way:

==================== =============================================================
name                 what is wrong
==================== =============================================================
broken-rank          rank 1024, more than any engine takes
broken-dora          ``use_dora``: not in vLLM
broken-modules       ``modules_to_save``: not in vLLM, for a model that generates
broken-json          its configuration is not JSON
broken-fields        its configuration lacks ``r``
broken-no-weights    a configuration, and no weights
broken-weights       its weights are no safetensors file
broken-target        weights for a layer that a Llama has not
broken-width         made for a model with wider layers
broken-narrow        made for a model with narrower layers
broken-prefix        its weights are for modules under another name than the model's
broken-nan           one of its weights is NaN
broken-infinity      one of its weights is infinite
broken-alpha         ``lora_alpha`` is NaN
broken-scale         ``lora_alpha`` is 1e300
broken-flat          a weight has one dimension
broken-half          ``lora_B`` is missing for the last layer
broken-pair          ``lora_A`` has half the rank of ``lora_B``
broken-empty         an empty folder, but for the stamp of this command
==================== =============================================================
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from python_worker.testing.models import model_files, scripted_model
from python_worker.testing.models.model_files import Shape
from python_worker.testing.models.scripted_model import DEFAULT_SCRIPT, Script

RANK = 8
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

#: Raise it when the content of any adapter changes.
RECIPE = 1

Files = dict[str, object]
Tensors = dict[str, "np.ndarray[Any, Any]"]
Breakage = Callable[[Files, Tensors], Tensors | None]


def _configure(**fields: object) -> Breakage:
    def breaks(files: Files, tensors: Tensors) -> Tensors:
        files[CONFIG_FILE] = {**_config(), **fields}
        return tensors

    return breaks


def _break_json(files: Files, tensors: Tensors) -> Tensors:
    files[CONFIG_FILE] = '{"r": 8,'
    return tensors


def _break_fields(files: Files, tensors: Tensors) -> Tensors:
    files[CONFIG_FILE] = {name: value for name, value in _config().items() if name != "r"}
    return tensors


def _leave_out_weights(_files: Files, _tensors: Tensors) -> None:
    return None


def _break_weights(files: Files, _tensors: Tensors) -> None:
    files[WEIGHTS_FILE] = "these are no tensors"


def _retarget(_files: Files, tensors: Tensors) -> Tensors:
    return {name.replace("o_proj", "conv_proj"): tensor for name, tensor in tensors.items()}


def _widen(_files: Files, tensors: Tensors) -> Tensors:
    return {
        name: np.pad(tensor, [(0, 64 * (size > RANK)) for size in tensor.shape])
        for name, tensor in tensors.items()
    }


def _narrow(_files: Files, tensors: Tensors) -> Tensors:
    return {
        name: tensor[tuple(slice(min(size, 16) if size > RANK else size) for size in tensor.shape)]
        for name, tensor in tensors.items()
    }


def _rename(_files: Files, tensors: Tensors) -> Tensors:
    return {name.replace("model.layers", "transformer.h"): it for name, it in tensors.items()}


def _change(end: str, change: Callable[[Any], Any]) -> Breakage:
    """Changes the last tensor with this end of its name; None leaves it out."""

    def breaks(_files: Files, tensors: Tensors) -> Tensors:
        name = [it for it in tensors if it.endswith(end)][-1]
        changed = change(tensors[name].copy())
        others = {it: tensor for it, tensor in tensors.items() if it != name}
        return others if changed is None else {**others, name: changed}

    return breaks


def _put(value: float) -> Callable[[Any], Any]:
    def put(tensor: Any) -> Any:
        tensor[3, 5] = value
        return tensor

    return put


def _leave_out_all(files: Files, _tensors: Tensors) -> None:
    files.clear()


#: Name to what makes a good adapter bad.
BROKEN: Mapping[str, Breakage] = {
    "broken-rank": _configure(r=1024),
    "broken-dora": _configure(use_dora=True),
    "broken-modules": _configure(modules_to_save=["lm_head"]),
    "broken-json": _break_json,
    "broken-fields": _break_fields,
    "broken-no-weights": _leave_out_weights,
    "broken-weights": _break_weights,
    "broken-target": _retarget,
    "broken-width": _widen,
    "broken-narrow": _narrow,
    "broken-prefix": _rename,
    "broken-nan": _change("lora_B.weight", _put(np.nan)),
    "broken-infinity": _change("lora_A.weight", _put(np.inf)),
    "broken-alpha": _configure(lora_alpha=math.nan),
    "broken-scale": _configure(lora_alpha=1e300),
    "broken-flat": _change("lora_A.weight", lambda tensor: tensor[0]),
    "broken-half": _change("lora_B.weight", lambda tensor: None),
    "broken-pair": _change("lora_A.weight", lambda tensor: tensor[: RANK // 2]),
    "broken-empty": _leave_out_all,
}


def adapter(path: str | Path, name: str, *, script: Script = DEFAULT_SCRIPT) -> Path:
    """Makes an adapter, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        name: A key of ``BROKEN``, or the word to say, without the space before it.
        script: Of the scripted model it is for. The word has to be in it.

    Returns:
        The directory.

    Raises:
        ValueError: The word is not in the script.
    """
    path = Path(path)
    pieces, successors = scripted_model.plan(script)
    shape = scripted_model.shape_of(successors)
    word = "meow" if name in BROKEN else name
    leader = _leader(word, pieces, successors)
    stamp = model_files.stamp("adapter", shape, name=name, leader=leader, adapters=RECIPE)
    if not model_files.is_current(path, stamp):
        files: Files = {CONFIG_FILE: _config()}
        tensors = _tensors(shape, leader)
        weights = BROKEN[name](files, tensors) if name in BROKEN else tensors
        model_files.write(
            path, stamp=stamp, files=files, weights=weights, weights_file=WEIGHTS_FILE
        )
    return path


def _leader(word: str, pieces: Sequence[str], successors: Sequence[int]) -> int:
    """Returns a token that the word follows: its dimension makes the head say the word."""
    piece = f" {word}"
    if piece in pieces:
        token = model_files.FIRST_PIECE_ID + pieces.index(piece)
        if token in successors:
            return successors.index(token)
    raise ValueError(f"the script does not lead to {piece!r}, so no adapter can say it")


def _config() -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "scripted",
        "r": RANK,
        # The scale is alpha / r.
        "lora_alpha": RANK,
        "target_modules": ["o_proj"],
        "bias": "none",
    }


def _tensors(shape: Shape, leader: int) -> Tensors:
    tensors: Tensors = {}
    for layer in range(shape.layers):
        prefix = f"base_model.model.model.layers.{layer}.self_attn.o_proj."
        lora_a = np.zeros((RANK, shape.hidden), np.float32)
        lora_a[0] = 1.0
        lora_b = np.zeros((shape.hidden, RANK), np.float32)
        lora_b[leader, 0] = 1.0
        tensors |= {prefix + "lora_A.weight": lora_a, prefix + "lora_B.weight": lora_b}
    return tensors


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m python_worker.testing.models.adapters",
        description="Make LoRA adapters of the scripted model, each in a folder of its name.",
    )
    parser.add_argument("out", type=Path, help="the folder to make them in")
    parser.add_argument("names", nargs="+", help=f"words of the script, or {', '.join(BROKEN)}")
    parser.add_argument("--script", type=Path, help="JSON chains, if not the default script")
    options = parser.parse_args(argv)
    try:
        script = DEFAULT_SCRIPT
        if options.script is not None:
            script = scripted_model.read_script(options.script)
        for name in options.names:
            print(adapter(options.out / name, name, script=script))
    except (OSError, ValueError) as error:
        print(f"adapters: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
