"""An adapter whose weights cannot be used is refused, and the error says what is wrong with it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from python_worker.process.adapter_weights import (
    EMPTY_TARGETS,
    MODEL_MODULES,
    REPORTED,
    UNKNOWN_MODULES,
    UNUSED_PARTS,
    check_fit,
    check_tensors,
    check_weights,
    layer_sizes,
    listed,
    module_names,
    report_of,
    tell_unused,
    untouched_targets,
)

RANK, WIDTH = 2, 6


def weights(
    inputs: int = WIDTH,
    outputs: int = WIDTH,
    *,
    rank: int = RANK,
    scaling: Any = 1.0,
    dtype: Any = torch.float32,
    **tensors: Any,
) -> Any:
    made = {
        "lora_a": torch.ones(rank, inputs, dtype=dtype),
        "lora_b": torch.ones(outputs, rank, dtype=dtype),
    }
    return SimpleNamespace(rank=rank, scaling=scaling, **made | tensors)


def layer(*outputs: int, inputs: int = WIDTH) -> Any:
    return SimpleNamespace(
        lora_a_stacked=tuple(torch.zeros(2, 1, RANK, inputs) for _ in outputs),
        lora_b_stacked=tuple(torch.zeros(2, 1, it, RANK) for it in outputs),
    )


class PPMissingLayer:
    """As vLLM's."""


def manager(*, pooling: bool = False, pipeline: bool = False) -> Any:
    layers = [PPMissingLayer()] if pipeline else [object()]
    return SimpleNamespace(
        model=SimpleNamespace(modules=lambda: layers),
        modules={
            "model.layers.0.o_proj": layer(WIDTH),
            "model.layers.0.qkv_proj": layer(WIDTH, 4, 4),
            "model.embed": SimpleNamespace(lora_a_stacked=torch.zeros(2, 9, RANK)),
            "model.layers.0.mlp.experts": layer(WIDTH),
        },
        packed_modules={
            "model.layers.0.qkv_proj": [f"model.layers.0.{it}_proj" for it in "qkv"],
        },
        is_pooling_model=pooling,
    )


def adapter(*names: str, made: Any = None, saved: Any = None) -> Any:
    loras = {name: made or weights() for name in names}
    return SimpleNamespace(loras=loras, modules_to_save=saved or {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_named(value: float) -> None:
    tensor = torch.zeros(RANK, WIDTH)
    check_tensors({"fine": tensor.clone(), "no tensor": 1}, torch.float16)
    tensor[1, 4] = value
    with pytest.raises(ValueError, match=rf"o_proj\[1, 4\]: wants a finite number, got {value}"):
        check_tensors({"o_proj": tensor}, torch.float16)


def test_a_number_has_to_be_one_in_the_dtype_of_the_slots() -> None:
    large = {"o_proj": torch.full((1, 1), 1e38)}
    check_tensors(large, torch.bfloat16)
    with pytest.raises(ValueError, match="infinite as float16"):
        check_tensors(large, torch.float16)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (weights(scaling=math.nan), "make the factor nan"),
        (weights(scaling=math.inf), "make the factor inf"),
        (weights(scaling=1e300), "make the factor 1e\\+300"),
        (weights(scaling=1e6, dtype=torch.float16), "lora_B is infinite as float16"),
        (weights(scaling=1e30, lora_b=torch.full((6, 2), -1e10)), "lora_B is infinite as float32"),
        (weights(lora_b=None), "lora_B is missing, only lora_A"),
        (weights(lora_a=None), "lora_A is missing, only lora_B"),
        (weights(lora_a=torch.ones(WIDTH)), r"shapes .* got \[6\] and"),
        (weights(lora_a=torch.ones(1, WIDTH)), r"shapes .* got \[1, 6\] and \[6, 2\]"),
        (weights(lora_b=torch.ones(2, 3, 2)), r"shapes .* and \[2, 3, 2\]"),
    ],
)
def test_weights_that_cannot_be_used(made: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^o_proj: .*{said}"):
        check_weights("o_proj", made)


def test_a_rank_that_is_not_that_of_the_configuration() -> None:
    made = weights()
    made.rank = 4
    with pytest.raises(ValueError, match=r"have rank 2, adapter_config\.json says 4"):
        check_weights("o_proj", made)
    # Experts have their own layouts.
    check_weights("mlp.experts", made)


@pytest.mark.parametrize(
    "made",
    [
        weights(),
        weights(scaling=0),
        weights(scaling=-3e4, dtype=torch.float16),
        weights(scaling=2, lora_b=torch.ones(0, RANK)),
    ],
)
def test_weights_that_can_be_used(made: Any) -> None:
    check_weights("o_proj", made)


def test_an_adapter_of_which_nothing_applies_says_what_it_has_and_what_the_model_takes() -> None:
    other = adapter("h.0.o_proj", "h.1.o_proj")
    with pytest.raises(ValueError, match=r"the adapter has h\.\*\.o_proj; the model takes model\."):
        check_fit(other, manager())
    # A stage of a pipeline cannot tell, and a classification head is enough.
    assert check_fit(other, manager(pipeline=True)) == []
    assert check_fit(adapter("h.0.o_proj", saved={"score": 1}), manager()) == ["h.0.o_proj"]


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("model.layers.0.o_proj", weights(WIDTH, WIDTH + 1)),
        ("model.layers.0.o_proj", weights(WIDTH - 1, WIDTH)),
        ("model.layers.0.k_proj", weights(WIDTH, WIDTH)),
    ],
)
def test_weights_of_another_size_than_the_layer(name: str, made: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}: shapes .* must match the layer's 6 inputs and"):
        check_fit(adapter(name, made=made), manager())


def test_an_adapter_for_the_model_and_what_of_it_is_not_used() -> None:
    assert check_fit(adapter("model.layers.0.q_proj", "model.embed"), manager()) == []
    assert check_fit(adapter("model.layers.0.k_proj", made=weights(6, 4)), manager()) == []
    extra = adapter("model.layers.0.q_proj", "model.layers.1.q_proj")
    assert check_fit(extra, manager()) == ["model.layers.1.q_proj"]


def test_names_and_sizes() -> None:
    assert "model.layers.0.mlp.experts.base_layer" in module_names(manager())
    assert layer_sizes(manager()) == {
        "model.layers.0.o_proj": (6, 6),
        "model.layers.0.q_proj": (6, 6),
        "model.layers.0.k_proj": (6, 4),
        "model.layers.0.v_proj": (6, 4),
    }
    assert "layers.0.q_proj" in module_names(manager(pooling=True))
    assert "layers.0.q_proj" in layer_sizes(manager(pooling=True))
    split = manager()
    split.modules["model.layers.0.o_proj"].tp_size = 2
    assert "model.layers.0.o_proj" not in layer_sizes(split)


@pytest.mark.parametrize(
    ("targets", "untouched"),
    [
        (["o_proj", "k_proj"], ["k_proj"]),
        (["layers.0.o_proj", "proj"], ["proj"]),
        (".*_proj", []),
        (None, []),
    ],
)
def test_target_modules_without_weights(targets: Any, untouched: list[str]) -> None:
    assert untouched_targets(targets, ["model.layers.0.o_proj"]) == untouched


def test_what_is_not_used_is_told_once_for_each_kind() -> None:
    lines: list[str] = []
    unused = {UNKNOWN_MODULES: ["layers.1.a", "layers.2.a"], EMPTY_TARGETS: []}
    tell_unused(lambda text, *args: lines.append(text % args), "/adapter", unused)
    what = UNUSED_PARTS[UNKNOWN_MODULES]
    assert lines == [f"adapter in /adapter is used in part only: {what}: layers.*.a"]


def test_a_report_names_what_is_not_used_and_what_the_model_takes() -> None:
    many = [f"m{n}.x" for n in range(200)]
    unused = {UNKNOWN_MODULES: ["layers.1.a", "layers.2.a"], EMPTY_TARGETS: many}
    report = report_of(unused, lambda: ["layers.0.q", "layers.1.q"])
    assert report is not None
    assert report[UNKNOWN_MODULES] == ["layers.*.a"]
    assert report[EMPTY_TARGETS] == sorted(many)[:REPORTED]
    assert report[MODEL_MODULES] == ["layers.*.q"]
    assert report_of({UNKNOWN_MODULES: []}, lambda: ["m"]) is None


def test_many_names_are_shortened() -> None:
    assert listed([]) == "none"
    assert listed(f"m{n}.{n}.x" for n in range(9)) == (
        "m0.*.x, m1.*.x, m2.*.x, m3.*.x, m4.*.x, m5.*.x and 3 more"
    )
