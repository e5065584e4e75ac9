"""``VllmEngine`` and ``ChatModel``: LLaMA-Factory's engine on an engine of this worker.

LLaMA-Factory makes the request, and an engine that may have other callers answers it. What differs
from LLaMA-Factory's own: all answers of a request are returned, by their index, where its engine
loses some of several; a caller that leaves ends its request; nothing of it runs on the event loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from python_worker.chat.completions import last_output
from python_worker.engines.builder import abort
from python_worker.exceptions import StaleReference, Unsupported
from python_worker.integrations.llama_factory import media
from python_worker.integrations.llama_factory.datasets import DatasetRun, Prediction, RunOptions
from python_worker.integrations.llama_factory.hosting import Library, RequestParts
from python_worker.integrations.llama_factory.options import GenerationOptions
from python_worker.integrations.llama_factory.pictures import as_pictures
from python_worker.integrations.llama_factory.requests import (
    Chat,
    check_answer,
    making,
    params_of,
    request_of,
)
from python_worker.streaming.admission import ADMISSION
from python_worker.validation import signatures

T = TypeVar("T")

Messages = list[dict[str, str]]
Tools = str | list[dict[str, Any]]


@dataclass(frozen=True)
class Response:
    """One answer of a model.

    Attributes:
        response_text: The text.
        response_length: How many tokens it has.
        prompt_length: How many tokens the prompt has.
        finish_reason: ``stop``, or ``length`` where the limit of tokens ended it; vLLM has others.
    """

    response_text: str
    response_length: int
    prompt_length: int
    finish_reason: str | None


class VllmEngine:
    """LLaMA-Factory's engine.

    Args:
        library: LLaMA-Factory.
        hosted: Its own engine.
        notes: What it logged while it was made.
        engine: Answers the requests.

    Attributes:
        model: The engine, with whose death the calls end.
    """

    def __init__(self, library: Library, hosted: Any, notes: Sequence[str], engine: Any) -> None:
        self.model = engine
        self._library = library
        self._hosted = hosted
        self._notes = list(notes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llama-factory")
        self._last_request_id: str | None = None
        self._adapter: Any = None
        self._closed = False

    async def load_adapter(self) -> None:
        """Loads the adapter of the arguments, so that a wrong one is an error of the constructor.

        The engine may have adapters of others, so ours has an id and a name of its own.
        """
        if self._hosted.lora_request is None:
            return
        name, _, path = self._hosted.lora_request
        number = secrets.randbelow(2**62) + 1
        fields = {"lora_name": f"{name} ({number})", "lora_int_id": number, "lora_path": path}
        checks = signatures.signature_of(self.model.add_lora, strict=True).checks
        self._adapter = checks["lora_request"](fields, "adapter_name_or_path")
        await self.model.add_lora(self._adapter)

    async def close(self) -> None:
        """Unloads the adapter, and ends the thread; the engine goes on."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._adapter is not None:
            await self.model.remove_lora(self._adapter.lora_int_id)

    # --- Answers ---------------------------------------------------------------

    async def chat(
        self,
        messages: Messages,
        system: str | None = None,
        tools: Tools | None = None,
        images: list[Any] | None = None,
        videos: list[Any] | None = None,
        audios: list[Any] | None = None,
        options: GenerationOptions | None = None,
    ) -> list[Response]:
        """Answers a chat.

        Args:
            messages: Maps with ``role`` and ``content``, the user's first.
            system: What the model is told about its task; the template's own text without it.
            tools: Descriptions of tools.
            images: See ``media``.
            videos: See ``media``.
            audios: See ``media``.
            options: Those of this request.
        """
        parts = await self._request(messages, system, tools, images, videos, audios, options)
        return await self._responses(parts)

    async def stream_chat(
        self,
        messages: Messages,
        system: str | None = None,
        tools: Tools | None = None,
        images: list[Any] | None = None,
        videos: list[Any] | None = None,
        audios: list[Any] | None = None,
        options: GenerationOptions | None = None,
    ) -> AsyncGenerator[str, None]:
        """Answers a chat piece by piece: the texts together are the first answer."""
        if (admission := ADMISSION.get()) is not None:
            admission.leave_fast_path()
        parts = await self._request(messages, system, tools, images, videos, audios, options)
        async for output in self._outputs(parts, "DELTA"):
            for completion in output.outputs:
                if completion.index == 0:
                    yield completion.text

    async def get_scores(self, batch_input: list[str]) -> list[float]:
        """Not for a vLLM engine.

        Raises:
            Unsupported: Always, in LLaMA-Factory's words.
        """
        try:
            return await self._hosted.get_scores(batch_input)  # type: ignore[no-any-return]
        except NotImplementedError as error:
            raise Unsupported(str(error)) from error

    async def infer(
        self, dataset: list[dict[str, Any]] | str, options: RunOptions | None = None
    ) -> list[Prediction]:
        """Answers every example of a dataset, and tells the caller how far it has come.

        Args:
            dataset: The examples, or the path of a JSON or JSONL file of them.
            options: How they are read and answered.
        """
        run = DatasetRun(self._library, self._hosted, options or RunOptions())
        return await run.predictions(dataset, self._in_thread, self._responses)

    # --- What a request would be -------------------------------------------------

    async def encode_prompt(
        self,
        messages: Messages,
        system: str | None = None,
        tools: Tools | None = None,
        images: list[Any] | None = None,
        videos: list[Any] | None = None,
        audios: list[Any] | None = None,
    ) -> list[int]:
        """The token ids of a prompt; see ``chat``."""
        parts = await self._request(messages, system, tools, images, videos, audios, None)
        return list(parts.prompt["prompt_token_ids"])

    async def sampling_params(
        self, prompt_length: int, options: GenerationOptions | None = None
    ) -> dict[str, Any]:
        """The sampling parameters of a request whose prompt has a length."""
        options = options or GenerationOptions()
        return await self._in_thread(
            functools.partial(params_of, self._hosted, prompt_length, options)
        )

    async def template(self) -> dict[str, Any]:
        """The fields of the template, as far as they are plain values."""
        found = self._hosted.template
        fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        texts = {
            name: {"slots": [_plain(slot) for slot in it.slots], "tool_format": it.tool_format}
            for name, it in fields.items()
            if name.startswith("format_")
        }
        plain = {name: _plain(it) for name, it in fields.items() if not name.startswith("format_")}
        return {**plain, **texts, "mm_plugin": type(found.mm_plugin).__name__}

    async def stop_token_ids(self) -> list[int]:
        """The ids that end an answer: end of text, and the template's stop words."""
        return sorted(
            it
            for it in self._hosted.template.get_stop_token_ids(self._hosted.tokenizer)
            if it is not None
        )

    async def extract_tool(self, content: str) -> str | list[dict[str, str]]:
        """The tool calls in an answer, by the template's format; the text if there are none."""
        check_answer(content)
        extracted = await self._in_thread(
            lambda: making(
                "tool calls of this", lambda: self._hosted.template.extract_tool(content)
            )
        )
        return as_calls(extracted)

    async def regularize_images(self, images: list[Any]) -> list[dict[str, Any]]:
        """Images as the model gets them."""
        args = self._hosted.model_args
        return await self._regularized(
            "images",
            images,
            image_max_pixels=args.image_max_pixels,
            image_min_pixels=args.image_min_pixels,
        )

    async def regularize_videos(self, videos: list[Any]) -> list[list[dict[str, Any]]]:
        """Videos as the model gets them: their frames."""
        args = self._hosted.model_args
        return await self._regularized(
            "videos",
            videos,
            image_max_pixels=args.video_max_pixels,
            image_min_pixels=args.video_min_pixels,
            video_fps=args.video_fps,
            video_maxlen=args.video_maxlen,
        )

    async def regularize_audios(self, audios: list[Any]) -> list[Any]:
        """Audio as the model gets it: samples of one channel."""
        rate = self._hosted.model_args.audio_sampling_rate
        return await self._regularized("audios", audios, sampling_rate=rate)

    # --- What it was made from -----------------------------------------------------

    async def can_generate(self) -> bool:
        """Whether the stage of the arguments is one that generates."""
        return bool(self._hosted.can_generate)

    async def engine_args(self) -> dict[str, Any]:
        """The engine's arguments as LLaMA-Factory makes them."""
        return dict(self._hosted.model.arguments)

    async def engine_notes(self) -> list[str]:
        """What LLaMA-Factory logged while it was made."""
        return list(self._notes)

    async def engine(self) -> Any:
        """The engine that answers."""
        return self.model

    async def last_request_id(self) -> str | None:
        """The id of the last request; None before the first."""
        return self._last_request_id

    # --- Within ------------------------------------------------------------------

    async def _in_thread(self, function: Callable[[], T]) -> T:
        if self._closed:
            raise StaleReference("the object was released while this call of it ran")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _request(
        self,
        messages: Messages,
        system: str | None,
        tools: Tools | None,
        images: list[Any] | None,
        videos: list[Any] | None,
        audios: list[Any] | None,
        options: GenerationOptions | None,
    ) -> RequestParts:
        given: Mapping[str, list[Any] | None] = dict(
            zip(media.KINDS, (images, videos, audios), strict=True)
        )
        chat = Chat(messages, system, tools, given, options or GenerationOptions())
        return await self._in_thread(functools.partial(request_of, self._hosted, chat))

    async def _responses(self, parts: RequestParts) -> list[Response]:
        output = await last_output(self.model, self._outputs(parts, "FINAL_ONLY"), abort)
        return [
            Response(
                response_text=completion.text,
                response_length=len(completion.token_ids),
                prompt_length=len(output.prompt_token_ids),
                finish_reason=completion.finish_reason,
            )
            for completion in sorted(output.outputs, key=lambda it: it.index)
        ]

    def _outputs(self, parts: RequestParts, output_kind: str) -> AsyncGenerator[Any, None]:
        """The engine's outputs, of parameters that are checked as those of a client."""
        checks = signatures.signature_of(self.model.generate, strict=True).checks
        fields = {**parts.params, "output_kind": output_kind}
        params = checks["sampling_params"](fields, "options")
        self._last_request_id = parts.request_id
        outputs: AsyncGenerator[Any, None] = self.model.generate(
            parts.prompt, params, parts.request_id, lora_request=self._adapter
        )
        return outputs

    async def _regularized(self, kind: str, given: list[Any], **limits: Any) -> list[Any]:
        plugin = self._hosted.template.mm_plugin
        regularize = getattr(plugin, f"_regularize_{kind}")

        def run() -> list[Any]:
            checked = media.checked(kind, given) or []
            made = making("media of this", lambda: regularize(checked, **limits)[kind])
            return [as_pictures(it) for it in made]

        return await self._in_thread(run)


class ChatModel(VllmEngine):
    """The same, made from one map of all arguments, as LLaMA-Factory's ``ChatModel``."""


def as_calls(extracted: Any) -> str | list[dict[str, str]]:
    """What LLaMA-Factory extracts from an answer, with its calls as maps."""
    if isinstance(extracted, str):
        return extracted
    return [{"name": call.name, "arguments": call.arguments} for call in extracted]


def _plain(value: Any) -> Any:
    """A value of a template as it can be sent."""
    if isinstance(value, set | frozenset | tuple | list):
        return sorted(value) if isinstance(value, set | frozenset) else list(value)
    return value
