"""The conformance vectors that both languages read."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker import codec
from tests.python.support.codec_values import VECTORS, same, vectors
from tests.vectors import make


@pytest.mark.parametrize("name", list(make.FILES))
def test_the_vectors_are_what_the_script_makes(name: str) -> None:
    assert (VECTORS / name).read_text() == make.text(name), "run python -m tests.vectors.make"


@pytest.mark.parametrize("entry", vectors("values.json"))
def test_vector(entry: dict[str, Any]) -> None:
    if entry["way"] != "to_python":
        assert make.encode(make.build(entry["value"])).hex() == entry["hex"]
    if entry["way"] != "to_elixir":
        decoded = codec.decode(
            bytes.fromhex(entry["hex"]),
            resolve=lambda incarnation, identity: make.Opaque(incarnation, identity, "T"),
        )
        assert same(decoded, make.build(entry["value"]))
