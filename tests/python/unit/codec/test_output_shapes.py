"""How outputs are read: shapes are shared, and fields that a class lacks are left out."""

from __future__ import annotations

from python_worker.codec import records
from python_worker.codec.output_shapes import shape_of
from tests.python.support.patches import completion, item
from tests.vectors import make

FIELDS = records.fields_of("RequestOutput")


def test_outputs_of_one_class_share_a_shape() -> None:
    assert shape_of(item(completion()), FIELDS) is shape_of(item(completion(1)), FIELDS)


def test_a_shape_without_completions_is_not_shared() -> None:
    """The first item may have none, and then nothing is known of their class."""
    empty = shape_of(item(), FIELDS)
    assert empty is not shape_of(item(), FIELDS)
    assert "cumulative_logprob" in empty.other_fields


def test_fields_that_the_class_lacks_are_not_read() -> None:
    class Older(make.Stub):
        """A RequestOutput of a vLLM with fewer fields."""

    value = Older()
    value.__dict__.update(request_id="r", outputs=[], finished=False, prompt="p")
    shape = shape_of(value, FIELDS)
    assert shape.fields == ("prompt",)
    assert shape.read(value) == ("p",)
    assert not shape.has_metrics


def test_lists_that_may_grow_and_dicts_that_may_change_are_marked() -> None:
    shape = shape_of(item(completion()), FIELDS)
    assert [shape.fields[index] for index in shape.growing] == [
        "prompt_token_ids",
        "prompt_logprobs",
        "encoder_prompt_token_ids",
    ]
    assert [shape.fields[index] for index in shape.always] == [
        "kv_transfer_params",
        "ec_transfer_params",
    ]


def test_a_completion_is_read_in_the_order_of_a_patch() -> None:
    value = completion(2, "text", [7], finish_reason="stop", cumulative_logprob=-1.0)
    shape = shape_of(item(value), FIELDS)
    assert shape.read_completion(value)[:6] == (2, "text", [7], "stop", None, None)
    assert shape.read_others(value) != shape.unset
    assert shape.read_others(completion()) == shape.unset
