"""What a test asks a fake engine afterwards."""

from __future__ import annotations

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.types import (
    LoRARequest,
    SamplingParams,
)


async def test_the_record_holds_what_was_given(engine: FakeAsyncLLM) -> None:
    lora = LoRARequest("a", 1, "/a")
    params = SamplingParams(max_tokens=1)
    _ = [output async for output in engine.generate("hi", params, "r", lora_request=lora)]
    given = {"priority": 0, "lora_request": lora}
    assert await engine.calls("generate") == [["generate", ["hi", params, "r"], given]]
