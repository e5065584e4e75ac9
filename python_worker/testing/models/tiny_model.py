"""Makes tiny Llama model directories: ``python -m python_worker.testing.models.tiny_model``.

No download and no GPU: two layers of hidden size 128 that real vLLM serves on a CPU in float32.
The content depends on the arguments only, and a directory that is already right is left alone.

=========== ==================================================================================
kind        content
=========== ==================================================================================
random      ``LlamaForCausalLM`` with random weights: generates bytes; embeds with
            ``runner="pooling"``
scripted    ``LlamaForCausalLM`` whose greedy output is known in advance: see ``scripted_model``
classify    ``LlamaForSequenceClassification`` with ``--labels`` classes
=========== ==================================================================================
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from python_worker.testing.models import model_files, scripted_model
from python_worker.testing.models.model_files import Shape

KINDS = ("random", "scripted", "classify")


def random_model(
    path: str | Path,
    *,
    kind: str = "random",
    labels: int = 3,
    seed: int = 0,
    shape: Shape | None = None,
) -> Path:
    """Makes a Llama with random weights, unless ``path`` already holds it.

    Args:
        path: The directory to make.
        kind: "random" or "classify", as in the module's table.
        labels: The number of classes of a classifier.
        seed: Of the weights.
        shape: The model's sizes; the default is what the table says.

    Returns:
        The directory.
    """
    path, shape = Path(path), shape or Shape()
    stamp = model_files.stamp(kind, shape, labels=labels, seed=seed)
    if model_files.is_current(path, stamp):
        return path

    vocab_size = model_files.FIRST_PIECE_ID
    shapes = model_files.weight_shapes(shape, vocab_size=vocab_size)
    architecture = "LlamaForCausalLM"
    extra: dict[str, object] = {}
    if kind == "random":
        shapes["lm_head.weight"] = (vocab_size, shape.hidden)
    elif kind == "classify":
        architecture = "LlamaForSequenceClassification"
        shapes["score.weight"] = (labels, shape.hidden)
        extra["id2label"] = {str(n): f"LABEL_{n}" for n in range(labels)}
        extra["label2id"] = {f"LABEL_{n}": n for n in range(labels)}
    else:
        raise ValueError(f"kind must be random or classify, got {kind!r}")

    config = model_files.llama_config(shape, vocab_size=vocab_size, architecture=architecture)
    model_files.write(
        path,
        stamp=stamp,
        files={
            "config.json": {**config, **extra},
            "tokenizer.json": model_files.tokenizer_json(),
            "tokenizer_config.json": model_files.tokenizer_config(shape),
        },
        weights=_random_weights(shapes, seed),
    )
    return path


def _random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Any]:
    """Makes weights of these shapes: ones for norms, normally distributed numbers for the rest."""
    random = np.random.default_rng(seed)
    weights: dict[str, Any] = {}
    for name, size in shapes.items():
        if len(size) == 1:
            weights[name] = np.ones(size, np.float32)
        else:
            # Twice the usual spread keeps the best and the second best token well apart, so
            # that greedy output does not depend on the order of a floating-point sum.
            spread = 2.0 / np.sqrt(size[1])
            weights[name] = (random.standard_normal(size) * spread).astype(np.float32)
    return weights


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m python_worker.testing.models.tiny_model",
        description="Make a tiny model directory for tests. Idempotent; needs no network.",
    )
    parser.add_argument("out", type=Path, help="the directory to make")
    parser.add_argument("--kind", choices=KINDS, default="random")
    parser.add_argument("--labels", type=int, default=3, help="classes of --kind classify")
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    parser.add_argument("--script", type=Path, help="JSON chains of --kind scripted")
    options = parser.parse_args(argv)
    try:
        if options.kind == "scripted":
            script = scripted_model.DEFAULT_SCRIPT
            if options.script is not None:
                script = scripted_model.read_script(options.script)
            scripted_model.scripted_model(options.out, script=script)
        else:
            random_model(options.out, kind=options.kind, labels=options.labels, seed=options.seed)
    except (OSError, ValueError) as error:
        print(f"tiny_model: {error}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
