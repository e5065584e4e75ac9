"""What a role allows, for every class that is served."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from python_worker.dispatch.access import EVERYTHING, Access
from python_worker.dispatch.served_classes import OTHER, Constructors, ServedClass
from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import Builder
from python_worker.exceptions import Forbidden, Kind
from python_worker.surface import served_classes

INFERENCE = Access("web", inference_only=True)
LLAMA = Access("batch", engines=frozenset({"llama"}))
BOTH = INFERENCE.within(LLAMA)

SINGLE = object()
CLASS = ServedClass(
    name="Engine",
    constructors=Constructors(("new",), cast(Any, None)),
    inference=frozenset({"generate"}),
)
TOOLS = ServedClass(name="Tools", singleton=SINGLE, inference=frozenset({"look"}))
COLLECTOR = ServedClass(name="Collector", owner=lambda it: it.engine, inference=frozenset({"get"}))


def engine(name: str | None) -> Any:
    return SimpleNamespace(model_config=SimpleNamespace(served_model_name=name, model=None))


def allows(access: Access, target: object, served: ServedClass, method: str) -> bool:
    try:
        access.check(target, served, method)
    except Forbidden:
        return False
    return True


def test_what_is_not_allowed_is_refused_with_the_role() -> None:
    with pytest.raises(Forbidden, match=r"the role 'web' allows nothing else") as caught:
        INFERENCE.check(engine("llama"), CLASS, "shutdown")
    assert (caught.value.kind, caught.value.details) == (Kind.FORBIDDEN, {"role": "web"})
    with pytest.raises(Forbidden, match=r"that the role 'batch' allows: llama") as caught:
        LLAMA.check(engine("qwen"), CLASS, "shutdown")
    assert caught.value.details == {"role": "batch", "engines": ["llama"]}


@pytest.mark.parametrize(
    ("target", "served", "method", "inference", "named"),
    [
        (engine("llama"), CLASS, "generate", True, True),
        (engine("llama"), CLASS, "shutdown", False, True),
        (engine("qwen"), CLASS, "generate", True, False),
        (engine(None), CLASS, "generate", True, False),
        (None, CLASS, "new", False, False),
        (None, CLASS, "generate", False, False),
        (SINGLE, TOOLS, "look", True, True),
        (SINGLE, TOOLS, "change", False, False),
        (SimpleNamespace(engine=engine("llama")), COLLECTOR, "get", True, True),
        (SimpleNamespace(engine=engine("qwen")), COLLECTOR, "get", True, False),
        (object(), OTHER, "save_pretrained", False, False),
        (object(), OTHER, "generate", False, False),
    ],
)
def test_a_role_allows_what_it_says(
    target: object, served: ServedClass, method: str, inference: bool, named: bool
) -> None:
    assert allows(EVERYTHING, target, served, method)
    assert allows(INFERENCE, target, served, method) == inference
    assert allows(LLAMA, target, served, method) == named
    assert allows(BOTH, target, served, method) == (inference and named)


def test_two_roles_together_allow_what_both_allow() -> None:
    qwen = Access("other", engines=frozenset({"qwen", "llama"}))
    assert EVERYTHING.within(LLAMA) is LLAMA.within(EVERYTHING) is LLAMA
    assert LLAMA.within(qwen) == Access("batch and other", engines=frozenset({"llama"}))
    assert Access("batch and web", inference_only=True, engines=frozenset({"llama"})) == BOTH


def test_a_role_sees_the_engines_that_it_allows() -> None:
    assert (LLAMA.sees(engine("llama")), LLAMA.sees(engine("qwen"))) == (True, False)
    assert INFERENCE.sees(engine("qwen"))


# Whatever changes something for others, ends something, reads files or runs what it is given.
CHANGING = (
    *("abort", "shutdown", "sleep", "wake", "pause", "resume", "reset", "add_lora", "load"),
    *("remove", "update", "start_", "stop_", "collective", "apply", "scale", "release_kv"),
)


def test_nothing_that_is_served_for_inference_changes_anything_for_others() -> None:
    classes = served_classes(cast(Builder, None), cast(Worker, None))
    rows = list(classes._by_name.values())
    assert {row.name for row in rows if row.inference} == {
        *("AsyncLLM", "LLM", "RequestOutputCollector", "Worker"),
        *("SamplingParams", "PoolingParams", "BeamSearchParams"),
        *("StructuredOutputsParams", "RepetitionDetectionParams"),
    }
    for row in rows:
        # What parameter classes have only makes values.
        for method in row.inference if row.watched or row.owner is not ServedClass.owner else ():
            assert not method.startswith(CHANGING), f"{row.name}.{method}"
            assert not method.startswith("_"), f"{row.name}.{method}"


def test_a_refusal_names_the_class_as_clients_know_it() -> None:
    for served, name in ((ServedClass(name="AsyncLLM"), "AsyncLLM"), (ServedClass(), "dict")):
        with pytest.raises(Forbidden, match=f"^{name}.sleep is no inference"):
            INFERENCE.check({}, served, "sleep")
