"""What the installed vLLM offers, as one plain value: the manifest.

It imports vLLM, and never runs in a worker: `python -m python_worker.gen` writes its answer to
`generated/manifest.json`, from which everything generated is made. The manifest says nothing about
the machine it was made on: no addresses and no paths. A default that is not a plain value is given
by its source, not by its value.

    {"vllm_version", "async_llm": {"qualname", "doc", "members", "instance_attributes"},
     "llm": the same,
     "classes": {short name: {"qualname", "kind", "doc", "fields" or "members", "methods"}}}

A type is told twice: `annotation` is what vLLM's source says, `type` the same with
aliases resolved and modules left out, where that differs. Private fields (`_eos_token_id`)
are vLLM's own bookkeeping and are left out, private methods too but for the two that the
stubs of earlier vLLM versions had.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import importlib.metadata
import inspect
from collections.abc import Iterator
from typing import Any

import typing_extensions

from python_worker.gen.introspection import source, type_hints

ENGINES = {
    "async_llm": "vllm.v1.engine.async_llm.AsyncLLM",
    "llm": "vllm.entrypoints.llm.LLM",
}

PRIVATE_METHODS = {
    # In the surface that DESIGN.md promises to account for; not to be served.
    "async_llm": ("_add_request", "_run_output_handler"),
    # The view of the model that Python prints.
    "llm": ("__repr__",),
}

CONSTRUCTOR = "__init__"

METHODS = {
    "AsyncEngineArgs": ("create_engine_config",),
    "EngineArgs": ("create_engine_config",),
}
"""Methods of the classes below that are served."""

CLASSES = (
    # Parameters
    "vllm.engine.arg_utils.AsyncEngineArgs",
    "vllm.engine.arg_utils.EngineArgs",
    "vllm.sampling_params.SamplingParams",
    "vllm.sampling_params.StructuredOutputsParams",
    "vllm.sampling_params.RepetitionDetectionParams",
    "vllm.pooling_params.PoolingParams",
    "vllm.pooling_params.LateInteractionParams",
    "vllm.lora.request.LoRARequest",
    "vllm.engine.protocol.StreamingInput",
    "vllm.sampling_params.BeamSearchParams",
    "vllm.v1.kv_hints.protocol.KvHintsEnvelope",
    "vllm.v1.kv_hints.protocol.KvHintAction",
    "vllm.v1.fault_tolerance.utils.FaultToleranceRequest",
    "vllm.distributed.weight_transfer.base.WeightTransferInitRequest",
    "vllm.distributed.weight_transfer.base.WeightTransferUpdateRequest",
    # Prompts
    "vllm.inputs.TextPrompt",
    "vllm.inputs.TokensPrompt",
    "vllm.inputs.EmbedsPrompt",
    "vllm.inputs.ExplicitEncoderDecoderPrompt",
    # Outputs
    "vllm.outputs.RequestOutput",
    "vllm.outputs.CompletionOutput",
    "vllm.logprobs.Logprob",
    "vllm.outputs.SamplingMask",
    "vllm.outputs.WeightVersionSpan",
    "vllm.outputs.PoolingRequestOutput",
    "vllm.outputs.PoolingOutput",
    "vllm.outputs.EmbeddingRequestOutput",
    "vllm.outputs.EmbeddingOutput",
    "vllm.outputs.ClassificationRequestOutput",
    "vllm.outputs.ClassificationOutput",
    "vllm.outputs.ScoringRequestOutput",
    "vllm.outputs.ScoringOutput",
    "vllm.outputs.RequestError",
    "vllm.entrypoints.generate.beam_search.utils.BeamSearchOutput",
    "vllm.entrypoints.generate.beam_search.utils.BeamSearchSequence",
    "vllm.v1.metrics.reader.Counter",
    "vllm.v1.metrics.reader.Gauge",
    "vllm.v1.metrics.reader.Histogram",
    "vllm.v1.metrics.reader.Vector",
    "vllm.v1.metrics.stats.RequestStateStats",
    "vllm.v1.metrics.stats.RequestSpecDecodeMetrics",
    "vllm.v1.fault_tolerance.utils.FaultToleranceResult",
)
"""The classes that travel by their fields. Enums that they or a method name come along.

The configuration classes behind AsyncEngineArgs (CompilationConfig and some thirty more)
are not here: vLLM builds them from a plain map as well.
"""

OWN_CLASSES = (
    tuple(
        f"python_worker.chat.answers.{name}"
        for name in (
            "ChatCompletion",
            "ChatChoice",
            "ChatMessage",
            "ChatUsage",
            "ChatDelta",
            "ToolCall",
            "ToolCallDelta",
            "TokenLogprob",
        )
    )
    + tuple(
        f"python_worker.pooling.answers.{name}"
        for name in (
            "EmbeddingBatch",
            "ClassificationBatch",
            "ScoreBatch",
            "PoolingBatch",
            "PoolingUsage",
        )
    )
    + ("python_worker.engines.kv_events.KVEventBatch",)
)
"""The classes of the bridge's own that travel so."""


def manifest() -> dict[str, Any]:
    """Imports vLLM (some seconds) and describes it."""
    classes = [_imported(path) for path in (*CLASSES, *OWN_CLASSES)]
    described = {cls.__name__: _describe(cls) for cls in classes}
    for member in sorted(_enums(classes), key=lambda cls: cls.__name__):
        described[member.__name__] = _describe(member)
    return {
        # A CPU or CUDA build's own suffix (0.32.0+cpu) is of the build, not of the interface.
        "vllm_version": _imported("vllm.__version__").partition("+")[0],
        **{key: _engine(key) for key in ENGINES},
        "classes": dict(sorted(described.items())),
    }


def _engine(key: str) -> dict[str, Any]:
    cls = _imported(ENGINES[key])
    return {
        "qualname": ENGINES[key],
        "doc": inspect.getdoc(cls) or "",
        "members": [_member(cls, name) for name in _member_names(key)],
        "instance_attributes": source.instance_attributes(cls),
    }


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


# --- Engines -------------------------------------------------------------------


def _member_names(key: str) -> list[str]:
    cls = _imported(ENGINES[key])
    public = [name for name in dir(cls) if not name.startswith("_")]
    private = [name for name in PRIVATE_METHODS[key] if hasattr(cls, name)]
    return sorted([CONSTRUCTOR, *public, *private])


def _member(cls: type, name: str) -> dict[str, Any]:
    static = inspect.getattr_static(cls, name)
    if isinstance(static, property):
        getter = static.fget
        return {
            "name": name,
            "kind": "property",
            "doc": inspect.getdoc(getter) or "",
            "parameters": [],
            "returns": source.function_annotations(getter).get("return"),
        }
    function = inspect.unwrap(static.__func__ if isinstance(static, classmethod) else static)
    written = source.function_annotations(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    doc = inspect.getdoc(function) or ""
    if name == CONSTRUCTOR and "Args:" not in doc:
        doc = inspect.getdoc(cls) or ""  # where Python documents a constructor too
    return {
        "name": name,
        "kind": _kind(static, function),
        "doc": doc,
        "parameters": [_parameter(parameter, function, written) for parameter in parameters],
        "returns": written.get("return"),
    }


def _kind(static: object, function: object) -> str:
    if isinstance(static, classmethod):
        return "classmethod"
    if getattr(function, "__name__", "") == CONSTRUCTOR:
        return "constructor"
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else "function"


def _parameter(
    parameter: inspect.Parameter, function: Any, written: dict[str, str]
) -> dict[str, Any]:
    kinds: dict[object, str] = {
        parameter.KEYWORD_ONLY: "keyword",
        parameter.VAR_POSITIONAL: "var_positional",
        parameter.VAR_KEYWORD: "var_keyword",
    }
    described: dict[str, Any] = {
        "name": parameter.name,
        "kind": kinds.get(parameter.kind, "positional"),
    }
    hint = type_hints.resolve(parameter.annotation, vars(inspect.getmodule(function)))
    described |= _types(written.get(parameter.name), hint)
    if parameter.default is not parameter.empty:
        described["default"] = type_hints.literal(parameter.default)
    return described


# --- Classes -------------------------------------------------------------------


def _describe(cls: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "qualname": f"{cls.__module__}.{cls.__qualname__}",
        "kind": _class_kind(cls),
        "doc": inspect.cleandoc(cls.__doc__ or ""),
    }
    if described["kind"] == "enum":
        docs = source.member_docs(cls)
        names = list(cls.__members__)
        return described | {"members": [{"name": n, "doc": docs.get(n, "")} for n in names]}
    described |= {"fields": list(_fields(cls))}
    methods = [_member(cls, name) for name in METHODS.get(cls.__name__, ())]
    return described | ({"methods": methods} if methods else {})


def _class_kind(cls: Any) -> str:
    if issubclass(cls, enum.Enum):
        return "enum"
    if dataclasses.is_dataclass(cls):
        return "dataclass"
    if typing_extensions.is_typeddict(cls):
        return "typeddict"
    return "msgspec" if hasattr(cls, "__struct_fields__") else "class"


def _fields(cls: Any) -> Iterator[dict[str, Any]]:
    written = source.field_annotations(cls)
    docs = source.field_docs(cls)
    resolved = type_hints.of(cls)
    for name, default in _defaults(cls):
        if name.startswith("_"):
            continue
        field: dict[str, Any] = {"name": name} | _types(written.get(name), resolved.get(name))
        if default is type_hints.REQUIRED:
            field["required"] = True
        else:
            field["default"] = type_hints.literal(default)
        yield field | {"doc": docs.get(name, "")}


def _defaults(cls: Any) -> Iterator[tuple[str, object]]:
    """Yields each field's name, and its default, its factory or `REQUIRED`.

    A key that a TypedDict may leave out defaults to None; the required ones come first.
    """
    kind = _class_kind(cls)
    if kind == "dataclass":
        for field in dataclasses.fields(cls):
            if field.init:
                yield field.name, type_hints.default_of(field.default, field.default_factory)
    elif kind == "msgspec":
        structs = importlib.import_module("msgspec.structs")
        for field in structs.fields(cls):
            yield field.name, type_hints.default_of(field.default, field.default_factory)
    elif kind == "typeddict":
        for name in sorted(cls.__annotations__, key=cls.__optional_keys__.__contains__):
            yield name, type_hints.REQUIRED if name in cls.__required_keys__ else None
    else:
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:
            if parameter.kind is not parameter.VAR_KEYWORD:
                empty = parameter.default is parameter.empty
                yield parameter.name, type_hints.REQUIRED if empty else parameter.default


def _types(written: str | None, hint: object) -> dict[str, str]:
    resolved = type_hints.text(hint)
    found = {"annotation": written if written is not None else resolved}
    if resolved != found["annotation"]:
        found["type"] = resolved
    return found


def _enums(classes: list[Any]) -> set[type[enum.Enum]]:
    """Finds the enums that fields and parameters name."""
    found: set[type[enum.Enum]] = set()
    owners = list(classes)
    for key, path in ENGINES.items():
        members = [getattr(_imported(path), name) for name in _member_names(key)]
        owners += [inspect.unwrap(member) for member in members if callable(member)]
    for owner in owners:
        for hint in type_hints.of(owner).values():
            found |= type_hints.enums_in(hint)
    return found
