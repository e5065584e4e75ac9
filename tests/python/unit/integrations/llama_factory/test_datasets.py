"""The options and files of a dataset; its answers are in ``vllm/test_llama_factory.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.llama_factory.datasets import (
    MAX_JSON_BYTES,
    RunOptions,
    _read,
    _together,
)
from python_worker.integrations.llama_factory.media import MediaNotFound


@pytest.mark.parametrize("name", ["cutoff_len", "batch_size", "max_samples"])
@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_numbers_out_of_their_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(InvalidArgument, match=f"{name}: wants an int from 1 to"):
        RunOptions(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", '[{"x": 1}, {"x": 2}]'), ("a.jsonl", '{"x": 1}\n\n{"x": 2}\n')]
)
def test_a_file_has_a_list_of_objects(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert _read(tmp_path / name) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no JSON", "[" * 100_000])
def test_a_file_of_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=r"dataset: .*a\.json is no"):
        _read(path)


def test_a_large_file_has_to_be_of_lines(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("w") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(InvalidArgument, match="write it as JSONL"):
        _read(tmp_path / "a.json")


@pytest.mark.parametrize("path", ["/nowhere.json", "/", "a\0b"])
def test_a_file_that_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(MediaNotFound, match="dataset: there is no file"):
        _read(Path(path))


async def test_the_first_error_ends_the_others() -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await _together([wait(), fail()])
    assert ended.is_set()
