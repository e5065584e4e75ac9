"""The text of an output is what was generated, wherever the ids of its prompt end.

vLLM's own detokenizers, with tokenizers of each kind of decoder, and no engine. The oracle decodes
all ids at once.
"""

from __future__ import annotations

import random
from os.path import commonprefix
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast
from vllm.sampling_params import SamplingParams
from vllm.tokenizers import get_tokenizer
from vllm.v1.engine import EngineCoreRequest, detokenizer
from vllm.v1.engine.output_processor import StreamingUpdate

from python_worker.engines.guards import vllm_parts
from python_worker.testing.models.scripted_model import EOS_ID, ScriptedModel
from tests.python.support.engine_outputs import BothWays

OPEN = "\ufffd"
TEXTS = [
    *("the secret prompt \u00e9", "\u6771\u4eac", "a\U0001f44b", "plain"),
    *("\ufffd", "x\ufffd", ""),
]

FAST, SLOW = detokenizer.FastIncrementalDetokenizer, detokenizer.SlowIncrementalDetokenizer
BOTH = pytest.mark.parametrize("cls", [FAST, SLOW], ids=["fast", "slow"])


@pytest.fixture(scope="module")
def byte_level(model: ScriptedModel) -> Any:
    """A token for each byte, and pieces."""
    return get_tokenizer(str(model.path))


@pytest.fixture(scope="module")
def byte_fallback() -> Any:
    """Llama's way: pieces with a mark for the space, and bytes that are decoded together."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += ["\u2581", "\u2581the", "\u2581secret", "a", "b", "x", "\u00e9", "\u6771"]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names[:3]])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


def begin(tokenizer: Any, cls: Any, prompt: list[int], **params: Any) -> tuple[Any, Any]:
    """A detokenizer as a guarded engine has it, and what looks at prompts."""
    request: Any = EngineCoreRequest(
        "r", list(prompt), None, SamplingParams(**params), None, 0.0, None, None, None
    )
    made = cls(tokenizer, request)
    ends = vllm_parts.prompt_ends()
    state: Any = SimpleNamespace(detokenizer=made)
    ends.begin(request, state)
    return made, ends


def feed(made: Any, output: list[int]) -> list[str]:
    """The pieces of text that a client gets, the last of which is the end."""
    pieces = []
    for place, token in enumerate(output):
        made.update([token], False)
        pieces.append(made.get_next_output_text(place == len(output) - 1, True))
    return pieces


def expected(tokenizer: Any, prompt: list[int], output: list[int], **params: Any) -> str:
    """What the output adds to the text of the prompt, without a character that is not whole."""
    skip = params.get("skip_special_tokens", True)
    before = tokenizer.decode(prompt, skip_special_tokens=skip)
    for count in range(len(output), 0, -1):
        text = tokenizer.decode(prompt + output[:count], skip_special_tokens=skip)
        if not text.endswith(OPEN):
            return str(text[len(commonprefix([before, text])) :])  # noqa: RUF071 - no paths
    return ""


def ids_of(model: ScriptedModel, data: bytes) -> list[int]:
    return [model.encode("a")[0] - ord("a") + byte for byte in data]


@BOTH
@pytest.mark.parametrize(
    ("prompt", "output", "text"),
    [
        ("the secret prompt \u00e9".encode()[:-1], b"\xa9xyz", "\u00e9xyz"),
        ("the secret prompt \u00e9".encode()[:-1], b"xyz", "xyz"),
        ("the secret prompt \u6771".encode()[:-2], b"\x9d\xb1!", "\u6771!"),
        ("the secret prompt \U0001f44b".encode()[:-3], b"\x9f\x91\x8b!", "\U0001f44b!"),
        ("the secret prompt \U0001f44b".encode()[:-1], b"\xc3\xa9!", "\u00e9!"),
        ("the secret prompt \ufffd".encode(), b"xyz", "xyz"),
        ("the secret prompt \ufffd".encode(), "\u00e9".encode(), "\u00e9"),
        (b"the secret prompt", b"xyz", "xyz"),
        (b"\xe9", b"xyz", "xyz"),
    ],
)
def test_a_prompt_that_ends_inside_a_character(
    cls: Any, prompt: bytes, output: bytes, text: str, model: ScriptedModel, byte_level: Any
) -> None:
    given = ids_of(model, prompt), ids_of(model, output)
    pieces = feed(begin(byte_level, cls, given[0])[0], given[1])
    assert "".join(pieces) == text == expected(byte_level, *given)


def cut(random: random.Random, text: str) -> bytes:
    data = text.encode()
    return data[random.randrange(len(data) + 1) :] + data[: random.randrange(len(data) + 1)]


@BOTH
@settings(max_examples=400)
@given(seed=st.integers(0, 2**32), skip=st.booleans())
def test_any_prompt_and_any_output(
    cls: Any, seed: int, skip: bool, model: ScriptedModel, byte_level: Any
) -> None:
    """Cut at any byte, with special tokens anywhere."""
    choose = random.Random(seed)

    def ids() -> list[int]:
        tokens = ids_of(model, b"".join(cut(choose, choose.choice(TEXTS)) for _ in range(3)))
        if choose.random() < 0.3:
            tokens.insert(choose.randrange(len(tokens) + 1), EOS_ID)
        return tokens

    prompt, output = ids() or [EOS_ID], ids()
    made, _ = begin(byte_level, cls, prompt, skip_special_tokens=skip)
    pieces = feed(made, output)
    assert "".join(pieces) == made.output_text
    # Where the prompt is whole, the text is vLLM's; that is not always what decoding at once gives.
    if byte_level.decode(prompt, skip_special_tokens=skip).endswith(OPEN):
        whole = expected(byte_level, prompt, output, skip_special_tokens=skip)
        assert whole.startswith(made.output_text)
        assert whole == made.output_text or OPEN in whole


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32))
def test_bytes_that_are_decoded_together(seed: int, byte_fallback: Any) -> None:
    choose = random.Random(seed)
    first = byte_fallback.convert_tokens_to_ids("<0x00>")

    def ids() -> list[int]:
        found: list[int] = []
        for _ in range(choose.randrange(1, 5)):
            if choose.random() < 0.4:
                found.append(choose.randrange(first + 256, len(byte_fallback)))
            else:
                found += [first + byte for byte in cut(choose, choose.choice(TEXTS))]
        return found

    prompt, output = ids(), ids()
    if not byte_fallback.decode(prompt).endswith(OPEN):
        return
    made, _ = begin(byte_fallback, FAST, prompt)
    assert "".join(feed(made, output)) == made.output_text
    first_text = next(
        (text for text in (expected(byte_fallback, prompt, output[:n]) for n in range(99)) if text),
        "",
    )
    assert made.output_text.startswith(first_text)


@BOTH
@pytest.mark.parametrize("include", [False, True])
def test_a_stop_string_is_found_in_the_output_alone(
    cls: Any, include: bool, model: ScriptedModel, byte_level: Any
) -> None:
    prompt = ids_of(model, "the secret prompt \u00e9".encode()[:-1])
    made, _ = begin(
        byte_level, cls, prompt, stop=["secret", "\u00e9y"], include_stop_str_in_output=include
    )
    assert [made.update([token], False) for token in ids_of(model, b"\xa9xsecret")] == [
        *[None] * 7,
        "secret",
    ]
    assert made.output_text == ("\u00e9xsecret" if include else "\u00e9x")
    made, _ = begin(byte_level, cls, prompt, stop=["\u00e9y"])
    assert [made.update([token], False) for token in ids_of(model, b"\xa9y")] == [None, "\u00e9y"]


@BOTH
def test_later_elements_of_a_streamed_prompt(
    cls: Any, model: ScriptedModel, byte_level: Any
) -> None:
    request: Any = EngineCoreRequest(
        "r", ids_of(model, b"one"), None, SamplingParams(), None, 0.0, None, None, None
    )
    request.resumable = True
    state: Any = State(cls(byte_level, request))
    ends = vllm_parts.prompt_ends()
    ends.begin(request, state)
    ends.begin(request, state)  # the next element is sent before it is begun
    feed(state.detokenizer, ids_of(model, b"two"))
    state.apply_streaming_update(
        StreamingUpdate(None, ids_of(model, b"secret \xc3"), 0.0, final=False)
    )
    feed(state.detokenizer, ids_of(model, b"\xa9!"))
    assert state.applied == 1
    assert state.detokenizer.output_text == "two\u00e9!"
    state.apply_streaming_update(StreamingUpdate(None, ids_of(model, b"whole"), 0.0, final=True))
    feed(state.detokenizer, ids_of(model, b"?"))
    assert state.detokenizer.output_text == "two\u00e9!?"


class State:
    """A RequestState of a streamed prompt."""

    def __init__(self, made: Any) -> None:
        self.detokenizer = made
        self.applied = 0

    def apply_streaming_update(self, update: Any) -> None:
        self.applied += 1


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", ["DELTA", "CUMULATIVE", "FINAL_ONLY"])
async def test_it_holds_on_the_token_path(
    kind: str, n: int, model: ScriptedModel, byte_level: Any
) -> None:
    prompt = ids_of(model, "the secret prompt \u6771".encode()[:-1])
    both = BothWays(byte_level, kind=kind, n=n, prompt=prompt)
    ends = vllm_parts.prompt_ends()
    for side in (both.vllm, both.ours):
        for state in side.states.values():
            ends.begin(side.request, state)
    await both.equal_turns(ids_of(model, "\u6771\u4eac x y z".encode()[2:]))
    for step in both.each(*ids_of(model, b"."), finish="LENGTH"):
        await both.equal_turn(step)
    both.check_ended()
    completion = both.merged(both.received)["outputs"][0]
    assert completion["text"] == "\u6771\u4eac x y z."
    if kind != "FINAL_ONLY":
        assert both.ours.made.total() < both.vllm.made.total()


def test_whole_prompts_are_left_to_vllm(model: ScriptedModel, byte_level: Any) -> None:
    for text in ("plain", "\u00e9", "\u6771\u4eac"):
        made, _ = begin(byte_level, FAST, ids_of(model, text.encode()))
        assert type(made.stream).__name__ == "DecodeStream"
        made, _ = begin(byte_level, SLOW, ids_of(model, text.encode()))
        assert "decode_next" not in vars(made)


def test_without_text_there_is_nothing_to_do(model: ScriptedModel) -> None:
    made, ends = begin(None, lambda *_: detokenizer.IncrementalDetokenizer(), [5])
    assert feed(made, [6, 7]) == ["", ""]
    ends.begin(SimpleNamespace(prompt_token_ids=None, resumable=False), SimpleNamespace())
    ends.begin(SimpleNamespace(prompt_token_ids=[5], resumable=False), None)
