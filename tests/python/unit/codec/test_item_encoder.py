"""Stream items as patches: what the client puts together is what the engine yielded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker import exceptions
from python_worker.codec import item_encoder, types
from tests.python.support.patches import (
    METRICS,
    Consumer,
    completion,
    expected,
    is_patch,
    item,
    made,
)
from tests.vectors import make

STREAMS = json.loads((Path(make.__file__).parent / "streams.json").read_text())


@pytest.mark.parametrize("stream", STREAMS, ids=[stream["name"] for stream in STREAMS])
def test_vector(stream: dict[str, Any]) -> None:
    encoder = item_encoder.ItemEncoder(cumulative=stream["cumulative"])
    classes: dict[str, type] = {}
    for entry in stream["items"]:
        value = make.share_classes(make.build(entry["value"]), classes)
        assert encoder.encode(value).hex() == entry["hex"]


def test_the_prompt_is_sent_once() -> None:
    encoder = item_encoder.ItemEncoder()
    first = encoder.encode(item(completion(text="a", token_ids=[5]), prompt="x" * 1000))
    second = encoder.encode(item(completion(text="b", token_ids=[6]), prompt="x" * 1000))
    assert len(first) > 1000
    assert len(second) < 20


def test_objects_that_vllm_changes_in_place() -> None:
    """One metrics object, one list of token ids and one of prompt ids, as AsyncLLM has them."""
    encoder, consumer = item_encoder.ItemEncoder(cumulative=True), Consumer()
    ids, prompt, metrics = [5], [1, 2], made(METRICS, num_generation_tokens=1)
    text = "a"
    for step in range(6):
        value = item(completion(text=text, token_ids=ids), metrics=metrics, prompt_token_ids=prompt)
        data = encoder.encode(value)
        assert consumer.apply(data) == expected(value)
        assert is_patch(data) == (step > 0)
        ids.append(step)
        text += "b"
        metrics.num_generation_tokens += 1
        if step == 3:
            prompt.extend([3, 4])


def test_a_stream_of_another_output_kind_than_announced_arrives_intact() -> None:
    for cumulative in (True, False):
        encoder, consumer = item_encoder.ItemEncoder(cumulative=cumulative), Consumer()
        for text, ids in (("a", [1]), ("ab", [1, 2]), ("x", [9]), ("", []), ("xy", [9, 8])):
            value = item(completion(text=text, token_ids=ids))
            assert consumer.apply(encoder.encode(value)) == expected(value)


def test_the_same_index_twice_in_one_item() -> None:
    encoder, consumer = item_encoder.ItemEncoder(cumulative=True), Consumer()
    for texts in (["a"], ["ab", "abc"], ["abcd"]):
        value = item(*[completion(text=text, token_ids=[1]) for text in texts])
        assert consumer.apply(encoder.encode(value)) == expected(value)


def test_an_error_names_the_path_and_the_next_item_is_sent_whole() -> None:
    encoder = item_encoder.ItemEncoder()
    encoder.encode(item(completion()))
    with pytest.raises(exceptions.EncodeError) as caught:
        encoder.encode(item(completion(), kv_transfer_params={"x": [object()]}))
    assert caught.value.path == "value.kv_transfer_params['x'][0]"
    assert not is_patch(encoder.encode(item(completion())))


def test_references_and_exceptions_in_items() -> None:
    encoder = item_encoder.ItemEncoder(
        register=lambda value: types.RefParts("i", "1", type(value).__name__),
        failure_bytes=lambda error: b"failure",
    )
    encoder.encode(item(completion()))
    data = encoder.encode(item(completion(), ec_transfer_params=[object(), ValueError()]))
    assert is_patch(data)
    assert b"failure" in data


texts = st.text(alphabet="ab\N{LATIN SMALL LETTER E WITH ACUTE}", max_size=3)


steps = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 2), texts, st.lists(st.integers(0, 9), max_size=3)), max_size=3
        ),
        st.booleans(),  # whether each completion goes on, or begins again
        st.booleans(),  # whether there are logprobs
        st.sampled_from([None, 1, 2]),  # cached tokens
        st.sampled_from([None, 1, 2]),  # metrics
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300)
@given(steps, st.booleans())
def test_any_stream(steps: Any, cumulative: bool) -> None:
    encoder, consumer = item_encoder.ItemEncoder(cumulative=cumulative), Consumer()
    so_far: dict[int, tuple[str, list[int], list[Any]]] = {}
    for parts, going_on, logprobs, cached, tokens in steps:
        completions = []
        for index, text, ids in parts:
            before = so_far.get(index, ("", [], [])) if going_on else ("", [], [])
            logs = [{token: None} for token in ids]
            state = (before[0] + text, before[1] + ids, before[2] + logs)
            so_far[index] = state
            completions.append(
                completion(index, state[0], state[1], logprobs=state[2] if logprobs else None)
            )
        metrics = None if tokens is None else made(METRICS, num_generation_tokens=tokens)
        value = item(*completions, num_cached_tokens=cached, metrics=metrics)
        assert consumer.apply(encoder.encode(value)) == expected(value)
