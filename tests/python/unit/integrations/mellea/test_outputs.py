"""The outputs of a request that a client has received."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.outputs import first_of, output_of, text_of


def test_the_text_is_that_of_the_first_completion() -> None:
    second, first = {"index": 1, "text": "b"}, {"index": 0, "text": "a", "token_ids": [1]}
    output = output_of({"outputs": [second, first], "request_id": "x"})
    assert text_of(output) == "a"
    assert first_of(output).token_ids == [1]
    assert text_of(output_of({"outputs": [second]})) == ""


@pytest.mark.parametrize(
    ("chunk", "parameter"),
    [
        ({}, "chunk.outputs"),
        ({"outputs": "x"}, "chunk.outputs"),
        ({"outputs": [], "prompt_token_ids": 5}, "chunk.prompt_token_ids"),
        ({"outputs": [5]}, "chunk.outputs[0]"),
        ({"outputs": [{"text": 5}]}, "chunk.outputs[0].text"),
        ({"outputs": [{"index": True}]}, "chunk.outputs[0].index"),
        ({"outputs": [{"token_ids": "abc"}]}, "chunk.outputs[0].token_ids"),
        ({"outputs": [{"finish_reason": 5}]}, "chunk.outputs[0].finish_reason"),
    ],
)
def test_what_is_no_output_is_refused_by_its_path(chunk: Any, parameter: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        output_of(chunk)
    assert refused.value.details["parameter"] == parameter
