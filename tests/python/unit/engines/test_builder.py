"""How engines are built; most of it is seen at real ones, in ``vllm/test_constructors.py``."""

from __future__ import annotations

import pytest

from python_worker.engines.builder import naming_libraries
from python_worker.exceptions import Unsupported


def test_a_library_that_an_engine_needs_is_named() -> None:
    message = "Qwen2VLVideoProcessor requires the Torchvision library"
    with pytest.raises(Unsupported, match=f"{message}.*\n.*mix vllm.setup"), naming_libraries():
        raise ImportError(f"\n{message}\n")
    with pytest.raises(ValueError, match="another"), naming_libraries():
        raise ValueError("another")
