"""A real model of Transformers with real adapters of PEFT, in the test's own thread."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference import transformers_model
from python_worker.integrations.inference.provider import (
    Adapter,
    Generation,
    ModelNotFound,
    ProviderFailed,
)
from python_worker.integrations.inference.transformers_model import (
    AdapterFailed,
    Sampling,
    Text,
    TransformersModel,
)
from python_worker.testing.models.adapters import BROKEN
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.gguf import Files
from tests.python.support.inference import assert_overrides

GREEDY = Sampling(0.0, 1.0, 1.0)
HELLO = " from a scripted Llama, token by token"

# vLLM wants what PEFT can do without: a rank in the configuration has a default.
GOOD_FOR_PEFT = {"broken-fields"}


@pytest.fixture(scope="module")
def loaded(model: ScriptedModel) -> TransformersModel:
    return TransformersModel(str(model.path), "cpu", "auto")


@pytest.fixture
def transformers(loaded: TransformersModel) -> TransformersModel:
    """The model; no adapter is left of the test before."""
    loaded.keep_only([])
    return loaded


def said(
    transformers: TransformersModel,
    adapter: Adapter | None = None,
    prompt: str = "Hello",
    max_tokens: int = 4096,
    defaults: Sampling = GREEDY,
) -> Text:
    return transformers.generate(Generation(prompt, "m", None, max_tokens), adapter, defaults)


def test_a_text_is_the_scripts(transformers: TransformersModel) -> None:
    text = said(transformers)
    assert (text.text, text.finish_reason) == (HELLO, "stop")
    limited = said(transformers, max_tokens=3)
    assert (limited.text, limited.finish_reason) == (" from a scripted", "length")
    assert text.token_count - limited.token_count == 5  # the end of the text is a token


def test_the_system_prompt_is_part_of_the_users_message(transformers: TransformersModel) -> None:
    inputs = transformers._inputs(Generation("Hello", "m", system_prompt="Be brief."))
    prompt = transformers._tokenizer.decode(inputs["input_ids"][0])
    assert "Be brief.\n\nHello" in prompt
    assert "<|system|>" not in prompt


def test_without_a_template_the_prompt_is_the_text(
    transformers: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers._tokenizer, "chat_template", None)
    inputs = transformers._inputs(Generation("Hello", "m", system_prompt="count"))
    assert transformers._tokenizer.decode(inputs["input_ids"][0]).endswith("count\n\nHello")


async def test_the_overrides_are_honoured(transformers: TransformersModel) -> None:
    async def text(**given: Any) -> str:
        return transformers.generate(Generation("count", "m", None, 20, **given), None, GREEDY).text

    await assert_overrides(text)


async def test_the_defaults_are_those_of_the_environment(transformers: TransformersModel) -> None:
    async def text(**defaults: Any) -> str:
        values = {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, **defaults}
        generation = Generation("count", "m", None, 20)
        return transformers.generate(generation, None, Sampling(**values)).text

    await assert_overrides(text)


def test_a_long_prompt_is_cut_at_its_end(
    transformers: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_model, "MAX_PROMPT_TOKENS", 3)
    monkeypatch.setattr(transformers._tokenizer, "chat_template", None)
    inputs = transformers._inputs(Generation("Hello from a scripted Llama", "m"))
    assert transformers._tokenizer.decode(inputs["input_ids"][0]) == "Hello from a"


def test_off_a_cpu_the_dtype_is_what_fits_the_memory(
    transformers: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    import transformers as library

    monkeypatch.setattr(transformers, "_device", torch.device("meta"))
    count = sum(it.numel() for it in transformers._base.parameters())
    for memory, dtype in ((10 * count, "float32"), (3 * count, "bfloat16")):
        monkeypatch.setattr(transformers_model, "free_memory", lambda *_, it=memory: it)
        config = transformers._base.config
        assert transformers._dtype(library, config, "auto") == dtype
        assert transformers._dtype(library, config, "float16") == "float16"


@pytest.mark.parametrize(
    ("cuda", "mps", "device", "memory"),
    [(True, True, "cuda", 5), (False, True, "mps", 7), (False, False, "cpu", None)],
)
def test_the_best_device_and_its_memory(
    cuda: bool, mps: bool, device: str, memory: int | None
) -> None:
    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: cuda, mem_get_info=lambda _device: (5, 10)),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        mps=SimpleNamespace(recommended_max_memory=lambda: 7),
    )
    assert transformers_model.best_device(torch) == device
    if memory is not None:
        assert transformers_model.free_memory(torch, SimpleNamespace(type=device)) == memory


# Upstream: test_transformers_provider.py::test_first_adapter_creates_peft_wrapper (U-113),
# test_second_adapter_reuses_wrapper (U-114), test_deactivate_disables_layers_keeps_wrapper (U-115),
# test_unload_calls_delete_adapter (U-116), test_unload_last_adapter_reverts_to_base (U-117),
# test_full_lifecycle_no_accumulation (U-118)
def test_adapters_share_one_wrapper_that_goes_with_the_last_of_them(
    transformers: TransformersModel, gguf: Files
) -> None:
    meow, woof = Adapter(gguf.peft("meow"), 1), Adapter(gguf.peft("woof"), 2)
    for _ in range(3):
        assert said(transformers).text == HELLO
        assert transformers._wrapper is None
        assert said(transformers, meow, max_tokens=2).text == " meow meow"
        wrapper = transformers._wrapper
        assert transformers.wrapped_adapters == ["adapter_1"]
        assert said(transformers, woof, max_tokens=2).text == " woof woof"
        assert transformers._wrapper is wrapper
        assert transformers.wrapped_adapters == ["adapter_1", "adapter_2"]
        assert said(transformers).text == HELLO
        assert transformers._wrapper is wrapper
        transformers.keep_only([woof])
        assert transformers.wrapped_adapters == ["adapter_2"]
        assert said(transformers, woof, max_tokens=2).text == " woof woof"
        transformers.keep_only([])
        assert (transformers.wrapped_adapters, transformers._wrapper) == ([], None)
    names = [name for name, _ in transformers._base.named_modules() if "lora" in name]
    assert names == []


@pytest.mark.parametrize("name", sorted(set(BROKEN) - GOOD_FOR_PEFT))
def test_a_broken_adapter_says_what_is_wrong_with_it(
    name: str, gguf: Files, model: ScriptedModel
) -> None:
    transformers = TransformersModel(str(model.path), "cpu", "auto")
    # PEFT warns of some, and goes on; the test's warnings are errors.
    with pytest.raises(AdapterFailed, match=name):
        said(transformers, Adapter(gguf.peft(name), 1), max_tokens=1)


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
@pytest.mark.parametrize("name", ["broken-half", "broken-prefix", "broken-target"])
def test_an_adapter_of_which_peft_only_warns_is_an_error(
    name: str, gguf: Files, model: ScriptedModel
) -> None:
    transformers = TransformersModel(str(model.path), "cpu", "auto")
    with pytest.raises(AdapterFailed, match="weights are missing"):
        said(transformers, Adapter(gguf.peft(name), 1), max_tokens=1)


def test_an_adapter_is_looked_for_on_this_machine_alone(transformers: TransformersModel) -> None:
    with pytest.raises(ModelNotFound, match="no folder of an adapter"):
        said(transformers, Adapter("somebody/their-adapter", 1))


@pytest.mark.parametrize("name", ["/no/such/folder", "nobody/no-model", "a b"])
def test_a_model_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(ModelNotFound, match="model_name"):
        TransformersModel(name, "cpu", "auto")


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "none of them"}')
    with pytest.raises(InvalidArgument, match=r"model_name: .* cannot be loaded"):
        TransformersModel(str(tmp_path), "cpu", "auto")


def test_a_device_that_is_not_there_is_an_error(model: ScriptedModel) -> None:
    with pytest.raises(InvalidArgument, match="device"):
        TransformersModel(str(model.path), "the moon", "auto")
    with pytest.raises(ProviderFailed, match="cannot be moved to cuda:7"):
        TransformersModel(str(model.path), "cuda:7", "float32")


def test_a_prompt_that_does_not_fit_is_refused(transformers: TransformersModel) -> None:
    with pytest.raises(InvalidArgument, match=r"prompt: has .* tokens, and the model takes"):
        said(transformers, prompt="Hello" * 9000)
    assert said(transformers).text == HELLO
