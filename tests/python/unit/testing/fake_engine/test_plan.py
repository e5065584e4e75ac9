"""Plans: how engines behave that the test does not build itself."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
import pytest

from python_worker.testing.fake_engine import plan
from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.errors import QueueOverflowError
from python_worker.testing.fake_vllm.types import (
    AsyncEngineArgs,
    RequestOutputKind,
    SamplingParams,
)

DELTA = RequestOutputKind.DELTA


async def texts(engine: FakeAsyncLLM, prompt: Any = "hi", **params: Any) -> list[str]:
    stream = engine.generate(prompt, SamplingParams(output_kind=DELTA, **params), "r")
    return [output.outputs[0].text async for output in stream]


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
