"""What is committed under generated/ is what the generators make today.

The manifest itself is compared in the vllm lane: that needs vLLM.
"""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from python_worker.gen import __main__ as gen

needs_elixir = pytest.mark.skipif(
    shutil.which("elixir") is None, reason="generated Elixir is formatted by elixir"
)
needs_protoc = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="protoc is in grpcio-tools"
)


@needs_elixir
@needs_protoc
def test_protobuf_code_is_current() -> None:
    assert gen.main(["--check", "--only", "protobuf"]) == 0


@needs_elixir
def test_elixir_structs_are_current() -> None:
    assert gen.main(["--check", "--only", "elixir"]) == 0
