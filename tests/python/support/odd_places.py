"""Where an odd value can be thrown: every parameter of every method, every field of every class.

The methods and classes come from the committed manifest, so that a new vLLM brings its new
parameters along; what the manifest does not describe is listed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.python.support.odd_values import tensor
from tests.python.support.values import Record

MANIFEST = json.loads(
    (Path(__file__).parents[3] / "python_worker/generated/manifest.json").read_text()
)

#: Not thrown at: they make or end engines.
EXCLUDED = {"from_engine_args", "from_vllm_config", "shutdown"}

GREEDY = {"temperature": 0.0, "max_tokens": 1}
LORA = {"lora_name": "odd", "lora_int_id": 1, "lora_path": "/no/such/adapter"}
EMBEDS = tensor("float32", [1, 2], b"\0" * 8)
HINT = {"action_id": "a", "action_type": "t", "action_version": "1", "payload": {}}
HINTS = {"protocol_version": "1", "message_id": "m", "actions": [HINT]}

#: What every required parameter gets when another one is under test.
REQUIRED: dict[str, Any] = {
    "prompt": "Hello",
    "sampling_params": GREEDY,
    "params": GREEDY,
    "pooling_params": {},
    "request_id": "odd",
    "lora_request": LORA,
    "lora_id": 1,
    "method": "check_health",
    "new_version": "default",
    "new_data_parallel_size": 1,
    "kv_transfer_params": {},
    "fault_tolerance_request": {"instruction": "pause", "params": {}},
    "request": {},
}


@dataclass(frozen=True)
class Place:
    """One parameter, or one field inside of one.

    Attributes:
        name: For the report, such as ``generate(sampling_params.seed)``.
        field: What a refusal has to name.
        annotation: As the manifest has it; "" where it says nothing.
        method: The method of the engine.
        arguments: Makes the keyword arguments around an odd value.
    """

    name: str
    field: str
    annotation: str
    method: str
    arguments: Callable[[Any], dict[str, Any]]


def parameters() -> Iterator[Place]:
    """Every parameter of every method."""
    for member in MANIFEST["async_llm"]["members"]:
        method = member["name"]
        if method in EXCLUDED or method.startswith("_"):
            continue
        base = {
            it["name"]: REQUIRED[it["name"]]
            for it in member.get("parameters", [])
            if "default" not in it
        }
        for parameter in member.get("parameters", []):
            name = parameter["name"]
            yield Place(
                f"{method}({name})",
                name,
                parameter["annotation"],
                method,
                lambda value, name=name, base=base: {**base, name: value},  # type: ignore[misc]
            )


def _generate(**arguments: Any) -> dict[str, Any]:
    return {"prompt": "Hello", "sampling_params": GREEDY, "request_id": "odd", **arguments}


def _structured(value: Any) -> dict[str, Any]:
    return _generate(sampling_params={**GREEDY, "structured_outputs": value})


#: Class of the manifest -> method, required fields, the arguments around an object of it.
CLASSES: dict[str, tuple[str, dict[str, Any], Callable[[Any], dict[str, Any]]]] = {
    "SamplingParams": ("generate", GREEDY, lambda it: _generate(sampling_params=it)),
    "StructuredOutputsParams": ("generate", {}, _structured),
    "RepetitionDetectionParams": (
        "generate",
        {"max_pattern_size": 4, "min_count": 2},
        lambda it: _generate(sampling_params={**GREEDY, "repetition_detection": it}),
    ),
    "PoolingParams": (
        "encode",
        {},
        lambda it: {"prompt": "Hello", "pooling_params": it, "request_id": "odd"},
    ),
    "LateInteractionParams": (
        "encode",
        {"mode": "cache_query", "query_key": "k"},
        lambda it: {
            "prompt": "Hello",
            "pooling_params": {"late_interaction_params": it},
            "request_id": "odd",
        },
    ),
    "LoRARequest": ("generate", LORA, lambda it: _generate(lora_request=it)),
    "TextPrompt": ("generate", {"prompt": "Hello"}, lambda it: _generate(prompt=it)),
    "TokensPrompt": ("generate", {"prompt_token_ids": [5]}, lambda it: _generate(prompt=it)),
    "EmbedsPrompt": ("generate", {"prompt_embeds": EMBEDS}, lambda it: _generate(prompt=it)),
    "ExplicitEncoderDecoderPrompt": (
        "generate",
        {"encoder_prompt": "Hello", "decoder_prompt": None},
        lambda it: _generate(prompt=it),
    ),
    "WeightTransferInitRequest": (
        "init_weight_transfer_engine",
        {},
        lambda it: {"request": it},
    ),
    "WeightTransferUpdateRequest": ("update_weights", {}, lambda it: {"request": it}),
    "KvHintsEnvelope": ("generate", HINTS, lambda it: _generate(kv_hints=it)),
    "KvHintAction": (
        "generate",
        HINT,
        lambda it: _generate(kv_hints={**HINTS, "actions": [it]}),
    ),
    "FaultToleranceRequest": (
        "handle_fault",
        {"instruction": "pause", "params": {}},
        lambda it: {"fault_tolerance_request": it},
    ),
}

#: Classes that no parameter of a method under test takes.
NO_PARAMETERS = {"AsyncEngineArgs", "BeamSearchParams", "EngineArgs", "StreamingInput"}

TOKENS_INPUT = {"type": "token", "prompt_token_ids": [5]}

#: Maps without a class in the manifest: name -> method, the map, the arguments around it.
MAPS: dict[str, tuple[str, dict[str, Any], Callable[[Any], dict[str, Any]]]] = {
    "TokensInput": (
        "generate",
        {**TOKENS_INPUT, "prompt": "x", "cache_salt": "x", "prompt_token_offsets": None}
        | {"arrival_time": 1.0, "no_such_key": 1},
        lambda it: _generate(prompt=it),
    ),
    "EmbedsInput": (
        "generate",
        {
            "type": "embeds",
            "prompt_embeds": EMBEDS,
            "prompt_token_ids": [5],
            "is_token_ids": [True],
        },
        lambda it: _generate(prompt=it),
    ),
    "MultiModalInput": (
        "generate",
        {"type": "multimodal", "prompt_token_ids": [5], "mm_kwargs": {}, "mm_hashes": {}}
        | {"mm_placeholders": {}, "prompt": "x", "cache_salt": "x"},
        lambda it: _generate(prompt=it),
    ),
    "EncoderDecoderInput": (
        "generate",
        {"type": "enc_dec", "encoder_prompt": TOKENS_INPUT, "decoder_prompt": TOKENS_INPUT},
        lambda it: _generate(prompt=it),
    ),
    "tokenization_kwargs": (
        "generate",
        dict.fromkeys(
            (
                *("max_length", "pad_prompt_tokens", "truncate_prompt_tokens", "truncation_side"),
                *("do_lower_case", "add_special_tokens", "needs_detokenization", "padding"),
                *("truncation", "return_token_offsets", "stride", "no_such_key"),
            )
        ),
        lambda it: _generate(tokenization_kwargs={k: v for k, v in it.items() if v is not None}),
    ),
    "extra_args": (
        "generate",
        {"kv_transfer_params": {}, "ec_transfer_params": {}, "kv_cache_report_mode": "full"}
        | {"no_such_key": 1},
        lambda it: _generate(sampling_params={**GREEDY, "extra_args": it}),
    ),
    "extra_kwargs": (
        "encode",
        {"compressed_token_type_ids": 1, "no_such_key": 1},
        lambda it: {
            "prompt": "Hello",
            "pooling_params": {"extra_kwargs": it},
            "request_id": "odd",
        },
    ),
    "multi_modal_data": (
        "generate",
        {"image": None, "video": None, "audio": None, "no_such_modality": None},
        lambda it: _generate(prompt={"prompt": "Hello", "multi_modal_data": it}),
    ),
    "reasoning_parser_kwargs": (
        "generate",
        {"chat_template_kwargs": {}, "no_such_key": 1},
        lambda it: _generate(reasoning_parser_kwargs=it),
    ),
    "trace_headers": (
        "generate",
        {"traceparent": "x", "no-such-header": "x"},
        lambda it: _generate(trace_headers=it),
    ),
    "rpc args": (
        "collective_rpc",
        {"0": None},
        lambda it: {"method": "check_health", "args": list(it.values())},
    ),
    "rpc kwargs": (
        "collective_rpc",
        {"overrides": {}, "no_such_key": 1},
        lambda it: {"method": "update_config", "kwargs": it},
    ),
}


def fields() -> Iterator[Place]:
    """Every field of every class that a parameter takes, and every key of known maps."""
    for name, (method, base, around) in CLASSES.items():
        for field in MANIFEST["classes"][name]["fields"]:
            yield Place(
                f"{name}.{field['name']}",
                field["name"],
                field["annotation"],
                method,
                lambda value, field=field, name=name, base=base, around=around: around(  # type: ignore[misc]
                    Record(name, {**base, field["name"]: value})
                ),
            )
    for name, (method, base, around) in MAPS.items():
        for key in base:
            yield Place(
                f"{name}[{key!r}]",
                key,
                "",
                method,
                lambda value, key=key, base=base, around=around: around({**base, key: value}),  # type: ignore[misc]
            )
