"""Engines from configurations, and what their constructors refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref
from tests.python.support.worker import Worker, members_of, wait_group_gone
from tests.python.vllm.conftest import Equipped

GREEDY = sampling(temperature=0.0, max_tokens=64)


async def test_an_engine_made_by_new_says_what_others_say(
    vllm_client: Client, equipped: Equipped, vllm_engine: Ref, model: ScriptedModel
) -> None:
    assert equipped.config.type == "VllmConfig"
    assert equipped.engine.type == "AsyncLLM"
    for prompt in ("Hello", "count", "list"):
        texts = {
            (await vllm_client.generate(engine, prompt, GREEDY)).outputs[0].text
            for engine in (equipped.engine, vllm_engine)
        }
        assert texts == {model.expected_text(prompt, 64)}


async def test_what_new_ignores_is_logged(vllm_worker: Worker, equipped: Equipped) -> None:
    assert "new: use_cached_outputs is ignored" in vllm_worker.tail(10_000_000)


async def test_a_stat_logger_by_import_path_records(
    vllm_client: Client, equipped: Equipped, vllm_worker: Worker
) -> None:
    await vllm_client.generate(equipped.engine, "Hello", GREEDY)
    assert await vllm_client.call(equipped.engine, "do_log_stats") is None
    assert "stat logger by import path: some" in vllm_worker.tail(10_000_000)


async def test_from_vllm_config_and_shutdown(
    vllm_client: Client, vllm_worker: Worker, vllm_engine: Ref, model: ScriptedModel
) -> None:
    """From the configuration of a running engine, which has nothing to do with its copy."""
    config = await vllm_client.call(vllm_engine, "vllm_config")
    before = members_of(vllm_worker.pid)
    engine = await vllm_client.call(
        "AsyncLLM", "from_vllm_config", config, disable_log_stats=True, timeout_ms=250_000
    )
    assert len(members_of(vllm_worker.pid)) > len(before)
    # Before the first request, twice: it starts one task, and says nothing.
    for _ in range(2):
        assert await vllm_client.call(engine, "_run_output_handler") is None
    last = await vllm_client.generate(engine, "Hello", GREEDY)
    assert last.outputs[0].text == model.expected_text("Hello", 64)

    held = await vllm_client.call(
        engine, "add_request", "held", "count", sampling(temperature=0.0, max_tokens=1000)
    )
    assert await vllm_client.call(engine, "shutdown", timeout=5.0) is None
    assert await vllm_client.call(engine, "shutdown") is None
    # On a busy machine EngineCore may not come to say so within the timeout.
    assert await end_of(vllm_client, held) in ("abort", "It was shut down.")
    assert await asyncio.to_thread(wait_group_gone, vllm_worker.pid, but=before) == {}
    assert await vllm_client.call(engine, "errored") is True
    assert await vllm_client.call(engine, "is_running") is False
    assert await vllm_client.call(engine, "is_stopped") is True
    for method in ("check_health", "is_paused", "add_lora"):
        arguments = [{"lora_name": "a", "lora_int_id": 1, "lora_path": "/a"}]
        with pytest.raises(Failed) as caught:
            await vllm_client.call(
                engine, method, *(arguments if method == "add_lora" else []), timeout_ms=120_000
            )
        assert caught.value.kind in ("ENGINE_DEAD", "NOT_FOUND"), caught.value
    with pytest.raises(Failed, match="ENGINE_DEAD"):
        await vllm_client.items(engine, "generate", "Hello", GREEDY, "r")
    # Its model said nothing of the other's end.
    last = await vllm_client.generate(vllm_engine, "Hello", GREEDY)
    assert last.outputs[0].text == model.expected_text("Hello", 64)


async def end_of(client: Client, collector: Ref) -> str:
    """The finish reason of the last item, or the last words of the failure."""
    item = None
    try:
        while item is None or not item.finished:
            item = await client.call(collector, "get", timeout_ms=120_000)
    except Failed as failed:
        return failed.failure.message[-len("It was shut down.") :]
    assert await client.call(collector, "get") is None
    return str(item.outputs[0].finish_reason)


@pytest.mark.parametrize(
    ("arguments", "keywords", "word"),
    [
        (["auto"], {}, "vllm_config"),
        ([{"ref": True}, "auto"], {}, "log_stats"),
        ([{"ref": True}, "no_such_backend", True], {}, "module:Name"),
        ([{"ref": True}, "no_such_module:Executor", True], {}, "no_such_module"),
        ([{"ref": True}, "vllm.v1.executor:NoSuch", True], {}, "NoSuch"),
        ([{"ref": True}, "json:JSONDecoder", True], {}, "no subclass of vLLM's Executor"),
        ([{"ref": True}, 5, True], {}, "executor_class"),
        ([{"ref": True}, "auto", "yes"], {}, "log_stats"),
        ([{"ref": True}, "auto", True], {"stat_loggers": ["nonsense"]}, "stat_loggers[0]"),
        (
            [{"ref": True}, "auto", True],
            {"stat_loggers": ["tests.python.support.stat_logger:NOT_CALLABLE"]},
            "not callable",
        ),
        ([{"ref": True}, "auto", True], {"stat_loggers": "a:b"}, "stat_loggers"),
        ([{"ref": True}, "auto", True], {"usage_context": "NOWHERE"}, "usage_context"),
        ([{"ref": True}, "auto", True], {"no_such": 1}, "no_such"),
    ],
    ids=str,
)
async def test_what_new_refuses(
    arguments: list[Any],
    keywords: dict[str, Any],
    word: str,
    vllm_client: Client,
    equipped: Equipped,
) -> None:
    given = [equipped.config if it == {"ref": True} else it for it in arguments]
    with pytest.raises(Failed) as caught:
        await vllm_client.call("AsyncLLM", "new", *given, **keywords)
    assert caught.value.kind == "INVALID", caught.value
    assert word in caught.value.failure.message, caught.value


async def test_from_vllm_config_wants_a_configuration(vllm_client: Client) -> None:
    for wrong in ("config", 5, None):
        with pytest.raises(Failed) as caught:
            await vllm_client.call("AsyncLLM", "from_vllm_config", wrong)
        assert caught.value.kind == "INVALID"
        assert "vllm_config" in caught.value.failure.message


async def test_what_create_engine_config_refuses(
    vllm_client: Client, model: ScriptedModel, vllm_engine: Ref
) -> None:
    for arguments, kind in [
        ({"model": str(model.path), "no_such_field": 1}, "INVALID"),
        ({"model": str(model.path), "max_model_len": "many"}, "INVALID"),
        ({"model": str(model.path), "max_model_len": 10**9}, "INVALID"),
        ("model", "INVALID"),
    ]:
        with pytest.raises(Failed) as caught:
            await vllm_client.call("AsyncEngineArgs", "create_engine_config", arguments)
        assert caught.value.kind == kind, caught.value
    with pytest.raises(Failed, match="NOT_FOUND"):
        await vllm_client.call("AsyncEngineArgs", "from_cli_args", {})


async def test_a_configuration_is_read_through_its_reference(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    config = await vllm_client.call(vllm_engine, "vllm_config")
    again = await vllm_client.call(vllm_engine, "vllm_config")
    assert config.type == "VllmConfig"
    assert config.id != again.id  # each a copy
    model_config = await vllm_client.call(config, "model_config")
    assert await vllm_client.call(model_config, "model") == str(model.path)
    assert await vllm_client.call(model_config, "max_model_len") == 1024
    with pytest.raises(Failed, match="takes no arguments"):
        await vllm_client.call(vllm_engine, "vllm_config", 1)


@pytest.mark.parametrize(
    "name", ["engine_core", "output_processor", "model_config", "renderer", "logger_manager"]
)
async def test_other_fields_are_hidden_with_a_reason(
    name: str, vllm_client: Client, vllm_engine: Ref
) -> None:
    with pytest.raises(Failed) as caught:
        await vllm_client.call(vllm_engine, name)
    assert caught.value.kind == "NOT_FOUND"
    assert "leads into the engine" in caught.value.failure.message
