"""The allocator's thresholds."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from python_worker.process import allocator


def test_both_thresholds_are_above_a_large_message(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[int, int] = {}
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=set_to.__setitem__))
    allocator.keep_freed_memory()
    # The parameters' numbers are glibc's, from <malloc.h>.
    assert set_to.keys() == {-3, -1}
    assert set_to[-3] > 64 * 1024 * 1024
    assert set_to[-1] > 2 * set_to[-3]


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Library:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    allocator.keep_freed_memory()
    assert asked == ["mallopt"]
