"""What a generation gives."""

from __future__ import annotations

from python_worker.integrations.inference.results import GenerationResult, as_map


# Upstream: test_provider.py::TestGenerationResult (U-89)
def test_a_result_is_a_map_of_its_fields() -> None:
    result = GenerationResult("text", "model", "adapter", 7, "stop")
    assert as_map(result) == {
        "text": "text",
        "model": "model",
        "adapter_id": "adapter",
        "token_count": 7,
        "finish_reason": "stop",
    }


def test_a_result_may_have_no_adapter() -> None:
    assert as_map(GenerationResult("text", "model", None, 7, "length"))["adapter_id"] is None
