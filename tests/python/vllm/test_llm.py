"""VLLM's own ``LLM`` over the bridge: the same values as in process, and vLLM's own cases.

A comment above a test names the test of vLLM's that it stands for. One LLM serves these files, and
each test leaves it as it was.
"""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.llms import ENDLESS, GREEDY, PROMPTS, plain, same
from tests.python.support.values import Ref

# --- The same values as in process


@pytest.mark.parametrize(
    ("prompts", "params"),
    [
        ("Hello", GREEDY),
        (PROMPTS, GREEDY),
        ([[5, 6, 7], {"prompt_token_ids": [8]}, {"prompt": "Hello"}], GREEDY),
        (PROMPTS, {"seed": 7, "max_tokens": 12, "temperature": 0.9, "top_p": 0.8}),
        (PROMPTS, {"seed": 7, "n": 3, "max_tokens": 4}),
        (PROMPTS, {**GREEDY, "logprobs": 3, "prompt_logprobs": 2}),
        (PROMPTS, {**GREEDY, "logprobs": 2, "flat_logprobs": True}),
        (["Hello"], {**GREEDY, "stop": ["Llama"], "include_stop_str_in_output": True}),
        (["Hello"], {**GREEDY, "detokenize": False}),
        (["count"], {**GREEDY, "structured_outputs": {"choice": ["yes", "no"]}}),
        # Each prompt has its own room, although the parameters are one object.
        (["Hello", "A" * 300], {**ENDLESS, "max_tokens": None}),
        (PROMPTS, [GREEDY, {**GREEDY, "max_tokens": 1}, {**GREEDY, "logprobs": 1}, GREEDY]),
    ],
)
async def test_generate_is_as_in_process(
    llm_client: Client, llm: Ref, prompts: Any, params: Any
) -> None:
    ours = await llm_client.call(llm, "generate", prompts, params)
    theirs = await llm_client.call(llm, "generate_in_process", prompts, params)
    same(plain(ours), theirs)


@pytest.mark.parametrize(
    ("messages", "kwargs"),
    [
        ([{"role": "user", "content": "Hello"}], {}),
        ([{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}], {}),
        ([[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]], {}),
        ([{"role": "user", "content": [{"type": "text", "text": "Hello"}]}], {}),
        ([{"role": "user", "content": "Hello"}], {"add_generation_prompt": False}),
        ([{"role": "user", "content": "Hi"}], {"chat_template": "{{ messages[0].content }}"}),
    ],
)
async def test_chat_is_as_in_process(
    llm_client: Client, llm: Ref, messages: Any, kwargs: dict[str, Any]
) -> None:
    ours = await llm_client.call(llm, "chat", messages, GREEDY, **kwargs)
    theirs = await llm_client.call(llm, "chat_in_process", messages, GREEDY, **kwargs)
    same(plain(ours), theirs)


# tests/samplers/test_beam_search.py::test_beam_search_single_input
@pytest.mark.parametrize("prompts", [["Hello"], [[268]], [{"prompt": "Hello"}]])
async def test_beam_search_is_as_in_process(
    llm_client: Client, llm: Ref, prompts: list[Any]
) -> None:
    params = {"beam_width": 2, "max_tokens": 6}
    ours = await llm_client.call(llm, "beam_search", prompts, params)
    asked = [it if isinstance(it, dict) else {"prompt": "Hello"} for it in prompts]
    theirs = await llm_client.call(llm, "beam_search_in_process", asked, params)
    same([it["sequences"][0]["tokens"] for it in plain(ours)], tokens_of(theirs))
    greedy = await llm_client.call(
        llm, "generate", "Hello", sampling(temperature=0.0, max_tokens=6)
    )
    assert ours[0].sequences[0].text.endswith(greedy[0].outputs[0].text)


def tokens_of(outputs: Any) -> Any:
    return [it["sequences"][0]["tokens"] for it in outputs]


async def test_a_beam_search_tells_how_far_it_is(llm_client: Client, llm: Ref) -> None:
    params = {"beam_width": 2, "max_tokens": 6}
    async with llm_client.session() as session:
        running = await session.start(llm, "beam_search", ["Hello"], params, use_tqdm=True)
        told = []
        while (reply := await running.reply()).WhichOneof("outcome") == "progress":
            told.append(reply.progress)
    assert reply.WhichOneof("outcome") == "value"
    assert {(it.description, it.total) for it in told} == {("Beam search", 6)}
    assert told[-1].done == 6


# tests/samplers/test_beam_search.py::test_beam_search_with_concurrency_limit
async def test_a_limit_of_concurrency_changes_no_beam(llm_client: Client, llm: Ref) -> None:
    params = {"beam_width": 2, "max_tokens": 4}
    at_once = await llm_client.call(llm, "beam_search", PROMPTS, params)
    limited = await llm_client.call(llm, "beam_search", PROMPTS, params, concurrency_limit=2)
    same(tokens_of(plain(limited)), tokens_of(plain(at_once)))


# --- vLLM's own cases


# tests/entrypoints/llm/test_generate.py::test_multiple_sampling_params
async def test_params_are_one_each_one_for_all_or_none(llm_client: Client, llm: Ref) -> None:
    four = [sampling(temperature=0.1 * n, max_tokens=2) for n in range(4)]
    for params in (four, four[0], None):
        assert len(await llm_client.call(llm, "generate", PROMPTS, params)) == 4
    with pytest.raises(Failed, match="must be the same") as failed:
        await llm_client.call(llm, "generate", PROMPTS, four[:3])
    assert failed.value.kind == "INVALID"


# tests/entrypoints/llm/test_generate.py::test_multiple_priority, test_single_prompt_priority
async def test_priorities_are_one_each_or_one_for_all(llm_client: Client, llm: Ref) -> None:
    params = sampling(max_tokens=1)
    for priority in (None, [0, 0, 0, 0], 1):
        outputs = await llm_client.call(llm, "generate", PROMPTS, params, priority=priority)
        assert len(outputs) == 4
    for priority in ([0, 0, 0], []):
        with pytest.raises(Failed) as failed:
            await llm_client.call(llm, "generate", PROMPTS, params, priority=priority)
        assert failed.value.kind == "INVALID"
    for priority in ([0], 1):
        assert len(await llm_client.call(llm, "generate", "a", params, priority=priority)) == 1


# tests/entrypoints/llm/test_chat.py::test_chat_extra_kwargs
async def test_keywords_reach_the_template(llm_client: Client, llm: Ref) -> None:
    template = "{{ messages[0].content }}{% if not enable_thinking %}<think>{% endif %}"
    for thinking in (True, False):
        (output,) = await llm_client.call(
            llm,
            "chat",
            [{"role": "user", "content": "Hi"}],
            GREEDY,
            chat_template=template,
            chat_template_kwargs={"enable_thinking": thinking},
        )
        assert ("<think>" in output.prompt) is not thinking


# tests/entrypoints/llm/test_chat.py::test_chat_batch_failure_cleanup
async def test_a_conversation_that_is_too_long_takes_the_others_along(
    llm_client: Client, llm: Ref
) -> None:
    good = [{"role": "user", "content": "Hi"}]
    too_long = [{"role": "user", "content": "x" * 2000}]
    with pytest.raises(Failed, match="maximum") as failed:
        await llm_client.call(llm, "chat", [good, good, too_long], GREEDY)
    assert failed.value.kind == "INVALID"
    assert await llm_client.call(llm, "get_num_unfinished_requests") == 0
    assert len(await llm_client.call(llm, "chat", [good, good], GREEDY)) == 2


# tests/v1/e2e/general/test_context_length.py::test_decoder_max_context_length_validation
async def test_a_prompt_fills_the_context_but_for_one_token(llm_client: Client, llm: Ref) -> None:
    fits, full = [[7] * 1023], [[7] * 1024]
    assert len(await llm_client.call(llm, "generate", fits, sampling(max_tokens=1))) == 1
    with pytest.raises(Failed, match="1024") as failed:
        await llm_client.call(llm, "generate", full, sampling(max_tokens=1))
    assert failed.value.kind == "INVALID"


# tests/entrypoints/llm/test_generate.py::test_log_stats
async def test_outputs_have_metrics_where_statistics_are_on(llm_client: Client, llm: Ref) -> None:
    outputs = await llm_client.call(llm, "generate", PROMPTS, sampling(**GREEDY))
    assert all(it.metrics.num_generation_tokens > 0 for it in outputs)


# tests/v1/engine/test_llm_engine.py::test_parallel_sampling
async def test_completions_have_indices_and_differ(llm_client: Client, llm: Ref) -> None:
    params = sampling(n=3, temperature=1.0, seed=3, max_tokens=8, logit_bias={5: 3.0, 6: 3.0})
    for output in await llm_client.call(llm, "generate", PROMPTS, params):
        assert [it.index for it in output.outputs] == [0, 1, 2]


# tests/v1/engine/test_llm_engine.py::test_engine_metrics
async def test_metrics_are_counters_gauges_and_histograms(llm_client: Client, llm: Ref) -> None:
    metrics = await llm_client.call(llm, "get_metrics")
    assert {it.name for it in metrics} >= {"Counter", "Gauge", "Histogram"}
    by_name = {it.fields["name"]: it for it in metrics}
    assert by_name["vllm:num_requests_running"].fields["value"] == 0.0
    assert by_name["vllm:generation_tokens"].fields["value"] > 0
    histogram = by_name["vllm:time_to_first_token_seconds"]
    assert histogram.fields["buckets"]["+Inf"] == histogram.fields["count"]


# tests/entrypoints/rpc/test_collective_rpc.py::test_get_model_name, test_echo_args_kwargs
async def test_methods_of_the_extension_are_called(
    llm_client: Client, llm: Ref, model: ScriptedModel
) -> None:
    assert await llm_client.call(llm, "collective_rpc", "model_name") == [str(model.path)]
    echoed = await llm_client.call(llm, "collective_rpc", "echo", args=(1,), kwargs={"a": 2})
    assert echoed == [[[1], {"a": 2}]]
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "collective_rpc", "init_device")
    assert failed.value.kind == "INVALID"


# tests/entrypoints/serve/instrumentator/test_sleep.py::test_sleep_mode
async def test_what_is_queued_in_a_sleep_runs_after_it(llm_client: Client, llm: Ref) -> None:
    assert await llm_client.call(llm, "sleep", level=0) is None
    conversation = [{"role": "user", "content": "Hi"}]
    assert len(await llm_client.call(llm, "enqueue", PROMPTS, GREEDY)) == 4
    assert len(await llm_client.call(llm, "enqueue_chat", [conversation] * 2, GREEDY)) == 2
    # Python would wait for ever here.
    for method, args in (("wait_for_completion", []), ("generate", ["Hello", GREEDY])):
        with pytest.raises(Failed, match="wake_up") as failed:
            await llm_client.call(llm, method, *args)
        assert failed.value.kind == "CONFLICT"
    assert await llm_client.call(llm, "wake_up", ["scheduling"]) is True
    outputs = await llm_client.call(llm, "wait_for_completion", "RequestOutput")
    assert [it.finished for it in outputs] == [True] * 6
    assert await llm_client.call(llm, "wait_for_completion") == []


async def test_requests_that_a_sleep_aborts_end_as_aborted(llm_client: Client, llm: Ref) -> None:
    await llm_client.call(llm, "enqueue", PROMPTS, ENDLESS)
    await llm_client.call(llm, "sleep", 1, "abort")
    outputs = await llm_client.call(llm, "wait_for_completion")
    assert {it.outputs[0].finish_reason for it in outputs} == {"abort"}
    assert await llm_client.call(llm, "wake_up") is True


# tests/entrypoints/weight_transfer/test_weight_transfer_llm.py::test_full_weight_transfer_flow
async def test_a_weight_update_keeps_requests_out(llm_client: Client, llm: Ref) -> None:
    assert await llm_client.call(llm, "get_weight_version") == "default"
    await llm_client.call(llm, "update_weight_version", "step-42")
    (output,) = await llm_client.call(llm, "generate", "Hello", sampling(**GREEDY))
    assert [it.version for it in output.outputs[0].weight_versions] == ["step-42"]
    await llm_client.call(llm, "update_weight_version", "default")

    await llm_client.call(llm, "enqueue", "Hello", ENDLESS)
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "start_weight_update")
    assert failed.value.kind == "CONFLICT"
    await llm_client.call(llm, "wait_for_completion")

    await llm_client.call(llm, "start_weight_update")
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "generate", "Hello", sampling(**GREEDY))
    assert failed.value.kind == "CONFLICT"
    # It leads to no model, so the update ends, and reloading makes the weights whole.
    await llm_client.call(llm, "finish_weight_update", "default")
    await llm_client.call(llm, "collective_rpc", "reload_weights")


# --- What it says of itself


async def test_the_view_of_the_model(llm_client: Client, llm: Ref) -> None:
    assert "LlamaForCausalLM" in await llm_client.call(llm, "__repr__")
    assert await llm_client.call(llm, "get_world_size") == 1
    assert (await llm_client.call(llm, "get_tokenizer")).type.endswith("Backend")
    assert (await llm_client.call(llm, "get_default_sampling_params")).name == "SamplingParams"


async def test_a_function_runs_on_the_model(llm_client: Client, llm: Ref) -> None:
    path = "tests.python.support.model_functions:count_parameters"
    (count,) = await llm_client.call(llm, "apply_model", path)
    assert count > 1000
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, "apply_model", "tests.python.support.model_functions:fail")
    assert failed.value.kind == "ENGINE_ERROR"
