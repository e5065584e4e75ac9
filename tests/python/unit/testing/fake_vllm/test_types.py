"""The parameter classes check ranges as vLLM's do."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.testing.fake_vllm.errors import (
    VLLMValidationError,
)
from python_worker.testing.fake_vllm.types import (
    SamplingParams,
)


@pytest.mark.parametrize(
    "values", [{"n": 0}, {"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 2.0}]
)
def test_ranges_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(VLLMValidationError, match=next(iter(values))):
        SamplingParams(**values)
