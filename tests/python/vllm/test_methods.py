"""Every public member of the installed ``AsyncLLM``, on a real engine.

One table: what a call returns, or which error it gives. A member of vLLM's class that is in no
table fails a test, so that nothing is left out, and nothing new goes by unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from python_worker.engines.builder import import_async_llm
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref

GREEDY = sampling(temperature=0.0, max_tokens=8)

#: Method, arguments, keywords and what comes back: a value, or a test of it.
RESULTS: list[tuple[str, list[Any], dict[str, Any], Any]] = [
    ("abort", ["unknown"], {}, None),
    ("abort", [["unknown", "too"]], {"internal": True}, None),
    ("check_admission", [], {}, None),
    ("check_admission", [4, "r"], {}, None),
    ("check_health", [], {}, None),
    ("checkpoint_prepare", [], {}, None),
    ("checkpoint_restore", [], {}, None),
    (
        "collective_rpc",
        ["get_supported_tasks"],
        {"timeout": 60.0, "args": (), "kwargs": {}},
        [["generate"]],
    ),
    (
        "compute_weight_checksums",
        [],
        {},
        lambda sums: (
            len(sums) == 1
            and all(name.startswith("dp0:pp0:pcp0:tp0:") for name in sums[0])
            and {len(value) for value in sums[0].values()} == {64}
        ),
    ),
    (
        "dead_error",
        [],
        {},
        lambda error: error.type == "vllm.v1.engine.exceptions.EngineDeadError",
    ),
    ("do_log_stats", [], {}, None),
    ("errored", [], {}, False),
    ("get_kv_event_sources", [], {}, {}),
    ("get_num_queued_tokens", [], {}, 0),
    ("get_num_unfinished_requests", [], {}, 0),
    ("get_status", [], {}, {"schema_version": 1, "total_engines": 1, "engines": []}),
    ("get_supported_tasks", [], {}, ("generate",)),
    ("get_tokenizer", [], {}, lambda it: isinstance(it, Ref)),
    ("get_weight_version", [], {}, "default"),
    ("is_paused", [], {}, False),
    ("is_running", [], {}, True),
    ("is_sleeping", [], {}, False),
    ("is_stopped", [], {}, False),
    ("is_tracing_enabled", [], {}, False),
    ("list_loras", [], {}, set()),
    ("notify_kv_transfer_request_rejected", ["r", {"a": 1}], {"data_parallel_rank": 0}, None),
    ("pause_generation", [], {}, None),
    ("is_paused", [], {}, True),
    ("is_sleeping", [], {}, True),
    ("resume_generation", [], {}, None),
    ("remove_lora", [99], {}, False),
    ("reset_encoder_cache", [], {}, None),
    ("reset_mm_cache", [], {}, None),
    ("reset_prefix_cache", [], {}, True),
    ("reset_prefix_cache", [True, False], {}, True),
    ("scale_elastic_ep", [1], {}, None),
    ("shutdown_weight_transfer_engine", [], {}, None),
    ("sleep", [1], {"mode": "abort"}, None),
    ("wake_up", [["weights"]], {}, False),
    ("is_sleeping", [], {}, True),
    ("wake_up", [], {"tags": ["kv_cache"]}, True),
    ("is_sleeping", [], {}, False),
    ("sleep", [0], {}, None),
    ("wake_up", [], {}, True),
    ("tokenizer", [], {}, lambda it: isinstance(it, Ref)),
    ("update_weight_version", ["step-42"], {}, None),
    ("get_weight_version", [], {}, "step-42"),
    ("update_weight_version", ["default"], {}, None),
    ("vllm_config", [], {}, lambda it: it.type == "VllmConfig"),
    ("wait_for_requests_to_drain", [1], {}, None),
    ("_run_output_handler", [], {}, None),
]

NO_TRANSFER = "weight_transfer_config"

#: Method, arguments, kind and a part of the message.
ERRORS: list[tuple[str, list[Any], str, str]] = [
    ("handle_fault", [{"instruction": "pause", "params": {}}], "UNSUPPORTED", "fault tolerance"),
    ("_add_request", [], "UNSUPPORTED", "use add_request"),
    ("_drain_requests_for_elastic_ep", [1], "NOT_FOUND", "not a public method"),
    ("pin_lora", [99], "*", "99"),
    ("scale_elastic_ep", [2], "UNSUPPORTED", "data parallelism"),
    ("release_kv_cache_memory", [], "ENGINE_ERROR", "requires a completed pause first"),
    ("start_profile", [], "ENGINE_ERROR", "Profiling is not enabled"),
    ("stop_profile", [], "ENGINE_ERROR", "Profiling is not enabled"),
    ("init_weight_transfer_engine", [{"init_info": {}}], "ENGINE_ERROR", NO_TRANSFER),
    ("start_weight_update", [], "ENGINE_ERROR", NO_TRANSFER),
    ("start_draft_weight_update", [], "ENGINE_ERROR", NO_TRANSFER),
    ("update_weights", [{"update_info": {}}], "ENGINE_ERROR", NO_TRANSFER),
    ("finish_weight_update", [], "ENGINE_ERROR", NO_TRANSFER),
    ("collective_rpc", ["start_weight_update"], "INVALID", "AsyncLLM.start_weight_update"),
    ("collective_rpc", ["update_max_model_len"], "INVALID", "not among the methods"),
    ("pause_generation", [], "INVALID", "not both"),
    ("update_weight_version", [5], "INVALID", "new_version"),
    ("wait_for_requests_to_drain", ["1"], "INVALID", "drain_timeout"),
]

KEYWORDS_OF_ERRORS: dict[str, dict[str, Any]] = {
    "pause_generation": {"mode": "keep", "wait_for_inflight_requests": True},
}

#: Members that tests of their own call, by the file that does.
ELSEWHERE = {
    # As `new`.
    "__init__": "test_constructors.py",
    "from_engine_args": "conftest.py",
    "from_vllm_config": "test_constructors.py",
    "shutdown": "test_constructors.py",
    "generate": "test_generation.py",
    "encode": "test_renamed_parameters.py",
    "add_request": "test_collector.py",
    "add_lora": "test_signatures.py",
}


@pytest.fixture(autouse=True)
async def engine_answers(vllm_client: Client, vllm_engine: Ref, model: ScriptedModel) -> Any:
    """After each test a good request must be answered."""
    yield
    last = await vllm_client.generate(vllm_engine, "Hello", GREEDY, timeout_ms=60_000)
    assert last.outputs[0].text == model.expected_text("Hello", 8)
    assert await vllm_client.call(vllm_engine, "get_num_unfinished_requests") == 0


async def test_what_methods_return(vllm_client: Client, vllm_engine: Ref) -> None:
    """In this order: some leave a state for the next."""
    for method, args, kwargs, expected in RESULTS:
        value = await vllm_client.call(vllm_engine, method, *args, timeout_ms=60_000, **kwargs)
        if isinstance(expected, Callable):  # type: ignore[arg-type]
            assert expected(value), (method, value)
        else:
            assert (type(value), value) == (type(expected), expected), (method, args)


@pytest.mark.parametrize(
    ("method", "args", "kind", "part"), ERRORS, ids=[f"{e[0]}-{e[2]}" for e in ERRORS]
)
async def test_which_error_methods_give(
    method: str, args: list[Any], kind: str, part: str, vllm_client: Client, vllm_engine: Ref
) -> None:
    kwargs = KEYWORDS_OF_ERRORS.get(method, {})
    with pytest.raises(Failed) as caught:
        await vllm_client.call(vllm_engine, method, *args, timeout_ms=60_000, **kwargs)
    assert kind in ("*", caught.value.kind), caught.value
    assert part in caught.value.failure.message, caught.value


def test_every_member_of_the_installed_class_is_called() -> None:
    live = {name for name in dir(import_async_llm()) if not name.startswith("_")}
    called = {method for method, *_ in (*RESULTS, *ERRORS)} | ELSEWHERE.keys()
    assert live - called == set()


def test_the_files_that_are_named_for_other_members_exist() -> None:
    folder = Path(__file__).parent
    assert [name for name in ELSEWHERE.values() if not (folder / name).exists()] == []


def test_nothing_is_called_that_is_not_there() -> None:
    live = set(dir(import_async_llm())) | {"vllm_config"}
    called = {method for method, *_ in (*RESULTS, *ERRORS)} | ELSEWHERE.keys()
    assert called - live == set()
