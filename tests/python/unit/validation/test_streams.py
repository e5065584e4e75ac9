"""Arguments that are streams of elements."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.streaming.input_stream import InputStream
from python_worker.validation.annotations import checker
from python_worker.validation.scalars import SCALARS
from python_worker.validation.streams import check_element
from tests.python.support.annotated import Text, refusal


@dataclasses.dataclass
class Element:
    """As vLLM's StreamingInput."""

    prompt: str | None
    priority: int = 0


ELEMENT = check_element(Element, SCALARS[str], checker)


@pytest.mark.parametrize("value", [[1], "text", None, {"prompt": "text"}], ids=str)
def test_only_a_stream_fits_a_stream(value: object) -> None:
    error = refusal(AsyncGenerator[Text, None], value)
    assert str(error).startswith("it: wants AsyncGenerator[Text, None], got ")


@pytest.mark.parametrize(
    ("value", "element"),
    [
        ("text", Element("text")),
        (Record("Element", {"prompt": "text"}), Element("text")),
        (Record("Element", {"prompt": "text", "priority": 3}), Element("text", 3)),
        ({"prompt": "text", "priority": 3}, Element("text", 3)),
    ],
    ids=str,
)
def test_an_element_is_made_of_its_first_field_or_of_all(value: Any, element: Element) -> None:
    assert ELEMENT(value, "it") == element


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "it: wants str, got int 5"),
        (Record("Another", {}), "it: wants str, got Another"),
        ({"prompt": 5, "priority": 1}, "it.prompt: wants str, got int 5"),
        ({"prompt": "text", "priority": "high"}, "it.priority: wants int, got str 'high'"),
        ({"priority": 1, "colour": 2}, "it: Element has no field 'colour'"),
    ],
    ids=str,
)
def test_an_element_that_does_not_fit_is_an_error(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ELEMENT(value, "it")
    assert message in str(caught.value)


async def test_a_union_takes_a_stream_or_a_value() -> None:
    check = checker(str | AsyncGenerator[Text, None])
    stream = InputStream(lambda _reply: None, lambda data: bytes(data).decode())
    assert check("text", "it") == "text"
    assert not stream.expected
    assert check(stream, "it") is stream
    assert stream.expected
    with pytest.raises(InvalidArgument, match="it: wants str, got int 5"):
        check(5, "it")
