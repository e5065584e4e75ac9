"""What a call may ask for in place of whole outputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.codec.part_encoder import Part
from python_worker.dispatch.call import Call
from python_worker.dispatch.invocation import Invocation
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import InvalidArgument
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

KIND = SimpleNamespace(name="DELTA")


def invocation(items: int, *, method: str = "generate", **params: Any) -> Invocation:
    sink: Any = None
    call = Call(pb.CallRequest(items=items), sink, holder="a client")  # type: ignore[arg-type]
    served = ServedClass(name="AsyncLLM", outputs=frozenset({"generate"}))
    args = ["a prompt", SimpleNamespace(output_kind=KIND, **params)]
    return Invocation(call, method, None, served, None, args)


@pytest.mark.parametrize(
    ("items", "part"),
    [(pb.ITEMS_UNSPECIFIED, None), (pb.ITEMS_TEXT, "text"), (pb.ITEMS_TOKEN_IDS, "token_ids")],
)
def test_the_part_that_is_asked_for(items: int, part: Part | None) -> None:
    it = invocation(items, n=1, detokenize=True, logprobs=None)
    it.check_items()
    assert it.part == part


REFUSED: dict[str, dict[str, Any]] = {
    "encode() streams no outputs": {"method": "encode"},
    "n is 2": {"n": 2},
    "logprobs": {"logprobs": 0},
    "prompt_logprobs": {"prompt_logprobs": 1},
    "detokenize is false": {"detokenize": False},
}


@pytest.mark.parametrize("params", REFUSED.values(), ids=REFUSED)
def test_what_has_more_than_its_texts(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^items: ") as caught:
        invocation(pb.ITEMS_TEXT, **params).check_items()
    assert caught.value.details == {"parameter": "items"}
    invocation(pb.ITEMS_UNSPECIFIED, **params).check_items()


def test_token_ids_need_no_text() -> None:
    invocation(pb.ITEMS_TOKEN_IDS, detokenize=False).check_items()
