"""Which behaviour a script finds for a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.testing.fake_engine.script import Behaviour, Script


def says(text: str) -> Behaviour:
    return Behaviour.of({"say": [text]})


def test_a_script_goes_from_the_prompt_to_patterns_to_all() -> None:
    script = Script()
    script.set(says("all"))
    script.set(says("pattern"), pattern="^h")
    script.set(says("other pattern"), pattern="e")
    script.set(says("prompt"), prompt="hi")
    script.set(says("ids"), prompt=[1, 2])
    found = [
        script.find(text, ids).say
        for text, ids in [("hi", []), ("hey", []), ("ten", []), (None, [1, 2]), (None, [3])]
    ]
    assert found == [("prompt",), ("pattern",), ("other pattern",), ("ids",), ("all",)]


def test_what_counts_a_few_times_comes_first_and_in_order() -> None:
    script = Script()
    script.set(says("always"), prompt="hi")
    script.set(says("first"), prompt="hi", times=1)
    script.set(says("then"), prompt="hi", times=2)
    found = [script.find("hi", []).say for _ in range(5)]
    assert found == [("first",), ("then",), ("then",), ("always",), ("always",)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"times": 0}, "times is at least 1"), ({"prompt": "a", "pattern": "b"}, "not both")],
)
def test_a_script_without_a_meaning_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Script().set(Behaviour(), **arguments)
