"""The list of what clients reach holds what vLLM documents, and every row can be stopped."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, cast

import pytest

from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import Builder
from python_worker.engines.collector import RequestOutputCollector
from python_worker.engines.parameter_classes import PATHS
from python_worker.exceptions import NotServed
from python_worker.offline.builder import LLMBuilder
from python_worker.surface import LLM_BATCHES, async_llm, llm, served_classes

CLASSES = served_classes(Builder(), cast(Worker, object()))


@pytest.mark.parametrize("name", ["AsyncLLM", "LLM", "AsyncEngineArgs", "Worker", "vllm", *PATHS])
def test_a_class_is_reached_by_its_name(name: str) -> None:
    assert CLASSES.named(name).name == name


@pytest.mark.parametrize("name", ["RequestOutputCollector", "LLMEngine", ""])
def test_no_other_class_is_reached_without_a_reference(name: str) -> None:
    with pytest.raises(NotServed, match=r"there are AsyncEngineArgs, AsyncLLM, .*LLM, .*Worker"):
        CLASSES.named(name)


def test_a_parameter_class_shows_its_calls_alone() -> None:
    shown = {name: CLASSES.named(name).shown or frozenset() for name in PATHS}
    assert all({"new", "to_map"} <= it for it in shown.values())
    assert shown["PoolingParams"] == {"new", "to_map"}
    assert shown["EngineArgs"] == {"new", "to_map", "parse_cli", "create_engine_config"}
    assert "update_from_generation_config" in shown["SamplingParams"]


def test_a_collector_depends_on_its_engine() -> None:
    engine: Any = object()
    inner: Any = object()
    collector = RequestOutputCollector(engine, inner, cast(Any, None))
    served = CLASSES.of(collector)
    assert served.name == "RequestOutputCollector"
    assert served.owner(collector) is engine


def test_an_engine_that_fails_to_shut_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    for served in (async_llm(Builder()), llm(LLMBuilder(Builder()))):
        assert served.stop is not None
        served.stop(object())  # It has no shutdown at all.
    assert "an engine did not shut down" in caplog.text
    assert "an LLM did not shut down" in caplog.text


def test_every_method_of_an_llm_with_a_bar_tells_its_progress() -> None:
    manifest = json.loads(
        resources.files("python_worker.generated").joinpath("manifest.json").read_text()
    )
    with_bar = {
        member["name"]
        for member in manifest["llm"]["members"]
        if any(it["name"] == "use_tqdm" for it in member.get("parameters", ()))
    }
    assert with_bar == LLM_BATCHES


# What gives room back, or says how much there is, has to be answered by a worker that is full.
EXEMPT = {
    "AsyncLLM": {
        *("abort", "check_health", "dead_error", "errored", "get_num_unfinished_requests"),
        *("is_paused", "is_running", "is_sleeping", "is_stopped", "resume_generation"),
        *("shutdown", "wake_up"),
    },
    "LLM": {"dead_error", "errored", "get_num_unfinished_requests", "shutdown", "wake_up"},
    "RequestOutputCollector": {"close", "get_nowait", "request_id"},
    # Calls wait for these answers, and the limit may be reached by such calls.
    "LocalVLLMBackend": {"answer_hook"},
    "MelleaSession": {"answer", "answer_hook"},
    "ModelOutputThunk": {"cancel"},
}
ROWS = {row.name: row for row in CLASSES.rows()}


def test_these_methods_are_exempt_from_the_limit_of_calls_and_no_others() -> None:
    assert {name: row.unlimited for name, row in ROWS.items() if row.unlimited} == EXEMPT
    # The worker's own are not counted either: they free references and report load.
    assert [name for name, row in ROWS.items() if not row.limited] == ["Worker"]


@pytest.mark.parametrize("name", ROWS)
def test_a_call_counts_unless_its_method_is_exempt(name: str) -> None:
    row = ROWS[name]
    methods = {"generate", "sleep", *(row.shown or ()), *row.added, *row.immediate}
    exempt = methods if name == "Worker" else EXEMPT.get(name, set())
    assert {it for it in methods | exempt if not row.counts(it)} == exempt
