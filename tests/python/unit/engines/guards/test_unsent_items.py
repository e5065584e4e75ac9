"""An image counts as remembered when it has been sent, and not before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards import unsent_items
from python_worker.engines.guards.unsent_items import UnsentItems
from python_worker.exceptions import InvalidArgument


class Cache:
    """As vLLM's: what it knows is answered by a name alone."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def is_cached_item(self, mm_hash: str) -> bool:
        return mm_hash in self.known

    def get_and_update_item(self, mm_item: Any, mm_hash: str) -> Any:
        if mm_hash in self.known:
            return None
        assert mm_item is not None
        self.known[mm_hash] = mm_item
        return mm_item

    def invalidate(self, mm_hash: str) -> None:
        self.known.pop(mm_hash, None)


@pytest.fixture
def cache() -> Any:
    return Cache()


@pytest.fixture
def unsent(cache: Any) -> UnsentItems:
    return UnsentItems(cache)


def process(cache: Any, mm_hash: str) -> Any:
    """What vLLM does with an image: it is processed unless it is known."""
    item = None if cache.is_cached_item(mm_hash) else f"pixels of {mm_hash}"
    return cache.get_and_update_item(item, mm_hash)


def request(*features: tuple[str | None, Any]) -> Any:
    found = [SimpleNamespace(mm_hash=mm_hash, data=data) for mm_hash, data in features]
    return SimpleNamespace(mm_features=found)


def test_what_was_sent_is_sent_by_its_name(cache: Any, unsent: UnsentItems) -> None:
    unsent.sent(request(("h", process(cache, "h")), (None, "pixels")))
    assert process(cache, "h") is None


def test_what_a_refused_request_had_is_sent_whole(cache: Any, unsent: UnsentItems) -> None:
    assert process(cache, "h") == "pixels of h"
    # The request is refused, and nobody has to tell.
    assert process(cache, "h") == "pixels of h"
    unsent.sent(request(("h", "pixels of h")))
    assert process(cache, "h") is None


def test_of_two_requests_at_once_both_send_it_whole(cache: Any, unsent: UnsentItems) -> None:
    first, second = process(cache, "h"), process(cache, "h")
    assert first == second == "pixels of h"
    unsent.sent(request(("h", second)))
    unsent.sent(request(("h", first)))
    assert process(cache, "h") is None


def test_a_name_alone_does_not_count_as_sent(cache: Any, unsent: UnsentItems) -> None:
    process(cache, "h")
    unsent.sent(request(("h", None)))
    assert process(cache, "h") == "pixels of h"


def test_what_vllm_forgot_is_sent_whole(cache: Any, unsent: UnsentItems) -> None:
    unsent.sent(request(("h", process(cache, "h"))))
    cache.known.clear()
    assert process(cache, "h") == "pixels of h"


def test_a_name_that_nobody_has_sent_is_refused(cache: Any, unsent: UnsentItems) -> None:
    with pytest.raises(InvalidArgument, match=r"no data of 'mine'.*send it with its data"):
        cache.get_and_update_item(None, "mine")


def test_unsent_items_are_few(
    cache: Any, unsent: UnsentItems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsent_items, "MANY", 2)
    for mm_hash in "abcdef":
        process(cache, mm_hash)
        cache.known.clear()
    assert len(unsent._unsent) <= 2


def test_an_engine_without_such_a_memory_needs_none() -> None:
    UnsentItems(None).sent(request(("h", "pixels")))
