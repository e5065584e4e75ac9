"""The scripted model: its tokenizer, its script and its weights agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from python_worker.testing.models import model_files, tiny_model
from python_worker.testing.models.scripted_model import EOS_ID, ScriptedModel, scripted_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScriptedModel:
    return scripted_model(tmp_path_factory.mktemp("models") / "scripted")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "say \x00 and \x7f",
        "caf\u00e9 \u65e5\u672c \U0001f642\u200d\U0001f642",
        "a\r\n\t b",
    ],
)
def test_every_text_survives_the_tokenizer(text: str, model: ScriptedModel) -> None:
    assert model.decode(model.encode(text)) == text


def test_a_cue_is_one_token_and_says_what_follows(model: ScriptedModel) -> None:
    (cue,) = model.encode("Hello")
    assert model.expected_tokens([cue], 100)[-1] == EOS_ID
    assert len(model.expected_tokens([cue], 3)) == 3
    assert model.expected_text("Hello", 100) == " from a scripted Llama, token by token"
    assert model.expected_text("please say Hello", 100) == model.expected_text("Hello", 100)


@pytest.mark.parametrize(
    ("prompt", "n", "text"),
    [
        ("count", 10, " one two three four five six seven eight one two"),
        ("list", 64, " alpha beta STOP gamma delta"),
        ("think", 64, "<think> let me see</think> forty-two"),
        ("unicode", 64, " caf\u00e9 \u65e5\u672c \U0001f642\U0001f389 end"),
        ("nothing", 64, ""),
        ("something else", 64, " I only know my lines."),
    ],
)
def test_default_script_holds_what_tests_need(
    prompt: str, n: int, text: str, model: ScriptedModel
) -> None:
    assert model.expected_text(prompt, n) == text


def test_default_script_holds_a_tool_call(model: ScriptedModel) -> None:
    call = json.loads(model.expected_text("weather", 64))
    assert call == {"name": "get_weather", "arguments": {"city": "Paris"}}


def test_weights_follow_the_script(model: ScriptedModel) -> None:
    """A forward pass with attention and MLP left out, which o_proj and down_proj allow."""
    weights = load_file(model.path / "model.safetensors")
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        assert not weights[prefix + "self_attn.o_proj.weight"].any()
        assert not weights[prefix + "mlp.down_proj.weight"].any()
    logits = weights["model.embed_tokens.weight"] @ weights["lm_head.weight"].T
    assert tuple(np.argmax(logits, axis=1)) == model.successors


def test_own_script_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('[["ping", " pong", "ping"], ["", " what?", "</s>"]]')
    arguments = ["--kind", "scripted", "--script", str(tmp_path / "script.json")]
    assert tiny_model.main([str(tmp_path / "m"), *arguments]) == 0
    script = json.loads((tmp_path / "m" / "script.json").read_text())
    model = scripted_model(tmp_path / "m", script=script)
    assert model.expected_text("ping", 4) == " pongping pongping"
    assert model.expected_text("huh", 4) == " what?"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([["a b", " c", "</s>"], ["x y", " c", "</s>"]], "' c' stands in the script twice"),
        ([["a b", "nowhere"]], "nothing leads on from 'nowhere'"),
        ([["a b"]], "a cue and at least one more piece"),
        ([["a b", "</s>", " c"]], "'</s>' cannot be inside of a chain"),
    ],
)
def test_a_script_that_contradicts_itself_is_refused(
    script: list[list[str]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        scripted_model(tmp_path / "m", script=script)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("opens_turn", [True, False])
def test_chat_template_renders_every_role_and_tools(opens_turn: bool) -> None:
    from jinja2 import Environment

    config = model_files.tokenizer_config(model_files.Shape(), opens_turn=opens_turn)
    template = Environment().from_string(config["chat_template"])
    text = template.render(
        bos_token="<s>",
        tools=[{"name": "f"}],
        add_generation_prompt=True,
        messages=[
            {"role": "system", "content": "S"},
            {"role": "user", "content": "U"},
            {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]},
            {"role": "tool", "content": "Hello"},
        ],
    )
    assert text == (
        '<s><|system|>tools: [{"name": "f"}]\n<|system|>S\n<|user|>U\n'
        '<|assistant|>[{"name": "f"}]\n<|tool|>Hello' + ("\n<|assistant|>" if opens_turn else "")
    )
