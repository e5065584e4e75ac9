"""The fake engine behaves as vLLM's AsyncLLM does, where a client can tell the difference."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.errors import (
    EngineDeadError,
    EngineGenerateError,
    QueueOverflowError,
    VLLMValidationError,
)
from python_worker.testing.fake_vllm.types import (
    AsyncEngineArgs,
    LoRARequest,
    PoolingParams,
    RequestOutput,
    RequestOutputKind,
    SamplingParams,
)

CUMULATIVE, DELTA, FINAL_ONLY = RequestOutputKind


@pytest.fixture
async def engine() -> AsyncIterator[FakeAsyncLLM]:
    engine = FakeAsyncLLM.from_engine_args(AsyncEngineArgs(model="fake", enable_lora=True))
    yield engine
    await asyncio.to_thread(engine.shutdown)


async def outputs(
    engine: FakeAsyncLLM, prompt: str = "hi", request_id: str = "r", **params: Any
) -> list[RequestOutput]:
    stream = engine.generate(prompt, SamplingParams(**params), request_id)
    return [output async for output in stream]


async def test_a_request_yields_its_known_tokens(engine: FakeAsyncLLM) -> None:
    (*_, last) = await outputs(engine, max_tokens=3)
    assert (last.request_id, last.prompt, last.prompt_token_ids) == ("r", "hi", [104, 105])
    (completion,) = last.outputs
    assert completion.token_ids == [256, 257, 258]
    assert completion.text == " 256 257 258"
    assert (last.finished, completion.finish_reason) == (True, "length")


async def test_text_is_what_the_tokenizer_makes_of_the_ids(engine: FakeAsyncLLM) -> None:
    await engine.script({"say": ["one", " \u20ac", ""]})
    (*_, last) = await outputs(engine)
    assert last.outputs[0].text == "one \u20ac"
    tokenizer = engine.get_tokenizer()
    assert tokenizer.decode(last.outputs[0].token_ids) == "one \u20ac"
    assert tokenizer.decode(tokenizer.encode("caf\u00e9")) == "caf\u00e9"


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("paced", [False, True])
async def test_deltas_add_up_to_the_last_state_and_the_final(
    n: int, paced: bool, engine: FakeAsyncLLM
) -> None:
    await engine.script({"paced": paced})
    texts: dict[RequestOutputKind, dict[int, str]] = {}
    for kind in RequestOutputKind:
        by_index: dict[int, str] = defaultdict(str)
        items = await outputs(engine, n=n, max_tokens=20, logprobs=1, output_kind=kind)
        for item in items:
            for completion in item.outputs:
                assert len(completion.token_ids) == len(completion.logprobs or [])
                new = by_index[completion.index] + completion.text
                by_index[completion.index] = new if kind == DELTA else completion.text
        assert [item.finished for item in items] == [False] * (len(items) - 1) + [True]
        texts[kind] = dict(by_index)
    assert texts[CUMULATIVE] == texts[DELTA] == texts[FINAL_ONLY]
    assert len(texts[DELTA]) == n


async def test_a_slow_consumer_gets_merged_deltas(engine: FakeAsyncLLM) -> None:
    stream = engine.generate("hi", SamplingParams(max_tokens=500, output_kind=DELTA), "r")
    first = await anext(stream)
    await engine.wait_requests(0)
    rest = [output async for output in stream]
    assert len(rest) == 1
    total = [*first.outputs[0].token_ids, *rest[0].outputs[0].token_ids]
    assert total == list(range(256, 756))


async def test_paced_gives_one_item_for_each_token(engine: FakeAsyncLLM) -> None:
    await engine.script({"paced": True})
    assert len(await outputs(engine, max_tokens=50, output_kind=DELTA)) == 50


async def test_one_handler_steps_all_requests_together(engine: FakeAsyncLLM) -> None:
    await engine.script({"delay": 0.01})
    before = len(asyncio.all_tasks())
    requests = [
        asyncio.create_task(outputs(engine, request_id=str(n), max_tokens=10)) for n in range(100)
    ]
    await engine.wait_requests(100)
    assert len(asyncio.all_tasks()) == before + len(requests) + 1
    await asyncio.gather(*requests)


@pytest.mark.parametrize("n", [1, 4])
async def test_closing_the_stream_aborts(n: int, engine: FakeAsyncLLM) -> None:
    stream = engine.generate("hi", SamplingParams(n=n, max_tokens=None), "r")
    await anext(stream)
    await stream.aclose()
    assert await engine.aborted() == ["r"] * n
    assert engine.get_num_unfinished_requests() == 0


@pytest.mark.parametrize("ids", ["r", ["r", "unknown"]])
async def test_abort_ends_the_stream_with_one_last_item(
    ids: str | list[str], engine: FakeAsyncLLM
) -> None:
    """Two requests may have one id; abort ends both."""
    await engine.script({"delay": 0.005})
    tasks = [asyncio.create_task(outputs(engine, max_tokens=None)) for _ in range(2)]
    await engine.wait_requests(2)
    await engine.abort(ids)
    for items in await asyncio.gather(*tasks):
        assert [item.finished for item in items].count(True) == 1
        assert items[-1].outputs[0].finish_reason == "abort"


async def test_internal_ids_are_the_callers_with_eight_digits(engine: FakeAsyncLLM) -> None:
    queue = await engine.add_request("mine", "hi", SamplingParams(max_tokens=None))
    assert re.fullmatch(r"mine-[0-9a-f]{8}", queue.request_id)
    await engine.abort("mine", internal=True)
    assert engine.get_num_unfinished_requests() == 1
    await engine.abort(queue.request_id, internal=True)
    output = await queue.get()
    while not output.finished:
        output = await queue.get()
    assert engine.get_num_unfinished_requests() == 0


async def test_fails_after_exactly_so_many_items(engine: FakeAsyncLLM) -> None:
    await engine.script({"paced": True, "after": 3, "fail": ["KeyError", "lost"]}, prompt="bad")
    stream = engine.generate("bad", SamplingParams(), "r")
    for _ in range(3):
        await anext(stream)
    with pytest.raises(EngineGenerateError) as caught:
        await anext(stream)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (await outputs(engine))[-1].finished


async def test_refuses_before_it_takes_the_request(engine: FakeAsyncLLM) -> None:
    await engine.script({"refuse": ["QueueOverflowError", "full"]})
    with pytest.raises(QueueOverflowError, match="full"):
        await outputs(engine)
    assert await engine.live() | {"tasks": 0} == {"requests": 0, "streams": 0, "tasks": 0}


@pytest.mark.parametrize(("place", "known"), [("admission", 0), ("adding", 1)])
async def test_hangs_where_it_is_told(place: str, known: int, engine: FakeAsyncLLM) -> None:
    await engine.script({"hang_in": place})
    task = asyncio.create_task(outputs(engine))
    await engine.wait_called("generate")
    await asyncio.sleep(0)
    assert engine.get_num_unfinished_requests() == known
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_extra_args_script_one_request(engine: FakeAsyncLLM) -> None:
    (*_, last) = await outputs(engine, extra_args={"fake": {"tokens": 2}})
    assert (len(last.outputs[0].token_ids), last.outputs[0].finish_reason) == (2, "stop")


async def test_death_fails_everything_from_then_on(engine: FakeAsyncLLM) -> None:
    await engine.script({"hang": True, "after": 1})
    tasks = [asyncio.create_task(outputs(engine, request_id=str(n))) for n in range(3)]
    await engine.wait_requests(3)
    await engine.die()
    for task in tasks:
        with pytest.raises(EngineDeadError):
            await task
    assert (engine.is_running, engine.is_stopped, engine.errored) == (False, True, True)
    for refused in (engine.check_health(), engine.sleep(), outputs(engine)):
        with pytest.raises(EngineDeadError):
            await refused


async def test_shutdown_in_a_thread_ends_streams_with_abort(engine: FakeAsyncLLM) -> None:
    await engine.script({"delay": 0.01})
    task = asyncio.create_task(outputs(engine, max_tokens=None))
    await engine.wait_requests(1)
    await asyncio.to_thread(engine.shutdown)
    assert (await task)[-1].outputs[0].finish_reason == "abort"
    await asyncio.to_thread(engine.shutdown)


async def test_keep_freezes_and_resume_goes_on(engine: FakeAsyncLLM) -> None:
    await engine.script({"paced": True})
    stream = engine.generate("hi", SamplingParams(max_tokens=5), "r")
    await anext(stream)
    await engine.pause_generation(mode="keep")
    waiting = asyncio.ensure_future(anext(stream))
    assert (await engine.is_paused(), await engine.is_sleeping()) == (True, True)
    assert not waiting.done()
    await engine.resume_generation()
    await waiting
    async for last in stream:
        assert last
    assert len(last.outputs[0].token_ids) == 5


async def test_sleep_aborts_and_wake_up_serves_again(engine: FakeAsyncLLM) -> None:
    await engine.sleep(2)
    assert await engine.is_sleeping()
    assert await engine.wake_up(["weights"]) is False
    assert await engine.wake_up() is True
    assert (await outputs(engine))[-1].finished


async def test_injected_errors_and_the_call_record(engine: FakeAsyncLLM) -> None:
    await engine.inject("sleep", {"error": ["ValueError", "not now", ["KeyError"]], "times": 1})
    with pytest.raises(ValueError, match="not now"):
        await engine.sleep(2)
    await engine.sleep(2)
    rpc = await engine.collective_rpc("f", 1.5, (1, "two"), {"three": 3})
    assert rpc == [("f", 1.5, (1, "two"), {"three": 3})]
    assert await engine.calls("sleep") == [["sleep", [2, "abort"], {}]] * 2


async def test_adapters(engine: FakeAsyncLLM) -> None:
    assert await engine.add_lora(LoRARequest("a", 7, "/adapters/a"))
    assert await engine.list_loras() == [7]
    assert await engine.remove_lora(7)
    assert not await engine.remove_lora(7)
    with pytest.raises(Exception, match="LoRA 7 is not registered"):
        await engine.pin_lora(7)


@pytest.mark.parametrize(("task", "shape"), [(None, (2, 8)), ("embed", (8,)), ("classify", (3,))])
async def test_encode_has_known_numbers(
    task: Any, shape: tuple[int, ...], engine: FakeAsyncLLM
) -> None:
    stream = engine.encode("hi", PoolingParams(task=task), "r")
    (output,) = [output async for output in stream]
    assert output.outputs.data.shape == shape
    assert output.outputs.data.reshape(-1)[-shape[-1]] == ord("i")


async def test_empty_and_overlong_prompts_are_refused() -> None:
    engine = FakeAsyncLLM.from_engine_args(AsyncEngineArgs(max_model_len=4))
    prompts: list[str | list[int]] = ["", [], "12345"]
    for prompt in prompts:
        with pytest.raises(VLLMValidationError):
            await anext(engine.generate(prompt, SamplingParams(), "r"))


def test_construction_fails_as_scripted() -> None:
    config = {"fake": {"build_error": ["RuntimeError", "no core"], "build_seconds": 0.01}}
    with pytest.raises(RuntimeError, match="no core"):
        FakeAsyncLLM.from_engine_args(AsyncEngineArgs(additional_config=config))


def test_importing_it_imports_neither_vllm_nor_torch() -> None:
    code = (
        "import sys, python_worker.testing.fake_engine.engine;"
        "print([m for m in ('vllm', 'torch', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
