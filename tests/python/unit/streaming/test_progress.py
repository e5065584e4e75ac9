"""Progress as a message."""

from __future__ import annotations

from python_worker.streaming.progress import PROGRESS, Progress


def test_the_message_has_every_field() -> None:
    message = Progress("Processed prompts", 1, 2, 0.25, "fast").to_proto()
    assert message.description == "Processed prompts"
    assert (message.done, message.total, message.elapsed_ms) == (1, 2, 250)
    assert message.note == "fast"


def test_nobody_is_told_by_default() -> None:
    assert PROGRESS.get() is None
