"""VLLM's parameter classes, asked by name: their rules, their methods, and command lines.

One row for each rule. Each is refused by vLLM itself, and the error names the parameter, and the
value where it is one. What only an engine knows is in Elixir's ``gate_test.exs``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from python_worker import codec, failures
from python_worker.codec.types import Record
from python_worker.dispatch.served_classes import ServedClasses
from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import Builder
from python_worker.exceptions import InvalidArgument, Kind, NotServed
from python_worker.surface import served_classes
from python_worker.testing.models.scripted_model import ScriptedModel

RULES: list[tuple[str, dict[str, Any], str, object]] = [
    ("SamplingParams", {"n": 0}, "n", 0),
    ("SamplingParams", {"n": 20_000}, "n", 20_000),
    ("SamplingParams", {"n": 2, "temperature": 0.0}, "n", 2),
    ("SamplingParams", {"presence_penalty": 2.5}, "presence_penalty", 2.5),
    ("SamplingParams", {"presence_penalty": -2.5}, "presence_penalty", -2.5),
    ("SamplingParams", {"frequency_penalty": 2.5}, "frequency_penalty", 2.5),
    ("SamplingParams", {"repetition_penalty": 0.0}, "repetition_penalty", 0.0),
    ("SamplingParams", {"repetition_penalty": -1.0}, "repetition_penalty", -1.0),
    ("SamplingParams", {"repetition_penalty": float("inf")}, "repetition_penalty", float("inf")),
    ("SamplingParams", {"temperature": -0.1}, "temperature", -0.1),
    ("SamplingParams", {"temperature": 2.1}, "temperature", 2.1),
    ("SamplingParams", {"temperature": float("inf")}, "temperature", float("inf")),
    ("SamplingParams", {"top_p": 0.0}, "top_p", 0.0),
    ("SamplingParams", {"top_p": 1.1}, "top_p", 1.1),
    ("SamplingParams", {"top_k": -2}, "top_k", -2),
    ("SamplingParams", {"top_k": 1.5}, "top_k", 1.5),
    ("SamplingParams", {"min_p": -0.1}, "min_p", -0.1),
    ("SamplingParams", {"min_p": 1.1}, "min_p", 1.1),
    ("SamplingParams", {"seed": 2**70}, "seed", 2**70),
    ("SamplingParams", {"stop": ["a", ""]}, "stop", ["a", ""]),
    ("SamplingParams", {"stop": ["a"], "detokenize": False}, "stop", ["a"]),
    ("SamplingParams", {"stop_token_ids": [1.5]}, "stop_token_ids[0]", 1.5),
    ("SamplingParams", {"max_tokens": 0}, "max_tokens", 0),
    ("SamplingParams", {"min_tokens": -1}, "min_tokens", -1),
    ("SamplingParams", {"min_tokens": 9, "max_tokens": 8}, "min_tokens", 9),
    ("SamplingParams", {"stream_interval": 0}, "stream_interval", 0),
    ("SamplingParams", {"logprobs": -2}, "logprobs", -2),
    ("SamplingParams", {"prompt_logprobs": -2}, "prompt_logprobs", -2),
    ("SamplingParams", {"logit_bias": {"x": 1.0}}, "logit_bias key 'x'", "x"),
    ("SamplingParams", {"bad_words": [""]}, "bad_words", [""]),
    ("SamplingParams", {"extra_args": {"a": 2**64}}, "extra_args['a']", 2**64),
    ("SamplingParams", {"thinking_token_budget": -2}, "thinking_token_budget", -2),
    ("SamplingParams", {"output_kind": "LAST"}, "output_kind", "LAST"),
    ("SamplingParams", {"no_such_field": 1}, "no_such_field", None),
    (
        "SamplingParams",
        {"structured_outputs": {"json": "{}", "regex": "a"}},
        "structured_outputs.json",
        "{}",
    ),
    ("StructuredOutputsParams", {"regex": "a", "choice": ["b"]}, "regex", "a"),
    ("StructuredOutputsParams", {"json": 5}, "json", 5),
    ("RepetitionDetectionParams", {"max_pattern_size": -1}, "max_pattern_size", -1),
    (
        "RepetitionDetectionParams",
        {"max_pattern_size": 1, "min_pattern_size": 2},
        "min_pattern_size",
        2,
    ),
    ("RepetitionDetectionParams", {"max_pattern_size": 4, "min_count": 1}, "max_pattern_size", 4),
    ("BeamSearchParams", {"beam_width": 0, "max_tokens": 1}, "beam_width", 0),
    ("BeamSearchParams", {"max_tokens": 1}, "beam_width", None),
    ("PoolingParams", {"output_kind": "DELTA"}, "output_kind", None),
    ("PoolingParams", {"task": "score"}, "task", "score"),
    ("PoolingParams", {"dimensions": 1.5}, "dimensions", 1.5),
    ("LoRARequest", {"lora_name": "a", "lora_int_id": 0, "lora_path": "/a"}, "lora_int_id", 0),
    ("AsyncEngineArgs", {"max_num_seqs": "x"}, "max_num_seqs", "x"),
    ("EngineArgs", {"max_num_seqss": 1}, "max_num_seqss", None),
]
"""Class, fields, the parameter that is named, and the value; None where there is none."""


@pytest.fixture(scope="module")
def classes() -> ServedClasses:
    return served_classes(Builder(), cast(Worker, object()))


def ask(classes: ServedClasses, name: str, method: str, *args: Any) -> Any:
    target: Any = classes.named(name).singleton
    call: Coroutine[Any, Any, Any] = getattr(target, method)(*args)
    result = asyncio.run(call)
    codec.encode(result)  # it can be sent
    return result


@pytest.mark.parametrize(("name", "fields", "parameter", "value"), RULES)
def test_each_rule_is_vllms_and_names_parameter_and_value(
    classes: ServedClasses, name: str, fields: dict[str, Any], parameter: str, value: object
) -> None:
    for given in (fields, Record(name, fields)):
        for method in ("new", "to_map"):
            with pytest.raises(InvalidArgument) as refused:
                ask(classes, name, method, given)
            details = refused.value.details
            root, _, rest = str(details["parameter"]).partition(".")
            assert (rest, root in str(refused.value)) == (parameter, True)
            assert value is None or details["value"] == value


def test_what_contradicts_each_other_is_there_together(classes: ServedClasses) -> None:
    given = {"n": 2, "temperature": 0.0, "top_k": 5}
    with pytest.raises(InvalidArgument) as refused:
        ask(classes, "SamplingParams", "new", given)
    assert refused.value.details["values"] == {"n": 2, "temperature": 0.0}


def test_new_gives_what_was_given_and_to_map_what_vllm_makes_of_it(classes: ServedClasses) -> None:
    given = {"temperature": 0.001, "stop": "x", "output_kind": "delta"}
    made = ask(classes, "SamplingParams", "new", given)
    assert (made.name, {**made.fields, "output_kind": "delta"}) == ("SamplingParams", given)
    assert made.fields["output_kind"].name == "DELTA"

    from vllm import SamplingParams

    shown = ask(classes, "SamplingParams", "to_map", given)
    # A temperature between 0 and 0.01 is raised.
    assert (shown["temperature"], shown["stop"], shown["skip_clone"]) == (0.01, ["x"], False)
    defaults = ask(classes, "SamplingParams", "to_map")
    assert set(defaults) == {it for it in SamplingParams.__struct_fields__ if it[0] != "_"}
    assert all(value == getattr(SamplingParams(), name) for name, value in defaults.items())


@pytest.mark.parametrize(
    ("fields", "count"),
    [({}, None), ({"logprobs": 3}, 3), ({"logprobs": -1}, -1), ({"logprob_token_ids": [1, 2]}, 2)],
)
def test_num_logprobs(classes: ServedClasses, fields: dict[str, Any], count: int | None) -> None:
    assert ask(classes, "SamplingParams", "num_logprobs", fields) == count


def test_update_from_generation_config_adds_tokens_that_stop(classes: ServedClasses) -> None:
    def update(given: dict[str, Any], config: Any, *eos: Any) -> dict[str, Any]:
        args = ("SamplingParams", "update_from_generation_config", given, config, *eos)
        fields: dict[str, Any] = ask(classes, *args).fields
        return fields

    assert update({}, {}) == {}
    assert sorted(
        update({"stop_token_ids": [9]}, {"eos_token_id": [2, 3]}, 2)["stop_token_ids"]
    ) == [3, 9]
    assert update({"max_tokens": 4}, {"eos_token_id": 7}) == {
        "max_tokens": 4,
        "stop_token_ids": [7],
    }
    assert update({"ignore_eos": True}, {"eos_token_id": [2, 3]}) == {"ignore_eos": True}
    with pytest.raises(InvalidArgument, match="eos_token_id"):
        update({}, {"eos_token_id": "x"})
    with pytest.raises(InvalidArgument, match="generation_config"):
        update({}, 5)


def test_for_sampler_warmup_gives_parameters_that_are_accepted(classes: ServedClasses) -> None:
    warm = ask(classes, "SamplingParams", "for_sampler_warmup")
    assert warm.fields["top_k"] == 50
    assert ask(classes, "SamplingParams", "new", warm).fields == warm.fields


# tests/v1/engine/test_engine_args.py::test_prefix_caching_from_cli
def test_a_command_line_sets_the_fields_that_it_names(classes: ServedClasses) -> None:
    def parse(*words: str) -> Any:
        return ask(classes, "AsyncEngineArgs", "parse_cli", list(words)).fields

    assert parse() == {}
    assert parse("--enable-prefix-caching") == {"enable_prefix_caching": True}
    assert parse("--no-enable-prefix-caching") == {"enable_prefix_caching": False}
    assert parse("--prefix-caching-hash-algo", "sha256_cbor") == {
        "prefix_caching_hash_algo": "sha256_cbor"
    }
    words = ["--max-model-len", "1k", "-cc", '{"mode": 3}', "--enable-log-requests"]
    given = parse(*words)
    assert (given["max_model_len"], given["enable_log_requests"]) == (1000, True)
    assert given["compilation_config"]["mode"].name == "VLLM_COMPILE"


@pytest.mark.parametrize(
    ("words", "parameter"),
    [
        (["--prefix-caching-hash-algo", "invalid"], "prefix_caching_hash_algo"),
        (["--max-num-seqs", "x"], "max_num_seqs"),
        (["-tp", "x"], "tensor_parallel_size"),
        (["--max-num-seqs"], "max_num_seqs"),
        (["--compilation-config", "{"], "compilation_config"),
        (["--no-such-flag"], "arguments"),
        (["--help"], "arguments"),
        (["positional"], "arguments"),
        (["serve", "--model"], "arguments"),
        ([""], "arguments"),
        ([5], "arguments[0]"),
        ("--help", "arguments"),
        (None, "arguments"),
    ],
)
def test_words_that_are_not_understood_are_refused(
    classes: ServedClasses, words: Any, parameter: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ask(classes, "AsyncEngineArgs", "parse_cli", words)
    assert refused.value.details["parameter"] == parameter


def test_engine_args_show_every_field_with_vllms_defaults(
    classes: ServedClasses, model: ScriptedModel
) -> None:
    import dataclasses

    from vllm import AsyncEngineArgs, EngineArgs

    # Without a network vLLM finds no model by its name.
    given: dict[str, Any] = {"model": str(model.path), "max_model_len": 64}
    for cls in (EngineArgs, AsyncEngineArgs):
        shown = ask(classes, cls.__name__, "to_map", given)
        made = cls(**given)
        fields = {it.name for it in dataclasses.fields(cls) if it.init}
        assert set(shown) == {it for it in fields if it[0] != "_"}
        plain = {n: v for n, v in shown.items() if isinstance(v, (int, float, str, type(None)))}
        assert len(plain) > 200
        for name, value in plain.items():
            wanted = getattr(made, name)
            assert value in (wanted, repr(wanted))


def test_a_class_of_somebody_elses_engine_is_found_by_its_annotations() -> None:
    fake = served_classes(
        Builder("python_worker.testing.fake_engine:FakeAsyncLLM"), cast(Worker, object())
    )
    assert ask(fake, "SamplingParams", "new", {"n": 2}) == Record("SamplingParams", {"n": 2})
    assert ask(fake, "PoolingParams", "to_map")["task"] is None
    with pytest.raises(NotServed, match="needs vLLM"):
        ask(fake, "AsyncEngineArgs", "parse_cli", [])
    with pytest.raises(NotServed, match="takes no EngineArgs"):
        ask(fake, "EngineArgs", "new")


@pytest.mark.parametrize(
    ("more", "parameter", "value"),
    [
        ({"max_model_len": 10**6}, "max_model_len", 10**6),
        ({"max_num_seqs": -1}, "max_num_seqs", -1),
        ({"gpu_memory_utilization": 2.0}, "gpu_memory_utilization", 2.0),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size", 0),
        ({"enable_lora": True, "max_loras": 0}, "max_loras", 0),
        ({"attention_config": {"backend": "X"}}, "attention_config.backend", "X"),
    ],
)
def test_what_a_configuration_refuses_is_named(
    classes: ServedClasses,
    model: ScriptedModel,
    more: dict[str, Any],
    parameter: str,
    value: object,
) -> None:
    target: Any = classes.named("AsyncEngineArgs").singleton
    with pytest.raises(Exception, match=parameter) as refused:
        asyncio.run(target.create_engine_config({"model": str(model.path), **more}))
    assert failures.kind_of(refused.value) is Kind.INVALID
    details = failures.details_of(refused.value)
    # What an annotation says already is refused by it.
    assert str(details["parameter"]).removeprefix("engine_args.") == parameter
    assert details["value"] == value
