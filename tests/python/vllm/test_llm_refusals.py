"""What an ``LLM`` is asked wrongly is refused, and neither hangs nor kills it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed
from tests.python.support.llms import GREEDY, check_odd_arguments
from tests.python.support.values import Ref

INF = math.inf
LEFT = "no token is left to choose"

BEAM = {"beam_width": 1, "max_tokens": 1}

#: What each method is called with, where nothing is odd.
SOUND: dict[str, dict[str, Any]] = {
    "generate": {"prompts": "a", "sampling_params": {"max_tokens": 1}},
    "chat": {"messages": [{"role": "user", "content": "a"}], "sampling_params": {"max_tokens": 1}},
    "enqueue": {"prompts": ["a"], "sampling_params": {"max_tokens": 1}},
    "beam_search": {"prompts": ["a"], "params": {"beam_width": 1, "max_tokens": 1}},
    "wait_for_completion": {},
    "sleep": {"level": 0},
    "wake_up": {},
    "collective_rpc": {"method": "check_health"},
    "start_profile": {},
    "reset_prefix_cache": {},
    "finish_weight_update": {},
    "update_weight_version": {"new_version": "default"},
    "get_world_size": {},
}


@pytest.mark.parametrize(
    ("method", "args", "kind", "said"),
    [
        ("start_profile", [], "ENGINE_ERROR", "Profiling is not enabled"),
        ("release_kv_cache_memory", [], "ENGINE_ERROR", "requires a completed pause"),
        ("embed", ["a"], "INVALID", "runner pooling"),
        ("score", ["a", "b"], "INVALID", "runner pooling"),
        ("encode", ["a"], "INVALID", "runner pooling"),
        ("init_weight_transfer_engine", [{}], "INVALID", "init_info"),
        ("apply_model", ["os:nothing"], "INVALID", "func"),
        ("generate", [[[999999]]], "INVALID", "out of vocabulary"),
        ("generate", [[""]], "INVALID", "empty"),
        ("generate", ["a", {"max_tokens": 1.5}], "INVALID", "max_tokens"),
        ("generate", ["a", {"n": 2, "temperature": 0.0}], "INVALID", "n must be 1"),
        ("generate", ["a", {"logprobs": 500}], "INVALID", "logprobs"),
        ("generate", ["a", {"extra_args": {"a": 2**70}}], "INVALID", "64"),
        ("generate", ["a", {"structured_outputs": {"regex": "("}}], "INVALID", ""),
        ("generate", ["a", {"allowed_token_ids": [5], "logit_bias": {5: -INF}}], "INVALID", LEFT),
        ("chat", [[{"content": "a"}]], "INVALID", "messages[0]: needs a 'role'"),
        ("chat", [[[{"role": "user", "content": "a"}, 5]]], "INVALID", "messages[0]: wants"),
        ("enqueue_chat", ["Hello"], "INVALID", "messages"),
        ("beam_search", [["a"], {**BEAM, "length_penalty": -500.0}], "INVALID", "length_penalty"),
        ("beam_search", [["a"], {"beam_width": 50, "max_tokens": 2}], "INVALID", "logprobs"),
    ],
)
async def test_a_wrong_call_is_refused(
    llm_client: Client, llm: Ref, method: str, args: list[Any], kind: str, said: str
) -> None:
    with pytest.raises(Failed) as failed:
        await llm_client.call(llm, method, *args)
    assert (failed.value.kind, said in str(failed.value)) == (kind, True), failed.value


def test_every_public_member_of_vllms_is_served() -> None:
    """Each is a member of the generated Elixir module too: the manifest has them all."""
    from vllm import LLM

    from python_worker.dispatch.members import _shows
    from python_worker.engines.builder import Builder
    from python_worker.gen import manifest
    from python_worker.offline.builder import LLMBuilder
    from python_worker.surface import llm as row

    served = row(LLMBuilder(Builder()))
    public = {name for name in dir(LLM) if name[0] != "_"} - {"from_engine_args"}
    assert all(_shows(LLM, name, served) for name in public)
    assert public <= {it["name"] for it in manifest.load()["llm"]["members"]}


@pytest.mark.parametrize("method", SOUND)
async def test_no_odd_argument_hangs_or_kills_it(llm_client: Client, llm: Ref, method: str) -> None:
    await check_odd_arguments(llm_client, llm, method, SOUND[method])
    await llm_client.call(llm, "update_weight_version", "default")


# --- What the guards of AsyncLLM refuse off its loop, and here in the thread of the call


async def test_a_batch_ends_where_one_of_it_has_no_token_left(
    llm_client: Client, llm: Ref, model: ScriptedModel
) -> None:
    (a,) = model.encode("a")
    nothing_left = {**GREEDY, "allowed_token_ids": [a], "bad_words": ["aa"]}
    with pytest.raises(Failed, match="no token was left to choose") as failed:
        await llm_client.call(llm, "generate", ["Hello", "a"], [GREEDY, nothing_left])
    assert failed.value.kind == "INVALID"


async def test_a_structure_of_another_back_end_is_refused_by_its_keyword(
    llm_client: Client, llm: Ref
) -> None:
    first = {**GREEDY, "structured_outputs": {"choice": ["yes", "no"]}}
    assert len(await llm_client.call(llm, "generate", "a", first)) == 1
    schema = {"type": "integer", "multipleOf": 3}
    other = {**GREEDY, "structured_outputs": {"json": json.dumps(schema)}}
    with pytest.raises(Failed, match="does not take multipleOf at the root") as failed:
        await llm_client.call(llm, "generate", "a", other)
    assert failed.value.kind == "INVALID"


async def test_a_prompt_that_ends_inside_a_character_is_not_in_the_output(
    llm_client: Client, llm: Ref, model: ScriptedModel
) -> None:
    ids = model.encode("the secret \U0001f44b")[:-1]
    (output,) = await llm_client.call(llm, "generate", [ids], GREEDY)
    assert output.outputs[0].token_ids
    assert "secret" not in output.outputs[0].text


async def test_a_long_text_that_is_to_be_truncated_is_refused(llm_client: Client, llm: Ref) -> None:
    text = "a" * (2**20 + 1)
    cut = {"truncation": True}
    for method, given in (("generate", [text]), ("chat", [{"role": "user", "content": text}])):
        with pytest.raises(Failed, match="that is to be truncated") as failed:
            await llm_client.call(llm, method, given, GREEDY, tokenization_kwargs=cut)
        assert failed.value.kind == "INVALID"
