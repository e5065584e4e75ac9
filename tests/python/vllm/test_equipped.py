"""What an engine does that was given a weight transfer, a profiler, an extension and a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from python_worker.engines.guards.worker_methods import WORKER_METHODS
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref
from tests.python.vllm.conftest import ADMITTED, Equipped

GREEDY = sampling(temperature=0.0, max_tokens=8)
ENDLESS = sampling(temperature=0.0, max_tokens=1000)

RELOAD = ("collective_rpc", "reload_weights")


@pytest.fixture
async def engine(
    vllm_client: Client, equipped: Equipped, model: ScriptedModel
) -> AsyncIterator[Ref]:
    """The equipped engine, which must answer well after each test."""
    yield equipped.engine
    await answers(vllm_client, equipped.engine, model)


async def answers(client: Client, engine: Ref, model: ScriptedModel) -> None:
    last = await client.generate(engine, "Hello", GREEDY, timeout_ms=60_000)
    assert last.outputs[0].text == model.expected_text("Hello", 8)


async def reload(client: Client, engine: Ref, model: ScriptedModel) -> Any:
    # Without a path vLLM takes the last one, even one that led nowhere.
    return await client.call(engine, *RELOAD, kwargs={"weights_path": str(model.path)})


async def fails(client: Client, kind: str, engine: Ref, method: str, *args: Any) -> str:
    with pytest.raises(Failed) as caught:
        await client.call(engine, method, *args, timeout_ms=60_000)
    assert caught.value.kind == kind, caught.value
    return str(caught.value.failure.message)


# --- Weight updates ------------------------------------------------------------------------------


async def test_an_update_from_start_to_finish(vllm_client: Client, engine: Ref) -> None:
    """VLLM ends the engine at the first request between; here it is refused."""
    call = vllm_client.call
    assert await call(engine, "init_weight_transfer_engine", {"init_info": {}}) is None
    assert await call(engine, "start_weight_update") is None
    with pytest.raises(Failed, match=r"CONFLICT.*finish_weight_update"):
        await vllm_client.generate(engine, "Hello", GREEDY)
    refused: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("add_request", ["r", "Hello", GREEDY], {}),
        ("resume_generation", [], {}),
        ("wake_up", [], {}),
        ("start_weight_update", [], {}),
        ("start_draft_weight_update", [], {}),
        ("collective_rpc", ["execute_dummy_batch"], {}),
        ("pause_generation", [], {"mode": "wait"}),
        ("sleep", [1, "wait"], {}),
    ]
    for method, args, kwargs in refused:
        with pytest.raises(Failed, match=r"CONFLICT.*finish_weight_update"):
            await call(engine, method, *args, **kwargs)
    for method in ("check_health", "is_paused", "get_weight_version", "get_supported_tasks"):
        await call(engine, method)
    message = await fails(vllm_client, "ENGINE_ERROR", engine, "shutdown_weight_transfer_engine")
    assert "during a weight update" in message
    assert await call(engine, "finish_weight_update", "step-42") is None
    assert await call(engine, "get_weight_version") == "step-42"
    assert await call(engine, "update_weight_version", "default") is None
    assert await call(engine, "shutdown_weight_transfer_engine") is None


async def test_no_update_starts_under_running_requests(vllm_client: Client, engine: Ref) -> None:
    call = vllm_client.call
    collector = await call(engine, "add_request", "r", "count", ENDLESS)
    message = await fails(vllm_client, "CONFLICT", engine, "start_weight_update")
    assert "pause_generation" in message
    message = await fails(vllm_client, "CONFLICT", engine, *RELOAD)
    assert "pause_generation" in message
    await call(engine, "pause_generation", mode="keep")
    assert await call(engine, "start_weight_update") is None
    await fails(vllm_client, "CONFLICT", engine, "resume_generation")
    assert await call(engine, "finish_weight_update") is None
    await call(engine, "resume_generation")
    item = await call(collector, "get")
    while not item.finished:
        item = await call(collector, "get")
    assert len(item.outputs[0].token_ids) == 1000


async def test_a_failed_start_opens_nothing(
    vllm_client: Client, engine: Ref, model: ScriptedModel
) -> None:
    message = await fails(vllm_client, "ENGINE_ERROR", engine, "start_draft_weight_update")
    assert "no draft model" in message
    await answers(vllm_client, engine, model)
    message = await fails(vllm_client, "ENGINE_ERROR", engine, "finish_weight_update")
    assert "without a matching" in message
    message = await fails(
        vllm_client, "ENGINE_ERROR", engine, "update_weights", {"update_info": {}}
    )
    assert "must be called before update_weights" in message


@pytest.mark.parametrize("way_out", ["update", "reload"])
async def test_a_failed_update_leaves_two_ways_out(
    way_out: str, vllm_client: Client, engine: Ref, model: ScriptedModel
) -> None:
    call = vllm_client.call
    await call(engine, "start_weight_update")
    await fails(vllm_client, "ENGINE_ERROR", engine, "update_weights", {"update_info": {}})
    with pytest.raises(Failed, match=r"CONFLICT.*reload_weights"):
        await vllm_client.generate(engine, "Hello", GREEDY)
    await fails(vllm_client, "ENGINE_ERROR", engine, "finish_weight_update")
    if way_out == "update":
        await call(engine, "start_weight_update")
        await call(engine, "finish_weight_update")
    else:
        assert await reload(vllm_client, engine, model) == [None]


@pytest.mark.parametrize(
    "kwargs",
    [{"weights_path": "/no/such"}, {"weights_iterator": [["a", 5]]}, {"weights_iterator": "x"}],
    ids=str,
)
async def test_a_failed_reload_leaves_a_way_out(
    kwargs: dict[str, Any], vllm_client: Client, engine: Ref, model: ScriptedModel
) -> None:
    """VLLM would end at the next request: the weights are gone."""
    with pytest.raises(Failed):
        await vllm_client.call(engine, *RELOAD, kwargs=kwargs)
    with pytest.raises(Failed, match=r"CONFLICT.*reload_weights"):
        await vllm_client.generate(engine, "Hello", GREEDY)
    assert await reload(vllm_client, engine, model) == [None]


async def test_reset_weights_wants_others(
    vllm_client: Client, engine: Ref, model: ScriptedModel
) -> None:
    assert await vllm_client.call(engine, "collective_rpc", "reset_weights") == [None]
    with pytest.raises(Failed, match=r"CONFLICT.*reload_weights"):
        await vllm_client.generate(engine, "Hello", GREEDY)
    assert await reload(vllm_client, engine, model) == [None]


async def test_a_caller_that_leaves_a_start_leaves_it_open(
    vllm_client: Client, engine: Ref
) -> None:
    """EngineCore carries it out all the same."""
    async with vllm_client.session() as session:
        starting = await session.start(engine, "start_weight_update")
        await starting.cancel()
        try:
            await starting.value()
        except Failed as failed:
            assert failed.kind == "CANCELLED"  # noqa: PT017
    try:
        await vllm_client.call(engine, "finish_weight_update")
    except Failed as failed:
        # It had not begun when it was cancelled: then nothing was opened.
        assert "without a matching" in failed.failure.message  # noqa: PT017


# --- Methods of the workers ----------------------------------------------------------------------

CHANGES_WEIGHTS = {"reload_weights", "reset_weights"}


@pytest.mark.parametrize("method", sorted(WORKER_METHODS - CHANGES_WEIGHTS))
async def test_no_worker_method_harms(method: str, vllm_client: Client, engine: Ref) -> None:
    """With and without sense in the arguments: an answer, and the engine lives."""
    for args, kwargs in [([], {}), (["x"], {}), ([None], {}), ([5, {}], {}), ([], {"bogus": 1})]:
        try:
            value = await vllm_client.call(
                engine, "collective_rpc", method, None, args, kwargs, timeout_ms=60_000
            )
        except Failed as failed:
            assert failed.kind in ("ENGINE_ERROR", "INVALID", "NOT_FOUND"), failed  # noqa: PT017
        else:
            assert len(value) == 1


async def test_a_worker_extension(vllm_client: Client, engine: Ref, model: ScriptedModel) -> None:
    async def rpc(method: str, *args: object, **kwargs: object) -> Any:
        return await vllm_client.call(
            engine, "collective_rpc", method, args=list(args), kwargs=kwargs
        )

    assert await rpc("echo", 1, "two", [3.0], a=None) == [[[1, "two", [3.0]], {"a": None}]]
    assert await rpc("nothing") == [None]
    assert await rpc("model_name") == [str(model.path)]
    with pytest.raises(Failed, match=r"ENGINE_ERROR.*on purpose"):
        await rpc("fail", "on purpose")
    with pytest.raises(Failed, match=r"ENGINE_ERROR.*cannot be sent"):
        await rpc("unsendable")
    with pytest.raises(Failed, match=r"INVALID.*not among.*echo"):
        await rpc("_private")


async def test_an_expired_timeout_is_ours(vllm_client: Client, engine: Ref) -> None:
    with pytest.raises(Failed, match="TIMEOUT"):
        await vllm_client.call(engine, "collective_rpc", "echo", timeout=1e-6, args=[1])
    assert await vllm_client.call(engine, "collective_rpc", "nothing", timeout=60.0) == [None]


# --- Admission -----------------------------------------------------------------------------------


async def test_admission(vllm_client: Client, engine: Ref) -> None:
    call = vllm_client.call
    await call(engine, "pause_generation", mode="keep")
    held = [
        await call(engine, "add_request", f"r{number}", "count", GREEDY)
        for number in range(ADMITTED - 1)
    ]
    assert await call(engine, "check_admission") is None
    assert await call(engine, "get_num_unfinished_requests") == ADMITTED - 1
    # All of n or nothing.
    with pytest.raises(Failed) as caught:
        await call(engine, "add_request", "r", "count", sampling(n=2, temperature=1.0))
    assert (caught.value.kind, caught.value.failure.retryable) == ("OVERLOADED", True)
    assert await call(engine, "get_num_unfinished_requests") == ADMITTED - 1
    held.append(await call(engine, "add_request", "last", "count", GREEDY))
    for method, args in [
        ("check_admission", []),
        ("add_request", ["r", "count", GREEDY]),
    ]:
        with pytest.raises(Failed) as caught:
            await call(engine, method, *args)
        assert (caught.value.kind, caught.value.failure.retryable) == ("OVERLOADED", True)
    with pytest.raises(Failed) as caught:
        await vllm_client.generate(engine, "count", GREEDY)
    assert (caught.value.kind, caught.value.failure.retryable) == ("OVERLOADED", True)
    assert await call(engine, "get_num_unfinished_requests") == ADMITTED
    await call(engine, "resume_generation")
    for collector in held:
        while not (await call(collector, "get")).finished:
            pass


# --- Profiles ------------------------------------------------------------------------------------


async def test_profiles_start_and_stop_beside_other_blocking_calls(
    vllm_client: Client, engine: Ref, model: ScriptedModel
) -> None:
    # Torch ends a process that stops a profile in another thread. Calls that block take threads,
    # and leave several that are free.
    call = vllm_client.call
    for _ in range(3):
        await asyncio.gather(*(call(engine, "get_tokenizer") for _ in range(8)))
        assert await call(engine, "start_profile") is None
        await asyncio.gather(*(call(engine, "get_tokenizer") for _ in range(8)))
        assert await call(engine, "stop_profile") is None
    await answers(vllm_client, engine, model)


async def test_a_profile_is_written_once(
    vllm_client: Client, engine: Ref, equipped: Equipped, model: ScriptedModel
) -> None:
    call = vllm_client.call
    with pytest.raises(Failed, match="INVALID"):
        await call(engine, "start_profile", "../out")
    assert await call(engine, "start_profile", "mine") is None
    message = await fails(vllm_client, "CONFLICT", engine, "start_profile", "other")
    assert "already active" in message
    await answers(vllm_client, engine, model)
    assert await call(engine, "stop_profile") is None
    written = [path.name for path in equipped.traces.iterdir()]
    assert any(name.startswith("mine") and name.endswith(".gz") for name in written), written
    assert not any(name.startswith("other") for name in written)
    assert await call(engine, "stop_profile") is None
