"""Which members are called, and which are values."""

from __future__ import annotations

import pytest

from python_worker.dispatch.members import find_member, is_method
from python_worker.dispatch.served_classes import OTHER


class Callable:
    def __call__(self) -> str:
        return "called"


class Target:
    def __init__(self) -> None:
        self.field = 1
        self.function = Callable()

    @property
    def tokenizer(self) -> Callable:
        return Callable()

    def method(self) -> int:
        return 1

    @classmethod
    def of_class(cls) -> int:
        return 1


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("method", True),
        ("of_class", True),
        ("function", True),
        ("field", False),
        ("tokenizer", False),
    ],
)
def test_the_value_of_a_property_is_not_called(name: str, *, called: bool) -> None:
    target = Target()

    assert is_method(target, name, find_member(target, name, OTHER)) is called
