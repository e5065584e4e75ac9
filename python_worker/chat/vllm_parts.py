"""What the chat calls of vLLM. Every import of vLLM is in a function: it takes seconds."""

from __future__ import annotations

from typing import Any


def request_class() -> Any:
    """The class of a chat request, a model of pydantic's."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    return ChatCompletionRequest


def refusal(rendered: object) -> Any:
    """Why the renderer refused a request: what it returned in place of a prompt; else None."""
    from vllm.entrypoints.serve.engine.protocol import ErrorResponse

    return rendered.error if isinstance(rendered, ErrorResponse) else None


def tool_parsers() -> list[str]:
    """The names of the tool parsers that vLLM knows."""
    from vllm.tool_parsers import ToolParserManager

    return sorted(ToolParserManager.list_registered())


def reasoning_parsers() -> list[str]:
    """The names of the reasoning parsers that vLLM knows."""
    from vllm.reasoning import ReasoningParserManager

    return sorted(ReasoningParserManager.list_registered())


def online_renderer(engine: Any, **options: Any) -> Any:
    """Renders the messages of chats to prompts of an engine."""
    from vllm.renderers.online_renderer import OnlineRenderer

    return OnlineRenderer(
        engine.model_config,
        engine.renderer,
        request_logger=None,
        trust_request_chat_template=True,
        trust_request_mm_kwargs=True,
        # Without a parser of tool calls nobody would find them.
        enable_auto_tools=options["tool_parser"] is not None,
        **options,
    )


def template_error() -> type[Exception]:
    """What a chat template raises that is wrong, or that does not take the messages."""
    from jinja2.exceptions import TemplateError

    return TemplateError


def max_tokens(request: Any, model_config: Any, prompt_length: int, defaults: Any) -> int:
    """How many tokens a request may generate: as asked for, and as fits."""
    from vllm.entrypoints.serve.utils.api_utils import get_max_tokens

    asked = request.max_completion_tokens
    own = defaults.get("max_tokens")
    if model_config.generation_config in ("auto", "vllm"):
        own = (model_config.override_generation_config or {}).get("max_new_tokens")
    limit: int = get_max_tokens(
        model_config.max_model_len,
        request.max_tokens if asked is None else asked,
        prompt_length,
        defaults,
        own,
        truncate_prompt_tokens=request.truncate_prompt_tokens,
    )
    return limit


def make_tool_call_id() -> str:
    """A new name for a tool call whose parser gave it none."""
    from vllm.renderers.chat_utils import make_tool_call_id as make

    name: str = make()
    return name


def output_kinds() -> Any:
    """The enum of what outputs hold."""
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind
