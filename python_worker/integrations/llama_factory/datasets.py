"""A dataset: its examples are read by LLaMA-Factory's converters, and each is answered.

This is what LLaMA-Factory's script ``vllm_infer.py`` does. All examples are read and rendered
before the first is asked for, so that a wrong one is told before the work.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from python_worker.exceptions import BridgeError, InvalidArgument, LimitExceeded
from python_worker.integrations.llama_factory.hosting import Library, RequestParts
from python_worker.integrations.llama_factory.media import MediaNotFound
from python_worker.integrations.llama_factory.options import GenerationOptions
from python_worker.integrations.llama_factory.requests import Chat, making, request_of
from python_worker.streaming.progress import Counter

MAX_BATCH: Final = 4096

# While JSON is read, Python runs nothing else: so much takes half a second.
MAX_JSON_BYTES: Final = 64 * 1024 * 1024

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
Responses = Callable[[RequestParts], Awaitable[list[Any]]]


@dataclass(frozen=True)
class RunOptions:
    """How a dataset is read and answered.

    Attributes:
        formatting: ``alpaca``, ``sharegpt`` or ``openai``.
        columns: As in LLaMA-Factory's ``dataset_info.json``.
        tags: As there.
        cutoff_len: The most tokens of a prompt and the label together; the prompt is cut.
        max_samples: How many examples are answered; None for all.
        batch_size: How many requests run at once.
        generation: The options of every request.
    """

    formatting: str = "alpaca"
    columns: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    cutoff_len: int = 2048
    max_samples: int | None = None
    batch_size: int = 1024
    generation: GenerationOptions = field(default_factory=GenerationOptions)

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InvalidArgument: One is out of its range.
        """
        for name, value, most in (
            ("cutoff_len", self.cutoff_len, 2**31 - 1),
            ("batch_size", self.batch_size, MAX_BATCH),
            ("max_samples", self.max_samples, 2**31 - 1),
        ):
            if value is not None and not 1 <= value <= most:
                raise InvalidArgument(
                    f"{name}: wants an int from 1 to {most}, got {value}", parameter=name
                )


@dataclass(frozen=True)
class Prediction:
    """What became of one example.

    Attributes:
        prompt: What the model was given, without special tokens.
        predict: What it answered.
        label: What the example says; empty where it says nothing.
    """

    prompt: str
    predict: str
    label: str


@dataclass(frozen=True)
class _Example:
    request: RequestParts
    prompt: str
    label: str


class DatasetRun:
    """Answers one dataset.

    Args:
        library: LLaMA-Factory.
        hosted: Its engine.
        options: See there.
    """

    def __init__(self, library: Library, hosted: Any, options: RunOptions) -> None:
        self._library, self._hosted, self._options = library, hosted, options
        self._convert = making("a dataset of these options", self._converter)

    async def predictions(
        self, dataset: list[dict[str, Any]] | str, in_thread: InThread, responses: Responses
    ) -> list[Prediction]:
        """One prediction for each example, in their order.

        Args:
            dataset: The examples, or the path of a file of them.
            in_thread: Runs what blocks.
            responses: Answers a request.

        Raises:
            InvalidArgument: An example cannot be read.
        """
        rows = await in_thread(lambda: self._rows(dataset))
        progress = Counter(len(rows))
        rendered: list[_Example | None] = []
        for index, row in enumerate(rows):
            example = await in_thread(functools.partial(self._example, index, row))
            # Media of all examples at once might not fit into memory: they are read again.
            rendered.append(None if "multi_modal_data" in example.request.prompt else example)
            progress.tell("Rendered examples", len(rendered))
        waiting = iter(range(len(rows)))
        done: dict[int, Prediction] = {}

        async def answer() -> None:
            for index in waiting:
                example = rendered[index]
                if example is None:
                    render = functools.partial(self._example, index, rows[index])
                    example = await in_thread(render)
                first, *_ = await responses(example.request)
                done[index] = Prediction(example.prompt, first.response_text, example.label)
                progress.tell("Answered examples", len(done))

        await _together([answer() for _ in range(min(self._options.batch_size, len(rows)))])
        return [done[index] for index in range(len(rows))]

    def _converter(self) -> Any:
        options = self._options
        attributes = self._library.parser.DatasetAttr("hf_hub", dataset_name="dataset")
        named = {"columns": options.columns, "tags": options.tags}
        known = {name: given for name, given in named.items() if given is not None}
        attributes.join({"formatting": options.formatting, **known})
        return self._library.converter.get_dataset_converter(options.formatting, attributes, None)

    def _rows(self, dataset: list[dict[str, Any]] | str) -> list[dict[str, Any]]:
        rows = _read(Path(dataset)) if isinstance(dataset, str) else dataset
        if not rows:
            raise InvalidArgument("dataset: has no examples", parameter="dataset")
        return rows[: self._options.max_samples]

    def _example(self, index: int, row: dict[str, Any]) -> _Example:
        try:
            return self._rendered(row)
        except MediaNotFound:
            raise
        except BridgeError as error:
            raise InvalidArgument(
                f"dataset[{index}]: {error}", parameter=f"dataset[{index}]"
            ) from error

    def _rendered(self, row: dict[str, Any]) -> _Example:
        # A column that an example does not have is empty, as it is in a table.
        example = collections.defaultdict[str, Any](lambda: None, row)
        read = making("an example of this", lambda: self._convert(example))
        media = {kind: read[f"_{kind}"] for kind in ("images", "videos", "audios")}
        chat = Chat(
            read["_prompt"],
            read["_system"] or None,
            read["_tools"] or None,
            media,
            self._options.generation,
        )
        request = making("a prompt of this", lambda: request_of(self._hosted, chat))
        label = "".join(message["content"] for message in read["_response"][:1])
        return self._cut(request, label)

    def _cut(self, request: RequestParts, label: str) -> _Example:
        tokenizer, ids = self._hosted.tokenizer, request.prompt["prompt_token_ids"]
        target = len(tokenizer.encode(label, add_special_tokens=False))
        length, _ = self._library.lengths.infer_seqlen(len(ids), target, self._options.cutoff_len)
        ids = ids[: max(length, 1)]
        prompt = {**request.prompt, "prompt_token_ids": ids}
        text = tokenizer.decode(ids, skip_special_tokens=True)
        return _Example(replace(request, prompt=prompt), text, label)


async def _together(coroutines: list[Any]) -> None:
    """Runs all; the first error ends the others."""
    tasks = [asyncio.ensure_future(it) for it in coroutines]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _read(path: Path) -> list[dict[str, Any]]:
    """The examples of a JSON or JSONL file."""
    if "\0" in str(path) or not path.is_file():
        raise MediaNotFound(f"dataset: there is no file {str(path)!r}", parameter="dataset")
    try:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines if line.strip()]
        elif path.stat().st_size <= MAX_JSON_BYTES:
            rows = json.loads(path.read_text(encoding="utf-8"))
        else:
            raise LimitExceeded(
                f"dataset: {path} has more than {MAX_JSON_BYTES} bytes, which are read at once; "
                "write it as JSONL",
                parameter="dataset",
            )
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"dataset: {path} is no JSON: {error}", parameter="dataset"
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidArgument(f"dataset: {path} is no list of objects", parameter="dataset")
    return rows
