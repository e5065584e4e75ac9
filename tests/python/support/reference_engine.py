"""vLLM's AsyncLLM that also answers in process: what the bridge is compared with.

A worker with ``--engine-class tests.python.support.reference_engine:ReferenceAsyncLLM`` carries out
a request on the very engine that serves clients, without the bridge, and tells in plain lists and
dicts what vLLM yielded. None of the code that sends outputs to clients has a part in that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from vllm import SamplingParams

from python_worker.engines.builder import import_async_llm
from tests.python.support.media import read_media

AsyncLLM: Any = import_async_llm()


class ReferenceAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """The engine under test and its own reference."""

    # What is served as ``LLM`` beside it.
    offline_class = "tests.python.support.reference_llm:ReferenceLLM"

    async def loop_and_output_handler(self) -> list[int]:
        """Returns which event loop this runs on, and which task handles the outputs."""
        return [id(asyncio.get_running_loop()), id(self.output_handler)]

    async def count_tasks(self) -> int:
        """Returns how many tasks the event loop has, this one among them."""
        return len(asyncio.all_tasks())

    async def get_tokenizer_later(self) -> Any:
        """Returns what ``get_tokenizer`` does, which was a coroutine once."""
        return self.get_tokenizer()

    async def leave_unawaited(self) -> None:
        """Makes a coroutine that nobody awaits, which Python complains of."""

        async def left() -> None: ...

        coroutine = left()
        del coroutine

    async def generate_in_process(
        self,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        *,
        prompt_text: str | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        trace_headers: Mapping[str, str] | None = None,
        priority: int = 0,
    ) -> list[dict[str, object]]:
        """Returns everything ``generate`` yields for a request, in order."""
        # Described at once: vLLM hands out the same mutable lists with every item.
        return [
            _described(output)
            async for output in self.generate(
                prompt,
                sampling_params,
                request_id,
                prompt_text=prompt_text,
                tokenization_kwargs=tokenization_kwargs,
                trace_headers=trace_headers,
                priority=priority,
            )
        ]

    async def generate_batch_in_process(
        self, prompts: list[Any], sampling_params: list[SamplingParams], request_id: str
    ) -> list[list[dict[str, object]]]:
        """Returns everything ``generate`` yields for requests that make up one batch.

        They wait in the engine, in their order, until it has them all. So the batch, and with it
        the order in which floats are added, is the same each time.

        Args:
            prompts: One for each request.
            sampling_params: The same.
            request_id: What the ids of the requests begin with.
        """
        await self.pause_generation(mode="keep")
        tasks = []
        for number, (prompt, params) in enumerate(zip(prompts, sampling_params, strict=True)):
            wanted = self.get_num_unfinished_requests() + params.n
            request = self.generate_in_process(prompt, params, f"{request_id}-{number}")
            tasks.append(asyncio.create_task(request))
            # vLLM tells nobody that it has a request.
            while self.get_num_unfinished_requests() < wanted and not tasks[-1].done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        await self.resume_generation()
        return await asyncio.gather(*tasks)

    async def media_in_process(
        self,
        prompt: str,
        files: dict[str, list[str]],
        sampling_params: SamplingParams,
        request_id: str,
        **more: Any,
    ) -> dict[str, object]:
        """Returns the last output for a prompt with files, which Python's libraries read."""
        data = {kind: [read_media(kind, path) for path in paths] for kind, paths in files.items()}
        given = {"prompt": prompt, "multi_modal_data": data, **more}
        outputs = [it async for it in self.generate(given, sampling_params, request_id)]
        return _described(outputs[-1])

    async def multimodal_cache(self) -> list[int]:
        """Returns how many images were looked up in vLLM's cache so far, and how many found."""
        cache = self.renderer.mm_processor_cache
        stats = cache.make_stats()
        return [stats.total, stats.hits]

    async def chat_in_process(
        self,
        request: dict[str, Any],
        tool_parser: str | None = None,
        reasoning_parser: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns what vLLM's own chat server answers: one body, or all chunks of a stream."""
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        server = self._chat_server(tool_parser, reasoning_parser)
        answer = await server.create_chat_completion(ChatCompletionRequest.model_validate(request))
        if not request.get("stream"):
            return [answer.model_dump()]
        chunks = [chunk.removeprefix("data: ").strip() async for chunk in answer]
        return [json.loads(chunk) for chunk in chunks if chunk != "[DONE]"]

    def _chat_server(self, tool_parser: str | None, reasoning_parser: str | None) -> Any:
        from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
        from vllm.entrypoints.openai.models.protocol import BaseModelPath
        from vllm.entrypoints.openai.models.serving import OpenAIServingModels
        from vllm.renderers.online_renderer import OnlineRenderer

        path = self.model_config.model
        options: dict[str, Any] = {
            "request_logger": None,
            "chat_template": None,
            "chat_template_content_format": "auto",
            "trust_request_chat_template": True,
            "tool_parser": tool_parser,
            "enable_auto_tools": True,
        }
        renderer = OnlineRenderer(
            self.model_config, self.renderer, reasoning_parser=reasoning_parser, **options
        )
        models = OpenAIServingModels(self, [BaseModelPath(name=path, model_path=path)])
        return OpenAIServingChat(
            self,
            models,
            "assistant",
            online_renderer=renderer,
            reasoning_parser=reasoning_parser or "",
            enable_prompt_tokens_details=True,
            **options,
        )


def _described(output: Any) -> dict[str, object]:
    return {
        "request_id": output.request_id,
        "prompt": output.prompt,
        "prompt_token_ids": _copied(output.prompt_token_ids),
        "prompt_logprobs": _logprobs(output.prompt_logprobs),
        "finished": output.finished,
        "outputs": [
            {
                "index": completion.index,
                "text": completion.text,
                "token_ids": _copied(completion.token_ids),
                "cumulative_logprob": completion.cumulative_logprob,
                "logprobs": _logprobs(completion.logprobs),
                "finish_reason": completion.finish_reason,
                "stop_reason": completion.stop_reason,
            }
            for completion in output.outputs
        ],
    }


def _copied(ids: Any) -> list[int] | None:
    return None if ids is None else list(ids)


def _logprobs(positions: Any) -> list[dict[int, list[object]] | None] | None:
    """The alternatives at each position, as ``[logprob, rank, decoded_token]`` by token id."""
    if positions is None:
        return None
    return [
        None
        if position is None
        else {
            token: [entry.logprob, entry.rank, entry.decoded_token]
            for token, entry in position.items()
        }
        for position in positions
    ]
