"""The references of a reply go with the reply that is sent next, or are left over."""

from __future__ import annotations

import pytest

from python_worker.exceptions import Unsupported
from python_worker.streaming import reply_sink
from python_worker.streaming.reply_sink import ReplyReferences


def test_they_are_taken_once_in_their_order() -> None:
    sink = ReplyReferences()
    assert sink.take_references() == []
    for ref_id in ("a", "b", "a"):
        sink.add_reference(ref_id)
    assert sink.take_references() == ["a", "b", "a"]
    assert sink.take_references() == []


def test_more_than_fit_are_refused_and_can_still_be_released(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply_sink, "MAX_REFERENCES", 2)
    sink = ReplyReferences()
    sink.add_reference("a")
    sink.add_reference("b")
    with pytest.raises(Unsupported, match="more than 2 references"):
        sink.add_reference("c")
    assert sink.take_references() == ["a", "b", "c"]


def test_a_sink_without_any_holds_no_list() -> None:
    assert vars(ReplyReferences()) == {}
