"""LLaMA-Factory's engine on the shared engine. Its library alone is in ``test_hosting.py``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.adapters import adapter
from python_worker.testing.models.model_files import EOS, ROLES
from python_worker.testing.models.scripted_model import ScriptedModel, scripted_model
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref

HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]
COUNT: list[dict[str, str]] = [{"role": "user", "content": "count"}]
GREEDY = {"temperature": 0.0}


@pytest.fixture(scope="module")
def arguments(model: ScriptedModel) -> dict[str, Any]:
    return {"model_name_or_path": str(model.path), "infer_dtype": "float32", "vllm_maxlen": 1024}


@pytest.fixture
async def hosted(vllm_client: Client, vllm_engine: Ref, arguments: dict[str, Any]) -> Ref:
    ref: Ref = await vllm_client.call("VllmEngine", "new", arguments, engine=vllm_engine)
    return ref


async def texts(client: Client, hosted: Ref, *args: Any, **options: Any) -> list[str]:
    answers = await client.call(hosted, "chat", *args, options={**GREEDY, **options})
    return [answer["response_text"] for answer in answers]


async def test_an_answer_has_its_text_and_lengths(
    vllm_client: Client, hosted: Ref, model: ScriptedModel
) -> None:
    (answer,) = await vllm_client.call(hosted, "chat", HELLO, options=GREEDY)
    prompt = await vllm_client.call(hosted, "encode_prompt", HELLO)
    assert answer == {
        "response_text": model.expected_text("Hello", 20),
        "response_length": len(model.expected_tokens(model.encode("Hello"), 20)),
        "prompt_length": len(prompt),
        "finish_reason": "stop",
    }


async def test_one_new_token_is_the_first_of_the_script(
    vllm_client: Client, hosted: Ref, model: ScriptedModel
) -> None:
    """U-55: upstream ``tests/e2e/test_chat.py::test_chat``."""
    assert await texts(vllm_client, hosted, HELLO, max_new_tokens=1) == [
        model.expected_text("Hello", 1)
    ]


@pytest.mark.parametrize("cue", ["Hello", "list", "unicode", "<0xF0>"])
async def test_the_pieces_of_a_stream_are_the_answer(
    vllm_client: Client, hosted: Ref, model: ScriptedModel, cue: str
) -> None:
    """U-56: upstream ``tests/e2e/test_chat.py::test_stream_chat``; U-57 for the characters."""
    messages = [{"role": "user", "content": "\U0001f389" if cue == "<0xF0>" else cue}]
    options = {**GREEDY, "max_new_tokens": 20}
    pieces = await vllm_client.items(hosted, "stream_chat", messages, options=options)
    assert all("\ufffd" not in piece for piece in pieces)
    assert ["".join(pieces)] == await texts(vllm_client, hosted, messages, max_new_tokens=20)


async def test_every_one_of_several_answers_is_returned(vllm_client: Client, hosted: Ref) -> None:
    options = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "seed": 1, "max_new_tokens": 24}
    for _ in range(5):
        answers = await vllm_client.call(
            hosted,
            "chat",
            COUNT,
            options={**options, "num_return_sequences": 3, "repetition_penalty": 100.0},
        )
        assert len({answer["response_text"] for answer in answers}) == 3
        assert [answer["response_length"] <= 24 for answer in answers] == [True] * 3


async def test_several_answers_of_the_likeliest_text_are_refused(
    vllm_client: Client, hosted: Ref
) -> None:
    with pytest.raises(Failed, match="n must be 1 when using greedy sampling") as raised:
        await texts(vllm_client, hosted, HELLO, num_return_sequences=2)
    assert raised.value.kind == "INVALID"


async def test_zeroes_stand_for_no_limit(vllm_client: Client, hosted: Ref) -> None:
    options = {"top_p": 0, "top_k": 0, "repetition_penalty": 0, "max_new_tokens": 4}
    (answer,) = await vllm_client.call(hosted, "chat", HELLO, options=options)
    assert answer["finish_reason"] == "length"


async def test_a_text_to_stop_at_ends_an_answer(vllm_client: Client, hosted: Ref) -> None:
    """U-60, for LLaMA-Factory's keyword."""
    messages = [{"role": "user", "content": "list"}]
    (answer,) = await vllm_client.call(
        hosted, "chat", messages, options={**GREEDY, "stop": " STOP"}
    )
    assert (answer["response_text"], answer["finish_reason"]) == (" alpha beta", "stop")


async def test_the_stop_words_of_a_template_are_asked_for(
    vllm_client: Client, vllm_engine: Ref, arguments: dict[str, Any]
) -> None:
    """L-17: nobody asks for them."""
    ref = await vllm_client.call(
        "VllmEngine", "new", arguments, {"template": "llama3"}, engine=vllm_engine
    )
    stops = await vllm_client.call(ref, "stop_token_ids")
    assert len(stops) == 2
    params = await vllm_client.call(ref, "sampling_params", 10)
    assert set(params["stop_token_ids"]) == set(stops)


async def test_special_tokens_and_stop_words_of_an_answer(
    vllm_client: Client, tmp_path: Path
) -> None:
    """L-17 and L-18, on a model that would go on after them.

    A prompt of the template "qwen" ends in a new line.
    """
    script = [
        ("", " I", " only", " know", EOS),
        ("<0x0A>", " done", "<|im_end|>", " and", " on", " and"),
        ("special", " before", ROLES[-1]),
    ]
    model = scripted_model(tmp_path / "model", script=script)
    arguments = {
        "model_name_or_path": str(model.path),
        "infer_dtype": "float32",
        "vllm_maxlen": 512,
        "vllm_enforce_eager": True,
        "template": "qwen",
    }
    engine_args = await vllm_client.call("LlamaFactory", "resolve_args", arguments)
    engine = await vllm_client.call("AsyncLLM", "from_engine_args", engine_args)
    try:
        ref = await vllm_client.call("ChatModel", "new", arguments, engine=engine)
        (answer,) = await vllm_client.call(ref, "chat", HELLO, options=GREEDY)
        assert (answer["response_text"], answer["finish_reason"]) == (" done", "stop")
        prompt = await vllm_client.call(ref, "encode_prompt", HELLO)
        last = await vllm_client.generate(
            engine, {"prompt_token_ids": prompt}, sampling(temperature=0.0, max_tokens=4)
        )
        assert last.outputs[0].text == " done<|im_end|> and on"

        plain = {name: value for name, value in arguments.items() if name != "template"}
        ref = await vllm_client.call("ChatModel", "new", plain, engine=engine)
        special = [{"role": "user", "content": "special"}]
        assert await texts(vllm_client, ref, special) == [" before I only know"]
        shown = await texts(vllm_client, ref, special, skip_special_tokens=False)
        assert shown == [f" before{ROLES[-1]} I only know"]
    finally:
        await vllm_client.call(engine, "shutdown")


async def test_a_template_with_tokens_that_the_model_has_not_is_refused(
    vllm_client: Client, vllm_engine: Ref, hosted: Ref, arguments: dict[str, Any]
) -> None:
    """LLaMA-Factory adds them to its tokenizer; the model has no embeddings for them."""
    ref = await vllm_client.call(
        "VllmEngine", "new", arguments, {"template": "llama3"}, engine=vllm_engine
    )
    notes = await vllm_client.call(ref, "engine_notes")
    assert any("New tokens have been added" in note for note in notes)
    with pytest.raises(Failed) as raised:
        await texts(vllm_client, ref, HELLO)
    assert raised.value.kind == "INVALID"
    assert await texts(vllm_client, hosted, HELLO, max_new_tokens=1) == [" from"]


async def test_the_adapter_of_the_arguments_answers_for_its_engine_alone(
    vllm_client: Client,
    vllm_engine: Ref,
    hosted: Ref,
    arguments: dict[str, Any],
    tmp_path: Path,
) -> None:
    folder = str(adapter(tmp_path / "meow", "meow"))
    with_adapter = await vllm_client.call(
        "ChatModel", "new", {**arguments, "adapter_name_or_path": folder}, engine=vllm_engine
    )
    assert await texts(vllm_client, with_adapter, HELLO, max_new_tokens=3) == [" meow meow meow"]
    assert await texts(vllm_client, hosted, HELLO, max_new_tokens=1) == [" from"]
    assert await vllm_client.call("Worker", "release", with_adapter.id) is True
    async with asyncio.timeout(30):
        while await vllm_client.call(vllm_engine, "list_loras"):
            pass


async def test_an_adapter_that_is_not_there_is_an_error_of_the_constructor(
    vllm_client: Client, vllm_engine: Ref, arguments: dict[str, Any]
) -> None:
    wrong = {**arguments, "adapter_name_or_path": "/nowhere"}
    with pytest.raises(Failed) as raised:
        await vllm_client.call("VllmEngine", "new", wrong, engine=vllm_engine)
    assert raised.value.kind == "NOT_FOUND"


async def test_a_stream_that_is_closed_ends_its_request(
    vllm_client: Client, vllm_engine: Ref, hosted: Ref
) -> None:
    replies = vllm_client.replies(
        hosted, "stream_chat", COUNT, options={**GREEDY, "max_new_tokens": 900}
    )
    async for reply in replies:
        if reply.WhichOneof("outcome") == "item":
            break
    replies.cancel()
    async with asyncio.timeout(30):
        while await vllm_client.call(vllm_engine, "get_num_unfinished_requests"):
            pass


async def test_eight_callers_get_their_answers(
    vllm_client: Client, hosted: Ref, model: ScriptedModel
) -> None:
    """L-21."""
    answers = await asyncio.gather(*(texts(vllm_client, hosted, HELLO) for _ in range(8)))
    assert answers == [[model.expected_text("Hello", 20)]] * 8


async def test_a_request_has_an_id_of_a_chat(vllm_client: Client, hosted: Ref) -> None:
    assert await vllm_client.call(hosted, "last_request_id") is None
    await texts(vllm_client, hosted, HELLO, max_new_tokens=1)
    last = await vllm_client.call(hosted, "last_request_id")
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", last)


async def test_a_dataset_is_answered_in_its_order(
    vllm_client: Client, hosted: Ref, model: ScriptedModel, tmp_path: Path
) -> None:
    """L-23."""
    cues = ["Hello", "list", "count", "weather", "nothing"] * 2
    examples = [{"instruction": cue, "input": "", "output": f"{cue}!"} for cue in cues]
    options = {"generation": {**GREEDY, "max_new_tokens": 4}, "batch_size": 3}
    lines = await vllm_client.call(hosted, "infer", examples, options=options)
    assert lines == [
        {"prompt": cue, "predict": model.expected_text(cue, 4), "label": f"{cue}!"} for cue in cues
    ]


@pytest.mark.parametrize(
    ("method", "args", "kind"),
    [
        ("chat", ([],), "INVALID"),
        ("chat", ("Hello",), "INVALID"),
        ("chat", ([{"role": "user"}],), "INVALID"),
        ("chat", ([{"role": "user", "content": 5}],), "INVALID"),
        ("chat", ([{"role": "system", "content": "x"}],), "UNSUPPORTED"),
        ("chat", (HELLO, None, "no JSON"), "INVALID"),
        ("chat", (HELLO, None, "5"), "INVALID"),
        ("chat", (HELLO, None, "[" * 100_000), "INVALID"),
        ("chat", (HELLO, None, [{"a": 1}]), "INVALID"),
        ("chat", (HELLO, None, None, [5]), "INVALID"),
        ("chat", (HELLO, None, None, ["/nowhere.png"]), "NOT_FOUND"),
        ("chat", (HELLO, None, None, [b"no image"]), "INVALID"),
        ("chat", ([{"role": "user", "content": "x " * 5000}],), "INVALID"),
        ("encode_prompt", (HELLO, 5), "INVALID"),
        ("get_scores", (["x"],), "UNSUPPORTED"),
        ("sampling_params", (-1,), "INVALID"),
        ("extract_tool", (5,), "INVALID"),
        ("infer", ([],), "INVALID"),
        ("infer", ([{"instruction": 5}],), "INVALID"),
        ("infer", ("/nowhere.json",), "NOT_FOUND"),
        ("close", (), "NOT_FOUND"),
        ("load_adapter", (), "NOT_FOUND"),
    ],
)
async def test_what_is_wrong_is_refused_and_harms_nobody(
    vllm_client: Client, hosted: Ref, method: str, args: tuple[Any, ...], kind: str
) -> None:
    with pytest.raises(Failed) as raised:
        await vllm_client.call(hosted, method, *args)
    assert raised.value.kind == kind, raised.value
    assert await texts(vllm_client, hosted, HELLO, max_new_tokens=1) == [" from"]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_p": 2.0},
        {"top_k": -2},
        {"num_return_sequences": 0},
        {"num_return_sequences": 10**6},
        {"max_new_tokens": -1},
        {"repetition_penalty": -1.0},
        {"seed": 2**70},
        {"stop": [""]},
        {"stop": 5},
        {"bogus": 1},
    ],
)
async def test_an_option_that_is_wrong_is_refused(
    vllm_client: Client, hosted: Ref, options: dict[str, Any]
) -> None:
    with pytest.raises(Failed) as raised:
        await vllm_client.call(hosted, "chat", HELLO, options=options)
    assert raised.value.kind == "INVALID", raised.value
    assert await texts(vllm_client, hosted, HELLO, max_new_tokens=1) == [" from"]
