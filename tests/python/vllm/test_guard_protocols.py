"""What the guards use of vLLM's classes is there: their protocols against its sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from python_worker.engines.guards import protocols, text_protocols
from python_worker.gen.drift.package import installed
from python_worker.offline import protocols as offline_protocols

#: Protocol -> the file of vLLM's that has the class, and its name where that is another.
SOURCES = {
    "ModelRegistry": ("model_executor/models/registry.py", "_ModelRegistry"),
    "ModelConfig": ("config/model.py", "ModelConfig"),
    "ParallelConfig": ("config/parallel.py", "ParallelConfig"),
    "LoRAConfig": ("config/lora.py", "LoRAConfig"),
    "StructuredOutputsConfig": ("config/structured_outputs.py", "StructuredOutputsConfig"),
    "ReasoningConfig": ("config/reasoning.py", "ReasoningConfig"),
    "VllmConfig": ("config/vllm.py", "VllmConfig"),
    "LoRARequest": ("lora/request.py", "LoRARequest"),
    "MultiModalFieldElem": ("multimodal/inputs.py", "MultiModalFieldElem"),
    "MultiModalFeatureSpec": ("multimodal/inputs.py", "MultiModalFeatureSpec"),
    "MultiModalCache": ("multimodal/cache/base.py", "BaseMultiModalProcessorCache"),
    "Renderer": ("renderers/base.py", "BaseRenderer"),
    "Profiler": ("profiler/wrapper.py", "WorkerProfiler"),
    "StructuredOutputsParams": ("sampling_params.py", "StructuredOutputsParams"),
    "SamplingParams": ("sampling_params.py", "SamplingParams"),
    "EngineCoreRequest": ("v1/engine/__init__.py", "EngineCoreRequest"),
    "EngineCoreOutput": ("v1/engine/__init__.py", "EngineCoreOutput"),
    "EngineCoreOutputs": ("v1/engine/__init__.py", "EngineCoreOutputs"),
    "RequestOutputCollector": ("v1/engine/output_processor.py", "RequestOutputCollector"),
    "LogprobsProcessor": ("v1/engine/logprobs.py", "LogprobsProcessor"),
    "RequestState": ("v1/engine/output_processor.py", "RequestState"),
    "OutputProcessor": ("v1/engine/output_processor.py", "OutputProcessor"),
    "InputProcessor": ("v1/engine/input_processor.py", "InputProcessor"),
    "StreamingUpdate": ("v1/engine/output_processor.py", "StreamingUpdate"),
    "ParentRequest": ("v1/engine/parallel_sampling.py", "ParentRequest"),
    "IncrementalDetokenizer": ("v1/engine/detokenizer.py", "IncrementalDetokenizer"),
    "FastIncrementalDetokenizer": ("v1/engine/detokenizer.py", "FastIncrementalDetokenizer"),
    "SlowIncrementalDetokenizer": ("v1/engine/detokenizer.py", "SlowIncrementalDetokenizer"),
    "SlowTokenizer": ("tokenizers/protocol.py", "TokenizerLike"),
    "BackgroundResources": ("v1/engine/core_client.py", "BackgroundResources"),
    "DPCoordinator": ("v1/engine/coordinator.py", "DPCoordinator"),
    "AsyncMPClient": ("v1/engine/core_client.py", "AsyncMPClient"),
    "DPLBAsyncMPClient": ("v1/engine/core_client.py", "DPLBAsyncMPClient"),
    "AsyncLLM": ("v1/engine/async_llm.py", "AsyncLLM"),
    "SyncMPClient": ("v1/engine/core_client.py", "SyncMPClient"),
    "LLMEngine": ("v1/engine/llm_engine.py", "LLMEngine"),
}

#: Every class of a model has its own file. Logprobs come in two classes, of arrays and of tensors.
#: Two are those of the library tokenizers, in Rust, and one is multiprocessing's. The methods of
#: ``LLM`` are passed on as they come.
WITHOUT_SOURCE = {
    *("Model", "AddedToken", "TokenizersBackend", "Logprobs", "LLM", "CoordinatorProcess"),
}

#: Made by msgspec, or by dataclasses.
GENERATED = {"__struct_fields__", "__init__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def own_protocols() -> dict[str, ast.ClassDef]:
    """The classes of the protocols; the first of a name, as mypy sees them."""
    found: dict[str, ast.ClassDef] = {}
    for module in (protocols, text_protocols, offline_protocols):
        assert module.__file__ is not None
        for node in ast.walk(tree(Path(module.__file__))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, node)
    return found


def with_bases(path: Path, name: str) -> Iterator[ast.ClassDef]:
    """A class, and those of its bases that stand in the same file."""
    classes = {it.name: it for it in tree(path).body if isinstance(it, ast.ClassDef)}
    names = [name]
    while names:
        cls = classes.get(names.pop(0))
        if cls is not None:
            yield cls
            bases = [it.value if isinstance(it, ast.Subscript) else it for it in cls.bases]
            names += [base.id for base in bases if isinstance(base, ast.Name)]


def members(cls: ast.ClassDef) -> dict[str, ast.AST]:
    """Methods, declared fields, and what its methods assign to ``self``."""
    found: dict[str, ast.AST] = {}
    for node in cls.body:
        if isinstance(node, Function):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    for stored in ast.walk(cls):
        if (
            isinstance(stored, ast.Attribute)
            and isinstance(stored.ctx, ast.Store)
            and isinstance(stored.value, ast.Name)
            and stored.value.id == "self"
        ):
            found.setdefault(stored.attr, stored)
    return found


def vllms(name: str) -> dict[str, ast.AST]:
    file, cls = SOURCES[name]
    found: dict[str, ast.AST] = {}
    for it in with_bases(installed() / file, cls):
        found = members(it) | found
    return found


def required(arguments: ast.arguments) -> set[str]:
    """The parameters without a default."""
    positional = [it.arg for it in (*arguments.posonlyargs, *arguments.args)]
    count = len(positional) - len(arguments.defaults)
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {*positional[:count], *(it.arg for it, default in keywords if default is None)}


def check_parameters(ours: Function, theirs: Function) -> None:
    mine, vllm = ours.args, theirs.args
    names = [it.arg for it in mine.args]
    assert [it.arg for it in vllm.args][: len(names)] == names
    assert {it.arg for it in mine.kwonlyargs} <= {it.arg for it in (*vllm.args, *vllm.kwonlyargs)}
    known = {*names, *(it.arg for it in mine.kwonlyargs)}
    assert required(vllm) <= known
    assert required(vllm) == required(mine)


PROTOCOLS = own_protocols()


def test_every_protocol_has_a_source() -> None:
    assert set(PROTOCOLS) == set(SOURCES) | WITHOUT_SOURCE


@pytest.mark.parametrize("name", SOURCES)
def test_vllm_has_every_member(name: str) -> None:
    theirs = vllms(name)
    ours = {key: it for key, it in members(PROTOCOLS[name]).items() if key not in GENERATED}
    assert set(ours) <= set(theirs)
    for key, mine in ours.items():
        other = theirs[key]
        if isinstance(mine, Function) and isinstance(other, Function):
            check_parameters(mine, other)


def test_what_vllm_does_not_have_is_missed() -> None:
    assert "no_such_field" not in vllms("AsyncLLM")
