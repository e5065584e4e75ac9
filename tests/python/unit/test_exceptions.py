"""The worker's exceptions: their kinds, and the tree in the module's docstring."""

from __future__ import annotations

import re

import pytest

from python_worker import exceptions
from python_worker.exceptions import BridgeError, DecodeError, EncodeError, Kind
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

CLASSES = {
    name: value
    for name, value in vars(exceptions).items()
    if isinstance(value, type) and issubclass(value, Exception)
}

# "├── InvalidArgument   an argument is wrong   INVALID"
LINE = re.compile(r"^[ │├└─]*(\w+)(?: {2,}.* {2,}([A-Z_]+))?$", re.MULTILINE)


def test_kinds_are_those_of_the_protocol() -> None:
    numbers = {
        name.removeprefix("FAILURE_KIND_"): number for name, number in pb.FailureKind.items()
    }
    del numbers["UNSPECIFIED"]
    assert {kind.name: kind.value for kind in Kind} == numbers


def test_the_docstring_names_each_exception_with_its_kind() -> None:
    tree = (exceptions.__doc__ or "").split("::\n")[1]
    listed = {name: kind for name, kind in LINE.findall(tree) if name in CLASSES}
    assert listed.keys() == CLASSES.keys()
    kinds = {
        name: cls.kind.name
        for name, cls in CLASSES.items()
        if issubclass(cls, BridgeError) and cls is not BridgeError
    }
    assert {name: listed[name] for name in kinds} == kinds


def test_details_are_the_message_as_data() -> None:
    error = exceptions.InvalidArgument("n: wants int", parameter="n")
    assert str(error) == "n: wants int"
    assert error.details == {"parameter": "n"}


def test_an_encode_error_begins_with_the_path() -> None:
    error = EncodeError("value['x']", "a module cannot be sent")
    assert str(error) == "value['x']: a module cannot be sent"


@pytest.mark.parametrize("cls", [EncodeError, DecodeError])
def test_errors_of_the_codec_have_no_kind_of_their_own(cls: type) -> None:
    """`failures` gives them one by its table."""
    assert not issubclass(cls, BridgeError)
