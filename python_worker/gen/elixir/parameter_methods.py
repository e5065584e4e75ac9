"""The functions that the worker adds to vLLM's parameter classes: `new`, `to_map` and others.

They are not in the manifest: vLLM's classes have them as a constructor, a property, or not at all.
"""

from __future__ import annotations

from typing import Any

from python_worker.engines.parameter_classes import parameter_of

Member = dict[str, Any]
Entry = dict[str, Any]

CLASSES = (
    "SamplingParams",
    "StructuredOutputsParams",
    "RepetitionDetectionParams",
    "BeamSearchParams",
    "PoolingParams",
    "LoRARequest",
    "EngineArgs",
    "AsyncEngineArgs",
)

_INVALID = {
    "invalid": (
        "an unknown field, a wrong type, or values that vLLM refuses; `details` has the "
        "`parameter` and its `value`, and `values` where several contradict each other"
    )
}


def methods(name: str) -> list[tuple[Member, Entry]]:
    """Gives the functions of a class: what the manifest would say of each, and the overlay."""
    if name not in CLASSES:
        return []
    found = [_new(name), _to_map(name)]
    if name == "SamplingParams":
        found += [_num_logprobs(), _update(), _warmup()]
    if name.endswith("EngineArgs"):
        found.append(_parse_cli(name))
    return [(member, _completed(name, member, entry)) for member, entry in found]


def _completed(name: str, member: Member, entry: Entry) -> Entry:
    """Adds what the object is, and the example."""
    needed = [it["name"] for it in member["parameters"] if "default" not in it]
    own: dict[str, str] = {}
    if not entry.get("without_object"):
        own = {parameter_of(name): f"`t:Vllm.{name}.t/0`, a keyword list or a map"}
        needed.insert(0, parameter_of(name))
    example = f"{{:ok, value}} = Vllm.{name}.{member['name']}({', '.join(needed)})"
    return {"example": example} | entry | {"arguments": own | entry.get("arguments", {})}


def _member(name: str, doc: str, *parameters: dict[str, Any], returns: str = "Any") -> Member:
    return {"name": name, "doc": doc, "parameters": list(parameters), "returns": returns}


def _struct(name: str) -> str:
    return f"Vllm.{name}.t()"


def _new(name: str) -> tuple[Member, Entry]:
    doc = (
        f"Checks fields as vLLM's `{name}` does, in the worker, and returns them as a struct.\n\n"
        "Calls check them too, so this is for those who want to know before. The struct holds what "
        "was given; `to_map` says what vLLM makes of it. A struct is a value: what Python's "
        "`clone` copies needs no copy here."
    )
    return _member("new", doc), {
        "group": "parameters",
        "spec": _struct(name),
        "returns": "The struct.",
        "errors": _INVALID,
    }


def _to_map(name: str) -> tuple[Member, Entry]:
    doc = (
        f"Returns all fields as vLLM has them, once it has made a `{name}` of those that are given."
    )
    return _member("to_map", doc), {
        "group": "parameters",
        "spec": "%{optional(String.t()) => term()}",
        "returns": "A map by name. Objects in it, such as configurations, are maps too.",
        "errors": _INVALID,
    }


def _num_logprobs() -> tuple[Member, Entry]:
    doc = "How many logprobs each token of an output gets, `logprob_token_ids` included."
    return _member("num_logprobs", doc), {
        "group": "parameters",
        "spec": "integer() | nil",
        "returns": "The number; -1 for all of the vocabulary, `nil` for none.",
        "errors": _INVALID,
    }


def _update() -> tuple[Member, Entry]:
    doc = (
        "Adds what a model's generation config says: further tokens that stop.\n\n"
        "Engines do this with the parameters of each request."
    )
    config = {
        "name": "generation_config",
        "kind": "positional",
        "annotation": "dict[str, Any]",
    }
    eos = {
        "name": "eos_token_id",
        "kind": "positional",
        "annotation": "int | None",
        "default": None,
    }
    return _member("update_from_generation_config", doc, config, eos), {
        "group": "parameters",
        "spec": _struct("SamplingParams"),
        "returns": "The struct, with `stop_token_ids` where the config has more.",
        "arguments": {
            "generation_config": "a map as in `generation_config.json`",
            "eos_token_id": "the tokenizer's own, which is no stop token",
        },
        "errors": _INVALID,
    }


def _warmup() -> tuple[Member, Entry]:
    doc = "The parameters with which vLLM warms its sampler up: all parts of it are used."
    return _member("for_sampler_warmup", doc), {
        "group": "parameters",
        "spec": _struct("SamplingParams"),
        "returns": "The struct.",
        "without_object": True,
    }


def _parse_cli(name: str) -> tuple[Member, Entry]:
    doc = "Reads the arguments of a command line, as `vllm serve` takes them."
    words = {"name": "arguments", "kind": "positional", "annotation": "list[str]"}
    return _member("parse_cli", doc, words), {
        "group": "parameters",
        "spec": _struct(name),
        "returns": "A struct of the fields that the command line sets.",
        "arguments": {"arguments": 'its words, as `["--max-model-len", "1k"]`'},
        "errors": {"invalid": "a word that is not understood; the message names the argument"},
        "without_object": True,
        "example": f'{{:ok, args}} = Vllm.{name}.parse_cli(["--enable-prefix-caching"])',
    }
