"""The installed vLLM makes its outputs as it did when ``request_states`` was written."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.v1.engine import detokenizer
from vllm.v1.engine.output_processor import OutputProcessor, RequestState

from python_worker.request_states import KNOWN, fingerprint, known

DETOKENIZERS = [
    detokenizer.IncrementalDetokenizer,
    detokenizer.FastIncrementalDetokenizer,
    detokenizer.SlowIncrementalDetokenizer,
]


@pytest.mark.parametrize("cls", DETOKENIZERS, ids=lambda cls: cls.__name__)
def test_the_installed_vllm_makes_its_outputs_as_is_known(cls: type) -> None:
    assert known(OutputProcessor, RequestState, cls), (
        "vLLM makes its outputs in another way: review request_states.py against the methods in "
        "KNOWN, and then put down their new fingerprints"
    )


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_method_is_the_one_it_is_called(name: str) -> None:
    classes = {cls.__name__: cls for cls in (OutputProcessor, RequestState)}
    cls, method = name.split(".")
    owner = classes.get(cls) or getattr(detokenizer, cls)
    assert vars(owner)[method].__qualname__ == name
    assert fingerprint(vars(owner)[method]) == KNOWN[name], f"review request_states.py: {name}"


def other(*args: Any) -> Any:
    """A method of somebody's own."""


@pytest.mark.parametrize("cls", [OutputProcessor, RequestState, *DETOKENIZERS])
def test_a_subclass_is_known_by_its_methods(cls: type) -> None:
    given = [OutputProcessor, RequestState, DETOKENIZERS[1]]
    place = min(2, [OutputProcessor, RequestState, cls].index(cls))
    methods = {name.split(".")[1] for name in KNOWN} & set(dir(cls))
    assert methods
    for name in methods:
        given[place] = type("Subclass", (cls,), {name: other})
        assert not known(*given)
    given[place] = type("Subclass", (cls,), {"more": other})
    assert known(*given)
