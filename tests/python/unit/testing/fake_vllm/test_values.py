"""Values that a test has the fake engine make by their names."""

from __future__ import annotations

import pytest

from python_worker.testing.fake_vllm import values


@pytest.mark.parametrize("kind", sorted(values.KINDS))
def test_every_name_makes_a_value_of_its_own(kind: str) -> None:
    first, second = values.make(kind), values.make(kind)
    assert type(first) is type(second)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"no value 'oops', only .*cyclic"):
        values.make("oops")


def test_a_thing_that_nobody_holds_is_gone() -> None:
    before = len(values.Thing.alive)
    thing = values.Thing()
    assert len(values.Thing.alive) == before + 1
    del thing
    assert len(values.Thing.alive) == before
