"""What the worker asks its client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.questions import Open, Questions, Verdict, answer


async def judged(questions: Questions, *texts: str) -> dict[str, Any]:
    verdicts = await asyncio.gather(*(questions.ask(0, text) for text in texts))
    return {"verdicts": [verdict.result for verdict in verdicts]}


async def test_questions_at_once_are_answered_in_any_order() -> None:
    open: Open = {}
    questions = Questions(open)
    asked: list[dict[str, Any]] = []
    async for item in questions.during(judged(questions, "a", "b")):
        if "result" in item:
            assert item["result"] == {"verdicts": [True, False]}
        else:
            asked.append(item)
            if len(asked) == 2:
                for one in reversed(asked):
                    answer(open, one["question"], Verdict(one["text"] == "a"))
    assert [one["text"] for one in asked] == ["a", "b"]
    assert open == {}


async def test_a_client_that_leaves_ends_the_work() -> None:
    open: Open = {}
    questions = Questions(open)
    stream = questions.during(judged(questions, "a"))
    item = await anext(stream)
    await stream.aclose()
    assert open == {}
    with pytest.raises(InvalidArgument, match="nobody waits"):
        answer(open, item["question"], Verdict(True))


async def test_a_question_is_answered_once() -> None:
    open: Open = {}
    questions = Questions(open)
    stream = questions.during(judged(questions, "a"))
    item = await anext(stream)
    answer(open, item["question"], Verdict(True))
    with pytest.raises(InvalidArgument, match="nobody waits"):
        answer(open, item["question"], Verdict(False))
    assert [item async for item in stream] == [{"result": {"verdicts": [True]}}]


async def test_the_works_error_ends_the_stream() -> None:
    async def fail() -> dict[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        [item async for item in Questions({}).during(fail())]
