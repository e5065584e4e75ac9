"""The installed vLLM makes its outputs as it did when ``request_states`` was written."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.v1.engine import detokenizer
from vllm.v1.engine.output_processor import (
    LogprobsProcessor,
    OutputProcessor,
    ParentRequest,
    RequestState,
)

from python_worker.streaming.token_tap import KNOWN, USED, fingerprint, known

CLASSES = [
    ("processor", OutputProcessor),
    ("state", RequestState),
    ("logprobs", LogprobsProcessor),
    ("parent", ParentRequest),
    ("detokenizer", detokenizer.IncrementalDetokenizer),
    ("detokenizer", detokenizer.FastIncrementalDetokenizer),
    ("detokenizer", detokenizer.SlowIncrementalDetokenizer),
]


@pytest.mark.parametrize(("role", "cls"), CLASSES, ids=lambda it: getattr(it, "__name__", it))
def test_the_installed_vllm_makes_its_outputs_as_is_known(role: str, cls: type) -> None:
    assert known(role, cls), (
        "vLLM makes its outputs in another way: review request_states.py against the methods in "
        "KNOWN, and then put down their new fingerprints"
    )


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_method_is_the_one_it_is_called(name: str) -> None:
    classes = {cls.__name__: cls for _role, cls in CLASSES}
    owner, method = name.split(".")
    found = vars(classes.get(owner) or getattr(detokenizer, owner))[method]
    assert fingerprint(found) == KNOWN[name], f"review request_states.py: {name}"


def other(*args: Any) -> Any:
    """A method of somebody's own."""


@pytest.mark.parametrize(("role", "cls"), CLASSES, ids=lambda it: getattr(it, "__name__", it))
def test_a_subclass_is_known_by_its_methods(role: str, cls: type) -> None:
    for name in USED[role]:
        assert not known(role, type("Subclass", (cls,), {name: other}))
    assert known(role, type("Subclass", (cls,), {"more": other}))
