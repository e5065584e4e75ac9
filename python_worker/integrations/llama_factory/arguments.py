"""The arguments of LLaMA-Factory: checked against its classes, and read by its parser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from python_worker.exceptions import BridgeError, InvalidArgument, Kind, Unsupported
from python_worker.integrations.llama_factory.hosting import Library
from python_worker.validation.annotations import checker
from python_worker.validation.classes import fields_of
from python_worker.validation.type_hints import hints_of

# By the name of a map: LLaMA-Factory's class of its fields, in the order of its engine's arguments.
CLASSES: Final[Mapping[str, str]] = {
    "model_args": "ModelArguments",
    "data_args": "DataArguments",
    "finetuning_args": "FinetuningArguments",
    "generating_args": "GeneratingArguments",
}

BACKEND: Final = "vllm"

# The other back ends of LLaMA-Factory, and what to do instead.
OTHER_BACKENDS: Final[Mapping[str, str]] = {
    "huggingface": "run a model of Transformers with Vllm.Inference.TransformersProvider",
    "sglang": "leave infer_backend out to run the model with vLLM",
}

Arguments = Mapping[str, Any]


class ModelNotFound(BridgeError):
    """There is no model, adapter or tokenizer at the place that was named."""

    kind = Kind.NOT_FOUND


def grouped(library: Library, flat: Arguments) -> dict[str, dict[str, Any]]:
    """Sorts arguments into the four maps by the class that has the field.

    Raises:
        InvalidArgument: No class has it.
    """
    groups: dict[str, dict[str, Any]] = {name: {} for name in CLASSES}
    owners = {field: name for name in CLASSES for field in _fields(library, name)}
    for name, value in flat.items():
        if name not in owners:
            raise InvalidArgument(
                f"args: LLaMA-Factory has no argument {name!r} for inference", parameter=name
            )
        groups[owners[name]][name] = value
    return groups


def parsed(library: Library, groups: Mapping[str, Arguments]) -> tuple[Any, ...]:
    """What LLaMA-Factory's parser makes of the four maps.

    Args:
        library: LLaMA-Factory.
        groups: By the names in ``CLASSES``.

    Raises:
        InvalidArgument: An argument is unknown or has the wrong type.
        ValueError: LLaMA-Factory refuses what they are together.
        Unsupported: They need another back end or library.
        ModelNotFound: There is no such model.
    """
    flat: dict[str, Any] = {}
    for name in CLASSES:
        flat |= _checked(library, name, groups.get(name, {}))
    flat["infer_backend"] = BACKEND
    return reading(lambda: library.hparams.get_infer_args(flat))  # type: ignore[no-any-return]


def reading(read: Callable[[], Any]) -> Any:
    """Calls what reads arguments or a model's files.

    Raises:
        ModelNotFound: A file is missing.
        Unsupported: A library is missing.
        InvalidArgument: LLaMA-Factory or Transformers cannot use what it read.
        ValueError: LLaMA-Factory refuses an argument.
    """
    try:
        return read()
    except (BridgeError, ValueError, MemoryError):
        raise
    except OSError as error:
        raise ModelNotFound(f"model_name_or_path: {error}", parameter="model_name_or_path") from (
            error
        )
    except (ImportError, NotImplementedError) as error:
        raise Unsupported(f"the arguments need what is not here: {error}") from error
    except Exception as error:
        raise InvalidArgument(
            f"LLaMA-Factory cannot use these arguments: {type(error).__name__}: {error}"
        ) from error


def _checked(library: Library, group: str, given: Arguments) -> dict[str, Any]:
    """The arguments of one map, each fit for its field."""
    hints, fields = hints_of(_class(library, group)), _fields(library, group)
    checked = {}
    for name, value in given.items():
        path = f"{group}.{name}"
        if name not in fields:
            raise InvalidArgument(
                f"{group}: LLaMA-Factory's {CLASSES[group]} has no field {name!r}", parameter=path
            )
        own = _OWN_CHECKS.get(name)
        checked[name] = own(value, path) if own else checker(hints[name])(value, path)
    return checked


def _class(library: Library, group: str) -> Any:
    return getattr(library.hparams, CLASSES[group])


def _fields(library: Library, group: str) -> list[str]:
    cls = _class(library, group)
    assert dataclasses.is_dataclass(cls)
    return fields_of(cls) or []  # type: ignore[arg-type]


def _backend(value: object, path: str) -> str:
    if value == BACKEND:
        return BACKEND
    known = OTHER_BACKENDS.get(value) if isinstance(value, str) else None
    raise Unsupported(
        f"{path}: the worker runs the back end 'vllm' only, got {value!r}; "
        f"{known or 'leave it out'}",
        parameter=path,
    )


def _vllm_config(value: object, path: str) -> dict[str, Any] | None:
    """A map of engine arguments. LLaMA-Factory would ignore a text that is no JSON object."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"{path}: is no JSON: {error}", parameter=path) from error
    if value is not None and not (
        isinstance(value, dict) and all(isinstance(name, str) for name in value)
    ):
        raise InvalidArgument(
            f"{path}: wants a map of engine arguments, or a JSON object of them", parameter=path
        )
    return value


_OWN_CHECKS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "infer_backend": _backend,
    "vllm_config": _vllm_config,
}
