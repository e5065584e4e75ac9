"""Whether an adapter's weights can be used: finite, in pairs of one rank, and for this model.

vLLM loads an adapter of which half is missing, which is narrower than its layer, or whose modules
are none of the model's, and answers with the base model or with noise. These checks run in the
process that has the model, between reading the files and registering the adapter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from python_worker.finite import first_not_finite

SHOWN = 6
"""How many modules or tensors an error or a warning names."""

REPORTED = 64
"""How many of one kind a report names."""

FLOAT32_MAX = (2 - 2**-23) * 2.0**127
"""torch multiplies in float32, also numbers of smaller dtypes."""

# Experts have their own layouts, three-dimensional and packed, which vLLM checks.
EXPERTS = ".experts"

# The stand-in of vLLM for a layer that another stage of the pipeline has.
MISSING_LAYER = "PPMissingLayer"

Sizes = tuple[int, int]
"""How many inputs and outputs a layer has."""


class Weights(Protocol):
    """An adapter's weights for one module. One of them is None where its tensor is missing."""

    rank: int
    scaling: float
    lora_a: Any
    lora_b: Any


class Adapter(Protocol):
    """An adapter as vLLM has read it, with its weights by module."""

    loras: Mapping[str, Weights]
    modules_to_save: Mapping[str, object]


class Manager(Protocol):
    """What vLLM's manager of adapters knows of the model.

    Attributes:
        model: The model, a module of torch's.
        modules: Its layers that take adapters, by name.
        packed_modules: The names in an adapter of what one layer does together, such as
            ``q_proj`` of ``qkv_proj``.
        is_pooling_model: Then the names in an adapter may lack the prefix ``model.``.
    """

    model: Any
    modules: Mapping[str, Any]
    packed_modules: Mapping[str, list[str]]
    is_pooling_model: bool


# --- Numbers and shapes ---


def check_tensors(tensors: Mapping[str, Any], dtype: Any) -> None:
    """Refuse an adapter with a number that is none.

    Args:
        tensors: Its tensors, as they were read.
        dtype: What they will be cast to; None for what they are.

    Raises:
        ValueError: It names the tensor, the number's position and the number.
    """
    for name, tensor in tensors.items():
        found = first_not_finite(tensor, dtype) if hasattr(tensor, "is_floating_point") else None
        if found is not None:
            position = ", ".join(map(str, found.position))
            raise ValueError(f"{name}[{position}]: wants a finite number, got {found.text}")


def check_weights(name: str, weights: Weights) -> None:
    """Refuse weights of a module that are half, of two ranks, or scaled beyond what is finite.

    Raises:
        ValueError: It names the module.
    """
    check_scaling(name, weights)
    lora_a, lora_b = weights.lora_a, weights.lora_b
    for missing, there, tensor in (("A", "B", lora_a), ("B", "A", lora_b)):
        if tensor is None:
            raise ValueError(f"{name}: lora_{missing} is missing, only lora_{there} is there")
    if EXPERTS in name:
        return
    shapes = [list(lora_a.shape), list(lora_b.shape)]
    if lora_a.ndim != 2 or lora_b.ndim != 2 or not lora_a.shape[0] == lora_b.shape[1]:
        raise ValueError(
            f"{name}: lora_A and lora_B want the shapes [rank, inputs] and [outputs, rank], got "
            f"{shapes[0]} and {shapes[1]}"
        )
    if lora_a.shape[0] != weights.rank:
        raise ValueError(
            f"{name}: the weights have rank {lora_a.shape[0]}, adapter_config.json says "
            f"{weights.rank}"
        )


def check_scaling(name: str, weights: Weights) -> None:
    """Refuse a factor that is none, or that makes numbers that are none of the weights.

    Raises:
        ValueError: It names the module.
    """
    scaling, lora_b = weights.scaling, weights.lora_b
    if not abs(scaling) <= FLOAT32_MAX:
        raise ValueError(
            f"{name}: lora_alpha and r in adapter_config.json make the factor {scaling:g}, which "
            "is no finite number as float32"
        )
    if lora_b is None or abs(scaling) <= 1 or not lora_b.numel():
        return
    if not all(math.isfinite(end * scaling) for end in lora_b.aminmax()):
        raise ValueError(
            f"{name}: lora_B is infinite as {str(lora_b.dtype).removeprefix('torch.')} when it is "
            f"multiplied by {scaling:g}, the factor that lora_alpha and r in adapter_config.json "
            "make"
        )


# --- The model ---


def check_fit(adapter: Adapter, manager: Manager) -> list[str]:
    """Refuse an adapter of which nothing, or a part in another size, is for this model.

    Returns:
        The modules of the adapter that the model does not have.

    Raises:
        ValueError: It says what the adapter has, and what the model takes.
    """
    names = module_names(manager)
    unused = [name for name in adapter.loras if name not in names]
    # One stage of a pipeline cannot tell what another one takes.
    is_whole = not any(type(it).__name__ == MISSING_LAYER for it in manager.model.modules())
    if is_whole and len(unused) == len(adapter.loras) and not adapter.modules_to_save:
        raise ValueError(
            f"no module of the adapter is one of the model's: the adapter has "
            f"{listed(adapter.loras)}; the model takes {listed(names)}"
        )
    sizes = layer_sizes(manager)
    for name, weights in adapter.loras.items():
        if name in sizes:
            _check_size(name, weights, *sizes[name])
    return unused if is_whole else []


def _check_size(name: str, weights: Weights, inputs: int, outputs: int) -> None:
    if (weights.lora_a.shape[1], weights.lora_b.shape[0]) != (inputs, outputs):
        raise ValueError(
            f"{name}: shapes {list(weights.lora_a.shape)} of lora_A and "
            f"{list(weights.lora_b.shape)} of lora_B must match the layer's {inputs} inputs and "
            f"{outputs} outputs"
        )


def module_names(manager: Manager) -> set[str]:
    """The names under which adapters may have weights for the model."""
    names = set(manager.modules)
    for module, parts in manager.packed_modules.items():
        names |= {*parts, module}
    # Two layers of all experts share one name.
    names |= {f"{name}.base_layer" for name in names if name.endswith(EXPERTS)}
    if manager.is_pooling_model:
        names |= {name.removeprefix("model.") for name in names}
    return names


def layer_sizes(manager: Manager) -> dict[str, Sizes]:
    """The sizes of the layers that have plain ones, by their names in an adapter."""
    sizes: dict[str, Sizes] = {}
    for module, layer in manager.modules.items():
        parts = manager.packed_modules.get(module, [module])
        stacks: Any = getattr(layer, "lora_a_stacked", None)
        # Of a layer that is split among processes this one has a part. Of an embedding and of the
        # head vLLM compares the vocabulary.
        is_plain = isinstance(stacks, tuple) and getattr(layer, "tp_size", 1) == 1
        if not is_plain or EXPERTS in module or len(stacks) != len(parts):
            continue
        for part, lora_a, lora_b in zip(parts, stacks, layer.lora_b_stacked, strict=True):
            sizes[part] = (lora_a.shape[-1], lora_b.shape[-2])
    if manager.is_pooling_model:
        sizes |= {name.removeprefix("model."): it for name, it in sizes.items()}
    return sizes


# --- What is not used ---

UNKNOWN_MODULES = "unknown_modules"
BASE_TENSORS = "base_tensors"
EMPTY_TARGETS = "empty_targets"
MODEL_MODULES = "model_modules"

UNUSED_PARTS: Mapping[str, str] = {
    UNKNOWN_MODULES: "modules that the model does not have",
    BASE_TENSORS: "tensors of the base model itself are not loaded",
    EMPTY_TARGETS: "target_modules in adapter_config.json without weights",
}
"""What an adapter may have beside what is used of it, and what the log calls it."""

Report = dict[str, list[str]]
"""Names of the parts that are not used, and of the model's modules, as the notice
``AdapterPartlyUsed`` has them."""


def untouched_targets(targets: object, modules: Collection[str]) -> list[str]:
    """The target modules of an adapter's configuration for which it has no weights.

    Args:
        targets: ``target_modules``: names of modules, the ends of such, or one regular expression.
        modules: The modules that the adapter has weights for.
    """
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        return []
    return [
        str(target)
        for target in targets
        if not any(module == target or module.endswith(f".{target}") for module in modules)
    ]


def tell_unused(warn: Callable[..., object], path: str, unused: Mapping[str, list[str]]) -> None:
    """Warn of what an adapter has and the model does not use.

    Args:
        warn: Writes a line of the log, with arguments.
        path: Of the adapter.
        unused: What there is, by the keys of ``UNUSED_PARTS``.
    """
    for part, names in unused.items():
        if names:
            what = UNUSED_PARTS[part]
            warn("adapter in %s is used in part only: %s: %s", path, what, listed(names))


def report_of(
    unused: Mapping[str, list[str]], modules: Callable[[], Iterable[str]]
) -> Report | None:
    """What is told of an adapter that is used in part only; None for one that is used as a whole.

    Args:
        unused: What there is, by the keys of ``UNUSED_PARTS``.
        modules: Gives what the model takes.
    """
    if not any(unused.values()):
        return None
    report = {part: in_all_layers(names)[:REPORTED] for part, names in unused.items()}
    return {**report, MODEL_MODULES: in_all_layers(modules())[:REPORTED]}


def in_all_layers(names: Iterable[str]) -> list[str]:
    """Names in order, those that differ by the number of a layer as one."""
    return sorted({re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name) for name in names})


def listed(names: Iterable[str]) -> str:
    """Some names as a text, those of all layers as one."""
    shapes = in_all_layers(names)
    more = f" and {len(shapes) - SHOWN} more" if len(shapes) > SHOWN else ""
    return (", ".join(shapes[:SHOWN]) or "none") + more
