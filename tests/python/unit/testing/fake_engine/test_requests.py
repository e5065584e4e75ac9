"""Requests of the fake engine whose steps a test scripts."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.errors import EngineGenerateError
from python_worker.testing.fake_vllm.types import (
    PoolingParams,
    RequestOutputKind,
    SamplingParams,
)

DELTA = RequestOutputKind.DELTA


async def texts(engine: FakeAsyncLLM, prompt: Any = "hi", **params: Any) -> list[str]:
    stream = engine.generate(prompt, SamplingParams(output_kind=DELTA, **params), "r")
    return [output.outputs[0].text async for output in stream]


async def test_a_held_request_waits_for_its_release(engine: FakeAsyncLLM) -> None:
    behaviour = {"say": ["a", "b"], "paced": True, "hold": True, "after": 1}
    await engine.script(behaviour)
    stream = engine.generate("hi", SamplingParams(output_kind=DELTA), "r")
    assert (await anext(stream)).outputs[0].text == "a"
    assert engine.get_num_unfinished_requests() == 1
    assert await engine.release() == 1
    assert [output.outputs[0].text async for output in stream] == ["b"]
    assert await engine.release() == 0


async def test_a_request_held_at_its_last_token_only_ends(engine: FakeAsyncLLM) -> None:
    await engine.script({"say": ["a", "b"], "paced": True, "hold": True, "after": 2})
    stream = engine.generate("hi", SamplingParams(output_kind=DELTA), "r")
    assert [(await anext(stream)).outputs[0].text for _ in "ab"] == ["a", "b"]
    await engine.release()
    (last,) = [output async for output in stream]
    assert last.finished
    assert last.outputs[0].finish_reason == "stop"


async def test_a_failure_after_all_tokens_still_comes(engine: FakeAsyncLLM) -> None:
    fault = {"fail": ["ValueError", "late"], "after": 1, "paced": True}
    await engine.script({"say": ["a"], **fault})
    stream = engine.generate("hi", SamplingParams(output_kind=DELTA), "r")
    assert not (await anext(stream)).finished
    with pytest.raises(EngineGenerateError) as raised:
        await anext(stream)
    assert "late" in str(raised.value.__cause__)


async def test_reasons_and_logprobs_are_scripted(engine: FakeAsyncLLM) -> None:
    await engine.script(
        {
            "say": ["a", "b"],
            "logprobs": [-0.25, -1.0],
            "finish_reason": "stop",
            "stop_reason": "###",
        }
    )
    params = SamplingParams(max_tokens=2, logprobs=1, output_kind=RequestOutputKind.FINAL_ONLY)
    (output,) = [item async for item in engine.generate("hi", params, "r")]
    (completion,) = output.outputs
    assert (completion.finish_reason, completion.stop_reason) == ("stop", "###")
    assert completion.cumulative_logprob == -1.25
    assert [
        position[completion.token_ids[n]].logprob
        for n, position in enumerate(completion.logprobs or [])
    ] == [-0.25, -1.0]


async def test_embeddings_are_scripted(engine: FakeAsyncLLM) -> None:
    await engine.script({"embedding": [[1.0, 2.0], [3.0, 4.0]]})
    (output,) = [item async for item in engine.encode("hi", PoolingParams(), "r")]
    assert output.outputs.data.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_the_fake_engine_loads_without_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; "
        "from python_worker.testing.fake_engine.requests import pool; "
        "from python_worker.testing.fake_vllm.types import PoolingParams; "
        "print(pool([1, 2], PoolingParams(task='embed')).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(8,)\n"
