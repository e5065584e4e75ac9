"""A bar tells the client of the call that it is for, or is not made."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.offline import progress, vllm_parts
from python_worker.streaming.progress import PROGRESS, Progress


class Tqdm:
    """Stands in for tqdm, which is vLLM's: it draws at each update."""

    def __init__(self, iterable: Any = None, *, file: Any, total: int, desc: str, **_: Any) -> None:
        self.file, self.total, self.desc, self.n = file, total, f"{desc}: ", 0
        self.postfix: str | None = None
        self.format_dict = {"elapsed": 1.5}

    def update(self, n: int) -> None:
        self.n += n
        self.display()  # type: ignore[attr-defined]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(vllm_parts, "tqdm", lambda: Tqdm)
    progress._bar_class.cache_clear()
    told: list[Progress] = []
    token = PROGRESS.set(told.append)
    yield told
    PROGRESS.reset(token)
    progress._bar_class.cache_clear()


def test_a_bar_reports_where_it_would_be_drawn(told: list[Progress]) -> None:
    bar = progress.bar(True)(total=4, desc="Processed prompts")
    bar.update(3)
    bar.postfix = "fast"
    bar.update(1)
    assert told == [
        Progress("Processed prompts", 3, 4, 1.5, ""),
        Progress("Processed prompts", 4, 4, 1.5, "fast"),
    ]
    assert bar.file.getvalue() == ""


def test_nobody_is_told_who_does_not_want_to_be(told: list[Progress]) -> None:
    assert progress.bar(False) is False


def test_a_bar_of_ours_is_passed_on(told: list[Progress]) -> None:
    factory = progress.bar(True)
    assert progress.bar(factory) is factory


def test_without_a_client_there_is_no_bar() -> None:
    assert progress.bar(True) is False
