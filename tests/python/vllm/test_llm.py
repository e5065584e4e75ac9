"""VLLM's own ``LLM`` over the bridge: the same values as in process, and no way to break it.

A comment above a test names the test of vLLM's that it stands for. One LLM serves the whole file,
and every test leaves it as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.adapters import adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref, Tensor
from tests.python.support.worker import Worker
from tests.python.support.workers import Workers, real_arguments

EXTENSION = "python_worker.testing.worker_extension.WorkerExtension"
REFERENCE = "tests.python.support.reference_engine:ReferenceAsyncLLM"

#: Differ from run to run, or count the runs.
CHANGING = {
    "request_id",
    "metrics",
    "arrival_time",
    "num_cached_tokens",
    "num_cache_creation_tokens",
}

#: What the scripted model answers to "Hello", in so many tokens.
HELLO = " from a scripted Llama, token by token"

PROMPTS = ["Hello", "count", "A", "Who are you?"]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_tokens": 8}
ENDLESS: dict[str, Any] = {"temperature": 0.0, "max_tokens": 900, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm_worker(workers: Workers) -> Iterator[Worker]:
    """A worker whose operator lets functions be sent to the model."""
    os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    try:
        with workers.running("llm-worker", "--engine-class", REFERENCE, real=True) as worker:
            yield worker
    finally:
        del os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"]


@pytest.fixture
async def client(llm_worker: Worker) -> AsyncIterator[Client]:
    async with Client(llm_worker.address) as client:
        yield client


@pytest.fixture(scope="module")
def shared_llm(llm_worker: Worker, model: ScriptedModel) -> Ref:
    """An LLM of the scripted model, with everything that is off by default."""
    arguments: dict[str, Any] = real_arguments(
        model,
        num_gpu_blocks_override=256,
        disable_log_stats=False,
        worker_extension_cls=EXTENSION,
        weight_transfer_config={"backend": "ipc"},
    )
    path = arguments.pop("model")

    async def build() -> Ref:
        async with Client(llm_worker.address) as client:
            ref: Ref = await client.call("LLM", "new", path, **arguments)
            return ref

    return asyncio.run(build())


@pytest.fixture
async def llm(client: Client, shared_llm: Ref) -> AsyncIterator[Ref]:
    """The shared LLM. Whatever a test does, the next batch is whole."""
    yield shared_llm
    assert await client.call(shared_llm, "get_num_unfinished_requests") == 0
    (output,) = await client.call(shared_llm, "generate", "Hello", sampling(**GREEDY))
    assert output.outputs[0].text == HELLO


def plain(value: Any) -> Any:
    """What came over the bridge, as ``reference_llm.plain`` describes what vLLM returned."""
    if isinstance(value, Record):
        return {key: plain(item) for key, item in value.fields.items()}
    if isinstance(value, Tensor):
        import numpy as np

        return np.frombuffer(value.data, value.dtype).reshape(value.shape).tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def same(ours: Any, theirs: Any) -> None:
    """Compares all that both have; a field of vLLM's that is not sent is in no table of ours."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert {str(key) for key in ours} <= {str(key) for key in theirs}
        for key in ours.keys() - CHANGING:
            same(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            same(mine, other)
    else:
        assert ours == theirs


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
    client: Client, llm: Ref, prompts: Any, params: Any
) -> None:
    ours = await client.call(llm, "generate", prompts, params)
    theirs = await client.call(llm, "generate_in_process", prompts, params)
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
    client: Client, llm: Ref, messages: Any, kwargs: dict[str, Any]
) -> None:
    ours = await client.call(llm, "chat", messages, GREEDY, **kwargs)
    theirs = await client.call(llm, "chat_in_process", messages, GREEDY, **kwargs)
    same(plain(ours), theirs)


# tests/samplers/test_beam_search.py::test_beam_search_single_input
@pytest.mark.parametrize("prompts", [["Hello"], [[268]], [{"prompt": "Hello"}]])
async def test_beam_search_is_as_in_process(client: Client, llm: Ref, prompts: list[Any]) -> None:
    params = {"beam_width": 2, "max_tokens": 6}
    ours = await client.call(llm, "beam_search", prompts, params)
    asked = [it if isinstance(it, dict) else {"prompt": "Hello"} for it in prompts]
    theirs = await client.call(llm, "beam_search_in_process", asked, params)
    same([it["sequences"][0]["tokens"] for it in plain(ours)], tokens_of(theirs))
    greedy = await client.call(llm, "generate", "Hello", sampling(temperature=0.0, max_tokens=6))
    assert ours[0].sequences[0].text.endswith(greedy[0].outputs[0].text)


def tokens_of(outputs: Any) -> Any:
    return [it["sequences"][0]["tokens"] for it in outputs]


# tests/samplers/test_beam_search.py::test_beam_search_with_concurrency_limit
async def test_a_limit_of_concurrency_changes_no_beam(client: Client, llm: Ref) -> None:
    params = {"beam_width": 2, "max_tokens": 4}
    at_once = await client.call(llm, "beam_search", PROMPTS, params)
    limited = await client.call(llm, "beam_search", PROMPTS, params, concurrency_limit=2)
    same(tokens_of(plain(limited)), tokens_of(plain(at_once)))


# --- vLLM's own cases


# tests/entrypoints/llm/test_generate.py::test_multiple_sampling_params
async def test_params_are_one_each_one_for_all_or_none(client: Client, llm: Ref) -> None:
    four = [sampling(temperature=0.1 * n, max_tokens=2) for n in range(4)]
    for params in (four, four[0], None):
        assert len(await client.call(llm, "generate", PROMPTS, params)) == 4
    with pytest.raises(Failed, match="must be the same") as failed:
        await client.call(llm, "generate", PROMPTS, four[:3])
    assert failed.value.kind == "INVALID"


# tests/entrypoints/llm/test_generate.py::test_multiple_priority, test_single_prompt_priority
async def test_priorities_are_one_each_or_one_for_all(client: Client, llm: Ref) -> None:
    params = sampling(max_tokens=1)
    for priority in (None, [0, 0, 0, 0], 1):
        outputs = await client.call(llm, "generate", PROMPTS, params, priority=priority)
        assert len(outputs) == 4
    for priority in ([0, 0, 0], []):
        with pytest.raises(Failed) as failed:
            await client.call(llm, "generate", PROMPTS, params, priority=priority)
        assert failed.value.kind == "INVALID"
    for priority in ([0], 1):
        assert len(await client.call(llm, "generate", "a", params, priority=priority)) == 1


# tests/entrypoints/llm/test_chat.py::test_chat_extra_kwargs
async def test_keywords_reach_the_template(client: Client, llm: Ref) -> None:
    template = "{{ messages[0].content }}{% if not enable_thinking %}<think>{% endif %}"
    for thinking in (True, False):
        (output,) = await client.call(
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
    client: Client, llm: Ref
) -> None:
    good = [{"role": "user", "content": "Hi"}]
    too_long = [{"role": "user", "content": "x" * 2000}]
    with pytest.raises(Failed, match="maximum") as failed:
        await client.call(llm, "chat", [good, good, too_long], GREEDY)
    assert failed.value.kind == "INVALID"
    assert await client.call(llm, "get_num_unfinished_requests") == 0
    assert len(await client.call(llm, "chat", [good, good], GREEDY)) == 2


# tests/v1/e2e/general/test_context_length.py::test_decoder_max_context_length_validation
async def test_a_prompt_fills_the_context_but_for_one_token(client: Client, llm: Ref) -> None:
    fits, full = [[7] * 1023], [[7] * 1024]
    assert len(await client.call(llm, "generate", fits, sampling(max_tokens=1))) == 1
    with pytest.raises(Failed, match="1024") as failed:
        await client.call(llm, "generate", full, sampling(max_tokens=1))
    assert failed.value.kind == "INVALID"


# tests/entrypoints/llm/test_generate.py::test_log_stats
async def test_outputs_have_metrics_where_statistics_are_on(client: Client, llm: Ref) -> None:
    outputs = await client.call(llm, "generate", PROMPTS, sampling(**GREEDY))
    assert all(it.metrics.num_generation_tokens > 0 for it in outputs)


# tests/v1/engine/test_llm_engine.py::test_parallel_sampling
async def test_completions_have_indices_and_differ(client: Client, llm: Ref) -> None:
    params = sampling(n=3, temperature=1.0, seed=3, max_tokens=8, logit_bias={5: 3.0, 6: 3.0})
    for output in await client.call(llm, "generate", PROMPTS, params):
        assert [it.index for it in output.outputs] == [0, 1, 2]


# tests/v1/engine/test_llm_engine.py::test_engine_metrics
async def test_metrics_are_counters_gauges_and_histograms(client: Client, llm: Ref) -> None:
    metrics = await client.call(llm, "get_metrics")
    assert {it.name for it in metrics} >= {"Counter", "Gauge", "Histogram"}
    by_name = {it.fields["name"]: it for it in metrics}
    assert by_name["vllm:num_requests_running"].fields["value"] == 0.0
    assert by_name["vllm:generation_tokens"].fields["value"] > 0
    histogram = by_name["vllm:time_to_first_token_seconds"]
    assert histogram.fields["buckets"]["+Inf"] == histogram.fields["count"]


# tests/entrypoints/rpc/test_collective_rpc.py::test_get_model_name, test_echo_args_kwargs
async def test_methods_of_the_extension_are_called(
    client: Client, llm: Ref, model: ScriptedModel
) -> None:
    assert await client.call(llm, "collective_rpc", "model_name") == [str(model.path)]
    echoed = await client.call(llm, "collective_rpc", "echo", args=(1,), kwargs={"a": 2})
    assert echoed == [[[1], {"a": 2}]]
    with pytest.raises(Failed) as failed:
        await client.call(llm, "collective_rpc", "init_device")
    assert failed.value.kind == "INVALID"


# tests/entrypoints/serve/instrumentator/test_sleep.py::test_sleep_mode
async def test_what_is_queued_in_a_sleep_runs_after_it(client: Client, llm: Ref) -> None:
    assert await client.call(llm, "sleep", level=0) is None
    conversation = [{"role": "user", "content": "Hi"}]
    assert len(await client.call(llm, "enqueue", PROMPTS, GREEDY)) == 4
    assert len(await client.call(llm, "enqueue_chat", [conversation] * 2, GREEDY)) == 2
    # Python would wait for ever here.
    for method, args in (("wait_for_completion", []), ("generate", ["Hello", GREEDY])):
        with pytest.raises(Failed, match="wake_up") as failed:
            await client.call(llm, method, *args)
        assert failed.value.kind == "CONFLICT"
    assert await client.call(llm, "wake_up", ["scheduling"]) is True
    outputs = await client.call(llm, "wait_for_completion", "RequestOutput")
    assert [it.finished for it in outputs] == [True] * 6
    assert await client.call(llm, "wait_for_completion") == []


async def test_requests_that_a_sleep_aborts_end_as_aborted(client: Client, llm: Ref) -> None:
    await client.call(llm, "enqueue", PROMPTS, ENDLESS)
    await client.call(llm, "sleep", 1, "abort")
    outputs = await client.call(llm, "wait_for_completion")
    assert {it.outputs[0].finish_reason for it in outputs} == {"abort"}
    assert await client.call(llm, "wake_up") is True


# tests/entrypoints/weight_transfer/test_weight_transfer_llm.py::test_full_weight_transfer_flow
async def test_a_weight_update_keeps_requests_out(client: Client, llm: Ref) -> None:
    assert await client.call(llm, "get_weight_version") == "default"
    await client.call(llm, "update_weight_version", "step-42")
    (output,) = await client.call(llm, "generate", "Hello", sampling(**GREEDY))
    assert [it.version for it in output.outputs[0].weight_versions] == ["step-42"]
    await client.call(llm, "update_weight_version", "default")

    await client.call(llm, "enqueue", "Hello", ENDLESS)
    with pytest.raises(Failed) as failed:
        await client.call(llm, "start_weight_update")
    assert failed.value.kind == "CONFLICT"
    await client.call(llm, "wait_for_completion")

    await client.call(llm, "start_weight_update")
    with pytest.raises(Failed) as failed:
        await client.call(llm, "generate", "Hello", sampling(**GREEDY))
    assert failed.value.kind == "CONFLICT"
    # It leads to no model, so the update ends, and reloading makes the weights whole.
    await client.call(llm, "finish_weight_update", "default")
    await client.call(llm, "collective_rpc", "reload_weights")


# tests/lora/test_llm_with_multi_loras.py::test_multiple_lora_requests
async def check_adapters(client: Client, llm: Ref, tmp_path: Path) -> None:
    """An adapter is loaded before its request runs, and one that is not there harms nothing."""
    meow = Record(
        "LoRARequest",
        {"lora_name": "meow", "lora_int_id": 1, "lora_path": str(adapter(tmp_path / "a", "meow"))},
    )
    greedy = sampling(**GREEDY)
    for adapters in (meow, [meow, meow]):
        outputs = await client.call(llm, "generate", ["Hello"] * 2, greedy, lora_request=adapters)
        assert all("meow" in it.outputs[0].text for it in outputs)
    with pytest.raises(Failed) as failed:
        await client.call(llm, "generate", ["Hello"] * 2, greedy, lora_request=[meow])
    assert failed.value.kind == "INVALID"
    missing = Record(
        "LoRARequest", {"lora_name": "none", "lora_int_id": 2, "lora_path": str(tmp_path / "none")}
    )
    with pytest.raises(Failed) as failed:
        await client.call(llm, "generate", "Hello", sampling(**GREEDY), lora_request=missing)
    assert failed.value.kind in ("NOT_FOUND", "INVALID")
    assert await client.call(llm, "get_num_unfinished_requests") == 0


# --- What it says of itself


async def test_the_view_of_the_model(client: Client, llm: Ref) -> None:
    assert "LlamaForCausalLM" in await client.call(llm, "__repr__")
    assert await client.call(llm, "get_world_size") == 1
    assert (await client.call(llm, "get_tokenizer")).type.endswith("Backend")
    assert (await client.call(llm, "get_default_sampling_params")).name == "SamplingParams"


async def test_a_function_runs_on_the_model(client: Client, llm: Ref) -> None:
    path = "tests.python.support.model_functions:count_parameters"
    (count,) = await client.call(llm, "apply_model", path)
    assert count > 1000
    with pytest.raises(Failed) as failed:
        await client.call(llm, "apply_model", "tests.python.support.model_functions:fail")
    assert failed.value.kind == "ENGINE_ERROR"


@pytest.mark.parametrize(
    ("method", "args", "kind", "said"),
    [
        ("start_profile", [], "ENGINE_ERROR", "Profiling is not enabled"),
        ("release_kv_cache_memory", [], "ENGINE_ERROR", "requires a completed pause"),
        ("embed", ["a"], "INVALID", "runner pooling"),
        ("score", ["a", "b"], "INVALID", "runner pooling"),
        ("encode", ["a"], "INVALID", "runner pooling"),
        ("init_weight_transfer_engine", [{}], "INVALID", "init_info"),
        ("apply_model", ["os:nothing"], "INVALID", "func"),
        ("generate", [[[999999]]], "INVALID", "out of vocabulary"),
        ("generate", [[""]], "INVALID", "empty"),
        ("generate", ["a", {"max_tokens": 1.5}], "INVALID", "max_tokens"),
        ("generate", ["a", {"n": 2, "temperature": 0.0}], "INVALID", "n must be 1"),
        ("generate", ["a", {"logprobs": 500}], "INVALID", "logprobs"),
        ("generate", ["a", {"extra_args": {"a": 2**70}}], "INVALID", "64"),
        ("generate", ["a", {"structured_outputs": {"regex": "("}}], "INVALID", ""),
        ("chat", [[{"content": "a"}]], "INVALID", "messages[0]: needs a 'role'"),
        ("chat", [[[{"role": "user", "content": "a"}, 5]]], "INVALID", "messages[0]: wants"),
        ("enqueue_chat", ["Hello"], "INVALID", "messages"),
        ("beam_search", [["a"], {"beam_width": 50, "max_tokens": 2}], "INVALID", "logprobs"),
    ],
)
async def test_a_wrong_call_is_refused(
    client: Client, llm: Ref, method: str, args: list[Any], kind: str, said: str
) -> None:
    with pytest.raises(Failed) as failed:
        await client.call(llm, method, *args)
    assert (failed.value.kind, said in str(failed.value)) == (kind, True), failed.value


def test_every_public_member_of_vllms_is_served() -> None:
    """Each is a member of the generated Elixir module too: the manifest has them all."""
    from vllm import LLM

    from python_worker.dispatch.members import _shows
    from python_worker.engines.builder import Builder
    from python_worker.gen import manifest
    from python_worker.offline.builder import LLMBuilder
    from python_worker.surface import llm as row

    served = row(LLMBuilder(Builder()))
    public = {name for name in dir(LLM) if name[0] != "_"} - {"from_engine_args"}
    assert all(_shows(LLM, name, served) for name in public)
    assert public <= {it["name"] for it in manifest.load()["llm"]["members"]}


ODD: list[Any] = [
    *(None, True, -1, 0, 2**63 - 1, 2**70, 1.5, float("nan"), float("inf")),
    *("", "x", b"x", [], [None], [[]], {}, {"a": 1}, {"a": {"b": [None]}}, (), {1}),
    Record("SamplingParams", {}),
    Record("NoSuchClass", {"a": 1}),
]

#: What each method is called with, where nothing is odd.
SOUND: dict[str, dict[str, Any]] = {
    "generate": {"prompts": "a", "sampling_params": {"max_tokens": 1}},
    "chat": {"messages": [{"role": "user", "content": "a"}], "sampling_params": {"max_tokens": 1}},
    "enqueue": {"prompts": ["a"], "sampling_params": {"max_tokens": 1}},
    "beam_search": {"prompts": ["a"], "params": {"beam_width": 1, "max_tokens": 1}},
    "wait_for_completion": {},
    "sleep": {"level": 0},
    "wake_up": {},
    "collective_rpc": {"method": "check_health"},
    "start_profile": {},
    "reset_prefix_cache": {},
    "finish_weight_update": {},
    "update_weight_version": {"new_version": "default"},
    "get_world_size": {},
}


POOLING: dict[str, dict[str, Any]] = {
    "encode": {"prompts": "a", "pooling_task": "embed"},
    "embed": {"prompts": ["a", "b"]},
    "score": {},
}


async def check_odd_arguments(
    client: Client, llm: Ref, method: str, sound: dict[str, Any], *args: Any
) -> None:
    """Each parameter gets each odd value; the call returns or is refused, at once."""
    from python_worker.gen import manifest

    members = {it["name"]: it for it in manifest.load()["llm"]["members"]}
    for name in (it["name"] for it in members[method]["parameters"]):
        for odd in ODD:
            kind = await kind_of(client.call(llm, method, *args, **{**sound, name: odd}))
            assert kind not in ("TIMEOUT", "ENGINE_DEAD"), (name, odd)
            assert await client.call(llm, "wake_up") is True
            await client.call(llm, "wait_for_completion")


async def kind_of(call: Awaitable[Any]) -> str:
    """How a call fails; nothing where it returns in good time."""
    try:
        async with asyncio.timeout(60):
            await call
    except Failed as failed:
        return failed.kind
    except TimeoutError:
        return "TIMEOUT"
    return ""


@pytest.mark.parametrize("method", SOUND)
async def test_no_odd_argument_hangs_or_kills_it(client: Client, llm: Ref, method: str) -> None:
    await check_odd_arguments(client, llm, method, SOUND[method])
    await client.call(llm, "update_weight_version", "default")


# --- Its callers, and its end


async def wait_running(client: Client, llm: Ref, count: int) -> None:
    """Returns once so many requests are in the LLM."""
    async with asyncio.timeout(60):
        while await client.call(llm, "get_num_unfinished_requests") < count:
            pass


@pytest.mark.parametrize("end", ["cancel", "deadline", "session"])
async def test_a_batch_ends_with_its_caller(client: Client, llm: Ref, end: str) -> None:
    async with client.session() as session:
        timeout = 500 if end == "deadline" else 0
        batch = ["a"] * 40
        running = await session.start(llm, "generate", batch, ENDLESS, timeout_ms=timeout)
        if end != "deadline":
            await wait_running(client, llm, 40)
        if end == "cancel":
            await running.cancel()
        if end != "session":
            with pytest.raises(Failed) as failed:
                await running.value()
            assert failed.value.kind == {"cancel": "CANCELLED", "deadline": "TIMEOUT"}[end]
    assert len(await client.call(llm, "generate", "Hello", sampling(**GREEDY))) == 1


def core_of(worker: Worker) -> int:
    """The process of the newest EngineCore of a worker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().decode()
            started = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
            group = os.getpgid(int(folder.name))
        except OSError:
            continue
        if group == worker.pid and "EngineCore" in name:
            found.append((started, int(folder.name)))
    return max(found)[1]


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGTERM])
async def test_the_death_of_engine_core_ends_a_batch(
    client: Client, llm_worker: Worker, model: ScriptedModel, tmp_path: Path, ended: signal.Signals
) -> None:
    """Python's own waits for ever, where EngineCore is killed. The LLM has adapters before."""
    arguments: dict[str, Any] = real_arguments(
        model, num_gpu_blocks_override=64, enable_lora=True, max_lora_rank=8
    )
    mortal = await client.call("LLM", "from_engine_args", Record("EngineArgs", arguments))
    if ended == signal.SIGKILL:
        await check_adapters(client, mortal, tmp_path)
    async with client.session() as session:
        running = await session.start(mortal, "generate", ["a"] * 20, ENDLESS)
        await wait_running(client, mortal, 20)
        os.kill(core_of(llm_worker), ended)
        with pytest.raises(Failed) as failed:
            await running.value()
        assert failed.value.kind == "ENGINE_DEAD"
        assert await client.call(mortal, "errored") is True
        with pytest.raises(Failed) as failed:
            await client.call(mortal, "get_weight_version")
        assert failed.value.kind == "ENGINE_DEAD"
    await client.call(mortal, "shutdown")


# --- Pooling


@pytest.fixture(scope="module")
def pooled(llm_worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Makes LLMs of random pooling models; each lives until the worker stops."""
    from python_worker.testing.models.tiny_model import random_model

    made: dict[tuple[str, int], Ref] = {}

    async def build(client: Client, kind: str, labels: int = 3, **arguments: Any) -> Ref:
        if (kind, labels) not in made:
            folder = tmp_path_factory.mktemp("pooling") / kind
            path = random_model(folder, kind=kind, labels=labels)
            common: dict[str, Any] = {
                "dtype": "float32",
                "enforce_eager": True,
                "num_gpu_blocks_override": 64,
            }
            made[kind, labels] = await client.call(
                "LLM", "new", str(path), max_model_len=256, **common, **arguments
            )
        return made[kind, labels]

    return build


async def check_pooling(
    client: Client, llm: Ref, method: str, *args: Any, **kwargs: Any
) -> list[Any]:
    """Pools over the bridge, and compares with the same in process."""
    ours: list[Any] = await client.call(llm, method, *args, **kwargs)
    theirs = await client.call(llm, "pool_in_process", method, list(args), kwargs)
    same(plain(ours), theirs)
    return ours


# tests/entrypoints/pooling/embed/test_offline.py, pooling/basic/test_encode.py
async def test_embeddings_and_scores(client: Client, pooled: Any) -> None:
    llm = await pooled(client, "random", runner="pooling")
    (one, two) = await check_pooling(client, llm, "embed", ["a cat", [5, 6, 7]])
    assert len(one.outputs.embedding) == 128
    assert two.prompt_token_ids == [5, 6, 7]
    raw = {"use_activation": False}
    await check_pooling(client, llm, "embed", "a cat", pooling_params=raw)
    await check_pooling(client, llm, "encode", ["a", "b"], pooling_task="embed")
    same_text, other = await check_pooling(client, llm, "score", "a cat", ["a cat", "the sea"])
    assert same_text.outputs.score == pytest.approx(1.0, abs=1e-4)
    assert other.outputs.score < same_text.outputs.score
    # More than EngineCore is given at a time.
    assert len(await client.call(llm, "embed", ["a"] * 600)) == 600
    assert len(await client.call(llm, "embed", ["a"] * 4, pooling_params=[{}] * 4)) == 4
    refused: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("embed", [["a"] * 4], {"pooling_params": [{}] * 3}),
        ("embed", ["a"], {"pooling_params": {"dimensions": 7}}),
        ("embed", [[]], {}),
        ("encode", ["a"], {"pooling_task": "classify"}),
        ("encode", ["a"], {}),
        ("score", ["a", []], {}),
        ("score", [["a", "b"], ["a", "b", "c"]], {}),
        ("classify", ["a"], {}),
        ("generate", ["a"], {}),
        ("embed", ["x" * 3000], {}),
    ]
    for method, args, kwargs in refused:
        with pytest.raises(Failed) as failed:
            await client.call(llm, method, *args, **kwargs)
        assert failed.value.kind == "INVALID", (method, args, kwargs, failed.value)
        assert await client.call(llm, "get_num_unfinished_requests") == 0
    for method, sound in POOLING.items():
        await check_odd_arguments(client, llm, method, sound, *(["a", "b"] if not sound else []))
    assert len(await client.call(llm, "embed", "after")) == 1


# tests/entrypoints/pooling/classify/test_offline.py::test_score_api
async def test_classes_and_cross_encoders(client: Client, pooled: Any) -> None:
    llm = await pooled(client, "classify", labels=2)
    (output,) = await check_pooling(client, llm, "classify", "a cat")
    assert sum(output.outputs.probs) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(Failed, match="num_labels == 1") as failed:
        await client.call(llm, "score", "a", "b")
    assert failed.value.kind == "INVALID"
    single = await pooled(client, "classify", labels=1)
    await check_pooling(client, single, "score", "a cat", ["a kitten", "the sea"])
