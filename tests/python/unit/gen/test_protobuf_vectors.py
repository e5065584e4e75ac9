"""The vectors that Elixir's codec is tested with are what Python's protobuf says today."""

from __future__ import annotations

import shutil

import pytest

from tests.python.support import proto_vectors
from tests.python.support.proto_vectors import Vector


@pytest.mark.parametrize("vector", proto_vectors.vectors(), ids=lambda vector: vector.name)
def test_vector_names_one_meaning(vector: Vector) -> None:
    if vector.message is not None:
        assert vector.kind.FromString(vector.wire) == vector.message
    if vector.canonical:
        assert vector.message is not None
        assert vector.message.SerializeToString() == vector.wire


def test_vectors_have_different_names() -> None:
    names = [vector.name for vector in proto_vectors.vectors()]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.skipif(shutil.which("elixir") is None, reason="the file is formatted by elixir")
def test_committed_vectors_are_current() -> None:
    committed = proto_vectors.PATH.read_text(encoding="utf-8")

    assert committed == proto_vectors.text(), "run python -m tests.python.support.proto_vectors"
