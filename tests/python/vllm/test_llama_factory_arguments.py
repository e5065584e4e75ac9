"""LLaMA-Factory's arguments, and what it makes of them for an engine. No engine is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from python_worker import failures
from python_worker.exceptions import Kind
from python_worker.integrations.llama_factory.factory import LlamaFactory
from python_worker.integrations.llama_factory.hosting import library
from python_worker.integrations.llama_factory.options import GenerationOptions
from python_worker.integrations.llama_factory.vllm_engine import VllmEngine
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.llama_factory import engine


async def resolved(folder: Path, **arguments: Any) -> dict[str, Any]:
    return await LlamaFactory().resolve_args({"model_name_or_path": str(folder), **arguments})


def configured(model: ScriptedModel, folder: Path, **fields: object) -> Path:
    """A copy of the model with another configuration."""
    copied = folder / "model"
    shutil.copytree(model.path, copied)
    config = json.loads((copied / "config.json").read_text()) | fields
    (copied / "config.json").write_text(json.dumps(config))
    return copied


async def test_an_engine_has_the_defaults_of_llama_factory(model: ScriptedModel) -> None:
    """L-01."""
    assert await resolved(model.path) == {
        "model": str(model.path),
        "trust_remote_code": False,
        "download_dir": None,
        "dtype": "auto",
        "max_model_len": 4096,
        "tensor_parallel_size": 1,
        "gpu_memory_utilization": 0.7,
        "disable_log_stats": True,
        "enforce_eager": False,
        "enable_lora": False,
        "max_lora_rank": 32,
        "enable_log_requests": False,
    }


@pytest.mark.parametrize("config", [{"max_num_seqs": 3}, '{"max_num_seqs": 3}'])
async def test_the_configuration_of_vllm_goes_first(model: ScriptedModel, config: Any) -> None:
    """L-01."""
    found = await resolved(model.path, vllm_maxlen=512, vllm_config=config)
    assert (found["max_num_seqs"], found["max_model_len"]) == (3, 512)


async def test_the_four_maps_are_one_in_parts(model: ScriptedModel) -> None:
    path = str(model.path)
    found = await LlamaFactory().resolve_engine_args(
        {"model_name_or_path": path, "vllm_maxlen": 512},
        {"template": "qwen"},
        {"stage": "sft"},
        {"temperature": 0.5},
    )
    assert found == await resolved(model.path, vllm_maxlen=512)


@pytest.mark.parametrize(
    ("method", "dtype", "becomes"),
    [("gptq", "auto", "float16"), ("gptq", "bfloat16", "bfloat16"), ("awq", "auto", "auto")],
)
async def test_only_gptq_without_a_dtype_becomes_float16(
    model: ScriptedModel, tmp_path: Path, method: str, dtype: str, becomes: str
) -> None:
    """L-03."""
    folder = configured(model, tmp_path, quantization_config={"quant_method": method, "bits": 4})
    assert (await resolved(folder, infer_dtype=dtype))["dtype"] == becomes


async def test_a_template_with_media_limits_them(model: ScriptedModel) -> None:
    """L-11."""
    found = await resolved(model.path, template="qwen2_vl")
    assert found["limit_mm_per_prompt"] == {"image": 4, "video": 2, "audio": 2}


async def test_a_model_derived_from_yi_vl_is_told_of(model: ScriptedModel, tmp_path: Path) -> None:
    """L-12. Its projector is in ``test_media_llama_factory.py``."""
    folder = configured(model, tmp_path, is_yi_vl_derived_model=True)
    with library().notes() as notes:
        engine(folder)
    assert any("Detected Yi-VL model, applying projector patch" in note for note in notes)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"stage": "dpo"}, Kind.INVALID, "only supports auto-regressive models"),
        ({"quantization_bit": 4}, Kind.INVALID, "does not support bnb quantization"),
        ({"rope_scaling": "linear"}, Kind.INVALID, "does not support RoPE scaling"),
        ({"adapter_name_or_path": "a,b"}, Kind.INVALID, "Merge them first"),
        (
            {"adapter_name_or_path": "a", "finetuning_type": "full"},
            Kind.INVALID,
            "only valid for the LoRA method",
        ),
        ({"image_max_pixels": 1}, Kind.INVALID, "cannot be smaller than `image_min_pixels`"),
        ({"video_max_pixels": 1}, Kind.INVALID, "cannot be smaller than `video_min_pixels`"),
        ({"template": "nope"}, Kind.INVALID, "Template nope does not exist"),
        ({"infer_backend": "huggingface"}, Kind.UNSUPPORTED, "TransformersProvider"),
        ({"infer_backend": "sglang"}, Kind.UNSUPPORTED, "leave infer_backend out"),
        ({"infer_backend": "foo"}, Kind.UNSUPPORTED, "the back end 'vllm' only"),
        ({"infer_backend": 5}, Kind.UNSUPPORTED, "the back end 'vllm' only"),
        ({"model_name_or_path": "/nowhere"}, Kind.NOT_FOUND, "model_name_or_path"),
        ({"model_name_or_path": None}, Kind.INVALID, "Please provide"),
        ({"use_kt": True}, Kind.UNSUPPORTED, "kt-kernel"),
        ({"vllm_maxlen": "x"}, Kind.INVALID, "vllm_maxlen: wants int"),
        ({"vllm_config": "x"}, Kind.INVALID, "vllm_config: is no JSON"),
        ({"vllm_config": "[1]"}, Kind.INVALID, "vllm_config: wants a map"),
        ({"vllm_config": "[" * 100_000}, Kind.INVALID, "vllm_config: is no JSON"),
        ({"tool_format": "nope"}, Kind.INVALID, "nope"),
        ({"bogus": 1}, Kind.INVALID, "no argument 'bogus'"),
    ],
)
async def test_arguments_that_are_wrong_are_refused(
    model: ScriptedModel, arguments: dict[str, Any], kind: Kind, message: str
) -> None:
    """L-02, L-05 and L-21."""
    with pytest.raises(Exception, match=message) as raised:
        await resolved(model.path, **arguments)
    assert failures.kind_of(raised.value) == kind


async def test_a_field_of_another_map_is_refused(model: ScriptedModel) -> None:
    with pytest.raises(Exception, match="ModelArguments has no field 'template'"):
        await LlamaFactory().resolve_engine_args(
            {"model_name_or_path": str(model.path), "template": "qwen"}
        )


@pytest.mark.parametrize("given", [None, 5, "engine", {}, object()])
async def test_what_is_no_engine_is_refused(model: ScriptedModel, given: object) -> None:
    with pytest.raises(Exception, match="engine: wants the reference of an AsyncLLM"):
        await LlamaFactory().new_engine({"model_name_or_path": str(model.path)}, engine=given)


# --- Sampling parameters


@pytest.fixture(scope="module")
def hosted(model: ScriptedModel) -> VllmEngine:
    return engine(model.path, infer_dtype="float32")


DEFAULTS: dict[str, Any] = {
    "n": 1,
    "temperature": 0.95,
    "top_p": 0.7,
    "top_k": 50,
    "repetition_penalty": 1.0,
    "max_tokens": 1024,
    "stop": None,
    "stop_token_ids": [2],
    "skip_special_tokens": True,
}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, {}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.0}, {"top_p": 1.0}),
        ({"top_k": 0}, {"top_k": -1}),
        ({"repetition_penalty": 0.0}, {"repetition_penalty": 1.0}),
        ({"num_return_sequences": 3}, {"n": 3}),
        ({"stop": ["END"]}, {"stop": ["END"]}),
        ({"skip_special_tokens": False}, {"skip_special_tokens": False}),
        ({"seed": 7}, {"seed": 7}),
        ({"do_sample": False, "num_beams": 4, "length_penalty": 2.0}, {}),
        ({"max_new_tokens": 5}, {"max_tokens": 5}),
        ({"max_length": 30}, {"max_tokens": 20}),
        ({"max_length": 10}, {"max_tokens": 1}),
        ({"max_length": 30, "max_new_tokens": 5}, {"max_tokens": 5}),
        ({"max_length": 0, "max_new_tokens": 0}, {}),
    ],
)
async def test_the_parameters_of_a_request(
    hosted: VllmEngine, options: dict[str, Any], changed: dict[str, Any]
) -> None:
    """L-13: ten tokens of prompt."""
    found = await hosted.sampling_params(10, GenerationOptions(**options))
    assert found == DEFAULTS | changed


@pytest.mark.parametrize(("prompt_length", "limit"), [(10, 90), (99, 1), (100, 1), (200, 1)])
async def test_without_a_limit_of_new_tokens_the_whole_length_counts(
    model: ScriptedModel, prompt_length: int, limit: int
) -> None:
    """L-13."""
    short = engine(model.path, max_new_tokens=-1, max_length=100)
    assert (await short.sampling_params(prompt_length))["max_tokens"] == limit


async def test_options_without_effect_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    GenerationOptions(do_sample=False, length_penalty=2.0).warn()
    assert "do_sample has no effect" in caplog.text
    assert "length_penalty has no effect" in caplog.text


async def test_it_says_what_it_was_made_from(hosted: VllmEngine) -> None:
    """L-04, L-05 and L-17."""
    assert await hosted.can_generate()
    assert (await hosted.engine_args())["dtype"] == "float32"
    assert await hosted.stop_token_ids() == [2]
    template = await hosted.template()
    assert template["mm_plugin"] == "BasePlugin"
    assert "{{content}}" in "".join(map(str, template["format_user"]["slots"]))
