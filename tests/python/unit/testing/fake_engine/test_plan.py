"""What a test says of engines that it does not build, and of requests that it sees once."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest

from python_worker.testing.fake_engine import plan
from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_engine.script import Behaviour, Script
from python_worker.testing.fake_vllm import array, fields
from python_worker.testing.fake_vllm.errors import EngineGenerateError, QueueOverflowError
from python_worker.testing.fake_vllm.types import (
    AsyncEngineArgs,
    LoRARequest,
    PoolingParams,
    RequestOutputKind,
    SamplingParams,
    StructuredOutputsParams,
)

DELTA = RequestOutputKind.DELTA


@pytest.fixture
async def engine() -> AsyncIterator[FakeAsyncLLM]:
    engine = FakeAsyncLLM.from_engine_args(AsyncEngineArgs())
    yield engine
    engine.shutdown()


async def texts(engine: FakeAsyncLLM, prompt: Any = "hi", **params: Any) -> list[str]:
    stream = engine.generate(prompt, SamplingParams(output_kind=DELTA, **params), "r")
    return [output.outputs[0].text async for output in stream]


async def test_the_record_holds_what_was_given(engine: FakeAsyncLLM) -> None:
    lora = LoRARequest("a", 1, "/a")
    params = SamplingParams(max_tokens=1)
    _ = [output async for output in engine.generate("hi", params, "r", lora_request=lora)]
    given = {"priority": 0, "lora_request": lora}
    assert await engine.calls("generate") == [["generate", ["hi", params, "r"], given]]


def says(text: str) -> Behaviour:
    return Behaviour.of({"say": [text]})


def test_a_script_goes_from_the_prompt_to_patterns_to_all() -> None:
    script = Script()
    script.set(says("all"))
    script.set(says("pattern"), pattern="^h")
    script.set(says("other pattern"), pattern="e")
    script.set(says("prompt"), prompt="hi")
    script.set(says("ids"), prompt=[1, 2])
    found = [
        script.find(text, ids).say
        for text, ids in [("hi", []), ("hey", []), ("ten", []), (None, [1, 2]), (None, [3])]
    ]
    assert found == [("prompt",), ("pattern",), ("other pattern",), ("ids",), ("all",)]


def test_what_counts_a_few_times_comes_first_and_in_order() -> None:
    script = Script()
    script.set(says("always"), prompt="hi")
    script.set(says("first"), prompt="hi", times=1)
    script.set(says("then"), prompt="hi", times=2)
    found = [script.find("hi", []).say for _ in range(5)]
    assert found == [("first",), ("then",), ("then",), ("always",), ("always",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"times": 0}, "times is at least 1"), ({"prompt": "a", "pattern": "b"}, "not both")],
)
def test_a_script_without_a_meaning_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Script().set(Behaviour(), **arguments)


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


def test_an_array_needs_no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    made = array.array([[1.0, 2.0], [3.0, 4.0]])
    assert f"{type(made).__module__}.{type(made).__qualname__}" == "numpy.ndarray"
    assert (made.shape, made.dtype.name) == ((2, 2), "float32")
    monkeypatch.undo()
    import numpy as np

    assert made.tobytes() == np.array([[1, 2], [3, 4]], np.float32).tobytes()
    assert made[:0].shape == (0,)
    with pytest.raises(ValueError, match="uneven"):
        array.ndarray([[1.0], [1.0, 2.0]]).tobytes()


def build(**fake: Any) -> FakeAsyncLLM:
    return FakeAsyncLLM.from_engine_args(AsyncEngineArgs(additional_config={"fake": fake}))


async def test_a_plan_is_what_engines_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan.Plan(
        {
            "scripts": [{"behaviour": {"say": ["planned"]}, "prompt": "hi"}],
            "injections": [{"method": "sleep", "injection": {"error": ["ValueError", "no"]}}],
        }
    )
    monkeypatch.setattr(plan, "PLAN", planned)
    engine = build()
    assert await texts(engine) == ["planned"]
    with pytest.raises(ValueError, match="no"):
        await engine.sleep()
    control = build(control=True)
    assert (control.is_control, engine.is_control) == (True, False)
    refusal = {"refuse": ["QueueOverflowError", "full"]}
    await control.plan({"scripts": [{"behaviour": refusal, "prompt": "more"}]})
    for each in (engine, build()):
        assert await texts(each) == ["planned"]
        with pytest.raises(QueueOverflowError):
            await texts(each, "more")
    assert await texts(control, "more", max_tokens=1) == [" 256"]


def test_an_engine_fails_to_start_so_many_times() -> None:
    planned = plan.Plan({"build_error": ["ValueError", "no"], "build_error_times": 1})
    taken = [
        planned.start(own) for own in ({"control": True}, {}, {}, {"build_error": ["KeyError"]})
    ]
    errors = [config.get("build_error") for config in taken]
    assert errors == [None, ["ValueError", "no"], None, ["KeyError"]]


def test_a_plan_comes_with_the_environment() -> None:
    text = base64.b64encode(msgpack.packb({"build_seconds": 1})).decode()
    planned = plan.from_environment({plan.VARIABLE: text})
    assert planned.start({}) == {"build_seconds": 1}
    assert plan.from_environment({}).start({}) == {}
    with pytest.raises(ValueError, match="no 'oops'"):
        planned.add({"oops": 1})


def test_the_fake_engine_loads_without_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; "
        "from python_worker.testing.fake_engine.requests import pool; "
        "from python_worker.testing.fake_vllm.types import PoolingParams; "
        "print(pool([1, 2], PoolingParams(task='embed')).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(8,)\n"


@pytest.mark.parametrize(
    "cls", [AsyncEngineArgs, PoolingParams, SamplingParams, StructuredOutputsParams]
)
def test_parameters_have_every_field_of_vllm(cls: type[Any]) -> None:
    manifest = json.loads(fields.MANIFEST.read_text(encoding="utf-8"))
    wanted = {field["name"] for field in manifest["classes"][cls.__name__]["fields"]}
    assert wanted <= {field.name for field in dataclasses.fields(cls)}
    made = cls()
    assert made == dataclasses.replace(made)
    # What is made twice is not the same set or list.
    assert all(
        getattr(made, name) is not getattr(cls(), name)
        for name in wanted
        if isinstance(getattr(made, name), (set, list, dict))
    )
