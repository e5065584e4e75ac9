"""What methods of an engine return, as vLLM documents it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from python_worker.engines.results import RESULTS


@dataclass
class Config:
    """A configuration object, of which clients get the fields."""

    endpoint: str


CASES: list[tuple[str, Any, Any]] = [
    ("list_loras", [1, 2], {1, 2}),
    ("get_supported_tasks", ["generate"], ("generate",)),
    ("wake_up", None, True),
    ("wake_up", False, False),
    ("get_kv_event_sources", {0: Config("tcp://h"), 1: 7}, {0: {"endpoint": "tcp://h"}, 1: 7}),
]


@pytest.mark.parametrize(("method", "returned", "documented"), CASES)
def test_a_result_is_converted_to_the_documented_one(
    method: str, returned: Any, documented: Any
) -> None:
    assert RESULTS[method](returned) == documented
