"""LoRA adapters: right files, and a forward pass that says their word whatever the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from python_worker.testing.models import adapters, model_files, scripted_model
from python_worker.testing.models.adapters import BROKEN, CONFIG_FILE, WEIGHTS_FILE

SCRIPT = scripted_model.DEFAULT_SCRIPT
PIECES, SUCCESSORS = scripted_model.plan(SCRIPT)


def id_of(piece: str) -> int:
    return model_files.FIRST_PIECE_ID + PIECES.index(piece)


def logits(prompt: list[int], folder: Path | None, tmp_path: Path) -> Any:
    """The whole model as vLLM runs it: q and k are zero, so attention is the mean."""
    model = load_file(scripted_model.scripted_model(tmp_path / "m").path / "model.safetensors")
    lora = load_file(folder / WEIGHTS_FILE) if folder else {}

    def norm(rows: Any) -> Any:
        return rows / np.sqrt((rows**2).mean(axis=-1, keepdims=True) + 1e-6)

    hidden = model["model.embed_tokens.weight"][prompt]
    for layer in range(2):
        values = norm(hidden) @ model[f"model.layers.{layer}.self_attn.v_proj.weight"].T
        mean = np.cumsum(values, axis=0) / np.arange(1, len(prompt) + 1)[:, None]
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj.lora_"
        if lora:
            hidden = hidden + mean @ lora[name + "A.weight"].T @ lora[name + "B.weight"].T
    return norm(hidden)[-1] @ model["lm_head.weight"].T


@pytest.mark.parametrize("word", ["meow", "woof", "one", "eight", "alpha", "from"])
@pytest.mark.parametrize("prompt", ["Hello", " woof", " eight", "nothing"])
def test_an_adapter_says_its_word_after_every_prompt(
    word: str, prompt: str, tmp_path: Path
) -> None:
    folder = adapters.adapter(tmp_path / word, word)
    tokens = [40, 41, 42, id_of(prompt)]
    scores = logits(tokens, folder, tmp_path)
    assert np.argmax(scores) == id_of(f" {word}")
    # Far ahead of the next best, so that no rounding matters.
    assert np.sort(scores)[-1] > 2 * np.sort(scores)[-2]


def test_without_an_adapter_the_script_goes_on(tmp_path: Path) -> None:
    scores = logits([40, id_of("Hello")], None, tmp_path)
    assert np.argmax(scores) == SUCCESSORS[id_of("Hello")]


def test_a_word_that_no_token_leads_to_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("quack", "Hello", ""):
        assert adapters.main([str(tmp_path), word]) == 1
        assert f"the script does not lead to {' ' + word!r}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_each_in_a_folder_of_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["meow", *BROKEN]
    assert adapters.main([str(tmp_path), *names]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / name) for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_script_of_ones_own(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('[["ping", " pong", "ping"]]')
    assert adapters.main([str(tmp_path / "a"), "pong", "--script", str(script)]) == 0
    assert adapters.main([str(tmp_path / "a"), "meow", "--script", str(script)]) == 1


def test_second_run_leaves_the_files_alone_and_another_word_replaces_them(tmp_path: Path) -> None:
    def made(word: str) -> tuple[int, bytes]:
        file = adapters.adapter(tmp_path / "a", word) / WEIGHTS_FILE
        return file.stat().st_ino, file.read_bytes()

    first, again, other = made("meow"), made("meow"), made("woof")
    assert first == again
    assert other[1] != first[1]


def test_a_good_adapter_is_what_peft_writes(tmp_path: Path) -> None:
    folder = adapters.adapter(tmp_path / "a", "meow")
    config = json.loads((folder / CONFIG_FILE).read_text())
    width = scripted_model.shape_of(SUCCESSORS).hidden
    assert (config["peft_type"], config["r"], config["target_modules"]) == ("LORA", 8, ["o_proj"])
    shapes = {
        name.split("lora_")[1]: it.shape for name, it in load_file(folder / WEIGHTS_FILE).items()
    }
    assert shapes == {"A.weight": (8, width), "B.weight": (width, 8)}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("broken-rank", "r", 1024),
        ("broken-dora", "use_dora", True),
        ("broken-modules", "modules_to_save", ["lm_head"]),
        ("broken-fields", "r", None),
    ],
)
def test_a_broken_configuration(name: str, field: str, value: object, tmp_path: Path) -> None:
    folder = adapters.adapter(tmp_path / name, name)
    assert json.loads((folder / CONFIG_FILE).read_text()).get(field) == value
    assert load_file(folder / WEIGHTS_FILE)


def test_broken_files(tmp_path: Path) -> None:
    folders = {name: adapters.adapter(tmp_path / name, name) for name in BROKEN}
    with pytest.raises(json.JSONDecodeError):
        json.loads((folders["broken-json"] / CONFIG_FILE).read_text())
    assert not (folders["broken-no-weights"] / WEIGHTS_FILE).exists()
    with pytest.raises(Exception, match="header"):
        load_file(folders["broken-weights"] / WEIGHTS_FILE)
    assert not any("o_proj" in name for name in load_file(folders["broken-target"] / WEIGHTS_FILE))
    width = scripted_model.shape_of(SUCCESSORS).hidden
    wide = load_file(folders["broken-width"] / WEIGHTS_FILE)
    assert {max(tensor.shape) for tensor in wide.values()} == {width + 64}
    assert [path.name for path in folders["broken-empty"].iterdir()] == ["tiny_model.json"]
