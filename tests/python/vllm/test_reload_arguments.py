"""What a reload is let through with is what the workers of the installed vLLM take."""

from __future__ import annotations

import ast

from python_worker.engines.guards.weights import SIGNATURES
from python_worker.gen.drift.package import installed


def test_the_parameters_are_those_of_the_workers() -> None:
    source = (installed() / "v1/worker/gpu_model_runner.py").read_text(encoding="utf-8")
    [method] = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "reload_weights"
    ]
    names = [argument.arg for argument in method.args.args]
    assert names == ["self", *SIGNATURES["reload_weights"].parameters]


def test_what_is_said_before_anything_is_touched_is_what_vllm_says() -> None:
    path = installed() / "model_executor/model_loader/reload/inplace.py"
    source = path.read_text(encoding="utf-8")
    refusal = source.index("Model reloading with")
    assert refusal < source.index("model_config.model = weights_path")
    assert refusal < source.index("model.load_weights(")
