"""LLaMA-Factory's templates and tool formats, from the library as the worker hosts it."""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.llama_factory.factory import LlamaFactory
from python_worker.integrations.llama_factory.hosting import library
from python_worker.process.yi_vl_projector import YiVLProjector
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.llama_factory import USER, hosted

SYSTEM = "Be brief."
CHAT: list[dict[str, str]] = [
    {"role": "user", "content": "How are you"},
    {"role": "assistant", "content": "I am fine!"},
    {"role": "user", "content": "Really"},
    {"role": "assistant", "content": "Yes!"},
]

# The templates that the models' own tokenizers have, as far as text goes.
OWN = {
    "llama3": (
        "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
        "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + "
        "'<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "qwen": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + "
        "'<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "phi": (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    ),
    "phi4": (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '<|im_sep|>' + m['content'] + "
        "'<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
    ),
}

TOOLS = json.dumps(
    [
        {
            "name": "get_weather",
            "description": "The weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Which"}},
                "required": ["city"],
            },
        }
    ]
)


def tokens_of(template: Any) -> set[str]:
    """The special tokens that the slots of a template name."""
    formats = [value for name, value in vars(template).items() if name.startswith("format_")]
    slots = [slot for it in formats for slot in it.slots]
    return {slot["token"] for slot in slots if isinstance(slot, dict)} | set(template.stop_words)


def prepared(model: ScriptedModel, name: str | None, *tokens: str) -> tuple[Any, Any]:
    """A template and its tokenizer, which has the tokens of the template."""
    it = hosted(model.path, **({} if name is None else {"template": name}))
    more = sorted(tokens_of(it.template) | set(tokens))
    it.tokenizer.add_special_tokens({"additional_special_tokens": more})
    return it.template, it.tokenizer


def prompt_of(template: Any, tokenizer: Any, messages: Any, system: Any, tools: Any) -> list[int]:
    ids, _ = template.encode_oneturn(
        tokenizer, [*messages, {"role": "assistant", "content": ""}], system, tools
    )
    return list(ids)


def test_every_template_renders_a_system_message_tools_and_a_chat(model: ScriptedModel) -> None:
    names = sorted(library().templates.TEMPLATES)
    assert len(names) > 100
    for name in names:
        template, tokenizer = prepared(model, name)
        ids = prompt_of(template, tokenizer, CHAT[:-1], SYSTEM, TOOLS)
        assert set(map(type, ids)) == {int}, name
        text = tokenizer.decode(ids)
        for part in (SYSTEM, "get_weather", "How are you", "I am fine!", "Really"):
            # A prompt of these has no place for a system message or tools.
            if part in (SYSTEM, "get_weather") and "{{content}}" not in str(
                template.format_system.slots
            ):
                continue
            assert part in text, (name, part, text)


@pytest.mark.parametrize("name", OWN)
def test_a_template_gives_what_the_models_own_gives(model: ScriptedModel, name: str) -> None:
    """U-58 and U-167: upstream ``test_encode_oneturn`` and ``test_jinja_template``."""
    template, tokenizer = prepared(model, name, "<|start_header_id|>", "<|end_header_id|>")
    prompt = prompt_of(template, tokenizer, CHAT[:-1], SYSTEM, None)
    chat = [{"role": "system", "content": SYSTEM}, *CHAT[:-1]]
    own = tokenizer.apply_chat_template(
        chat, chat_template=OWN[name], add_generation_prompt=True, tokenize=False
    )
    assert tokenizer.decode(prompt) == own


def test_pairs_have_the_layout_of_llama_3(model: ScriptedModel) -> None:
    """U-59: upstream ``test_encode_multiturn``."""
    template, tokenizer = prepared(model, "llama3")
    pairs = template.encode_multiturn(tokenizer, CHAT)
    texts = [(tokenizer.decode(prompt), tokenizer.decode(answer)) for prompt, answer in pairs]
    head, turn = "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"
    model_turn = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    assert texts == [
        (f"<s>{head}How are you{turn}{model_turn}", f"I am fine!{turn}"),
        (f"{head}Really{turn}{model_turn}", f"Yes!{turn}"),
    ]


def test_without_a_name_the_template_is_that_of_the_tokenizer(model: ScriptedModel) -> None:
    """U-167, for a template that was parsed."""
    template, tokenizer = prepared(model, None)
    own = tokenizer.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(prompt_of(template, tokenizer, USER, None, None)) == own


def test_without_a_name_and_a_chat_template_a_prompt_is_its_text(
    model: ScriptedModel, tmp_path: Path
) -> None:
    """L-05."""
    folder = tmp_path / "model"
    shutil.copytree(model.path, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with library().notes() as notes:
        it = hosted(folder)
    assert any("use `empty` template" in note for note in notes), notes
    ids = prompt_of(it.template, it.tokenizer, [{"role": "user", "content": "Hello"}], None, None)
    assert it.tokenizer.decode(ids) == "Hello"
    assert it.tokenizer.padding_side == "left"


def test_engines_with_one_template_do_not_share_what_they_write_into_it(
    model: ScriptedModel,
) -> None:
    first = hosted(model.path, template="default", default_system="First.", tool_format="qwen")
    second = hosted(model.path, template="default")
    assert first.template.default_system == "First."
    assert second.template.default_system == ""
    assert second.template.format_tools.tool_format == "default"
    assert library().templates.TEMPLATES["default"].mm_plugin.expand_mm_tokens


def test_its_log_is_the_workers(model: ScriptedModel, capfd: pytest.CaptureFixture[str]) -> None:
    with library().notes() as notes:
        hosted(model.path)
    assert any("try parsing the chat template" in note for note in notes)
    assert capfd.readouterr().out == ""


# --- Yi-VL


def test_the_projector_of_yi_vl_is_llama_factorys() -> None:
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers.activations import ACT2FN

    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=6, num_attention_heads=1),
        text_config=LlamaConfig(hidden_size=8, num_attention_heads=1),
        projector_hidden_act="gelu",
    )
    visual = importlib.import_module("llamafactory.model.model_utils.visual")
    theirs = visual.LlavaMultiModalProjectorForYiVL(config)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    ours = YiVLProjector(ACT2FN.__getitem__, 6, 8, "gelu", multimodal_projector_bias=True)
    ours.load_state_dict(theirs.state_dict())
    features = torch.randn(2, 3, 6)
    with torch.no_grad():
        assert torch.allclose(ours(features), theirs(features), atol=1e-6)


# --- Tool calls in answers

CALL = {"name": "test_tool", "arguments": json.dumps({"foo": "bar", "size": 10})}
OTHER = {"name": "another_tool", "arguments": json.dumps({"foo": "job", "size": 2})}


@pytest.mark.parametrize(
    ("tool_format", "text", "calls"),
    [
        pytest.param(
            "default",
            'Action: test_tool\nAction Input: {"foo": "bar", "size": 10}\n',
            [CALL],
            id="test_default_tool_extractor",
        ),
        pytest.param(
            "default",
            'Action: test_tool\nAction Input: {"foo": "bar", "size": 10}\n'
            'Action: another_tool\nAction Input: {"foo": "job", "size": 2}\n',
            [CALL, OTHER],
            id="test_default_multi_tool_extractor",
        ),
        pytest.param(
            "llama3",
            '{"name": "test_tool", "parameters": {"foo": "bar", "size": 10}}\n',
            [CALL],
            id="test_llama3_tool_extractor",
        ),
        pytest.param(
            "qwen",
            '<tool_call>\n{"name": "test_tool", "arguments": {"foo": "bar", "size": 10}}\n'
            "</tool_call>",
            [CALL],
            id="test_qwen_tool_extractor",
        ),
        pytest.param("default", "no call", "no call", id="text"),
        pytest.param("llama3", "no call", "no call", id="text"),
        pytest.param("llama3", '{"name": 5}', '{"name": 5}', id="half"),
    ],
)
async def test_the_tool_calls_of_an_answer(tool_format: str, text: str, calls: object) -> None:
    """U-61 and U-62: the ids are those of upstream ``tests/data/test_formatter.py``."""
    assert await LlamaFactory().extract_tool(tool_format, text) == calls


async def test_no_answer_breaks_a_tool_format() -> None:
    factory = LlamaFactory()
    texts = ["", "{}", "[]", "null", '{"name": 1, "parameters": 2}', "Action: \nAction Input: ["]
    texts += ["<tool_call>\n[]\n</tool_call>", "[TOOL_CALLS][{}]", "x\n[1]", "[" * 5000]
    for tool_format in await factory.tool_formats():
        for text in texts:
            with contextlib.suppress(InvalidArgument):
                assert isinstance(await factory.extract_tool(tool_format, text), str | list)
