"""What EngineCore says as text; that vLLM still says it, ``vllm/test_core_errors.py`` shows."""

from __future__ import annotations

import pytest

from python_worker import core_errors
from python_worker.core_errors import TEXTS, Meaning, Place, Text

INNER = "The size of tensor a (64) must match"


def example(known: Text) -> str:
    return known.text.replace("{}", "x y")


@pytest.mark.parametrize("known", TEXTS, ids=lambda it: it.text)
def test_a_text_is_known_by_its_class_and_its_place(known: Text) -> None:
    assert core_errors.means(known.cls(example(known)), known.meaning)
    assert not core_errors.means(type("Other", (known.cls,), {})(example(known)), known.meaning)
    at_end = core_errors.means(known.cls(f"Then: {example(known)}"), known.meaning)
    assert at_end == (known.place is Place.ANYWHERE)
    in_front = core_errors.means(known.cls(f"{example(known)} - or so"), known.meaning)
    assert in_front == (known.place is not Place.WHOLE or known.text.endswith("{}"))


def test_every_meaning_has_a_text() -> None:
    assert {known.meaning for known in TEXTS} == set(Meaning)


@pytest.mark.parametrize(
    ("error", "is_cores"),
    [
        (Exception("Call to sleep method failed: no"), True),
        (RuntimeError("Engine core initialization failed. See root cause above."), True),
        (RuntimeError("Call to sleep method failed: no"), False),
        (Exception("Call to arms"), False),
    ],
)
def test_what_engine_core_raised(error: Exception, is_cores: bool) -> None:
    assert core_errors.is_from_core(error) == is_cores


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Exception(f"Call to add_lora method failed: {INNER}"), INNER),
        (
            Exception(
                f"Call to add_lora method failed: Worker failed with error '{INNER}', please check "
                "the stack trace above for the root cause"
            ),
            INNER,
        ),
        (
            Exception("Call to a method failed: Call to b method failed: c"),
            "Call to b method failed: c",
        ),
        (Exception("Call to a method failed: two\nlines"), "two\nlines"),
        (Exception("Call to a method failed: "), ""),
        (Exception("something else"), None),
        (ValueError("Call to a method failed: b"), None),
    ],
)
def test_what_was_said_stands_without_what_vllm_puts_around_it(
    error: Exception, text: str | None
) -> None:
    assert core_errors.said(error) == text
