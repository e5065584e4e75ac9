"""An engine whose loader reads nothing: it notes what it is asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.media.loading import Loader
from python_worker.engines.media.sources import Source
from python_worker.exceptions import InvalidArgument


class Renderer:
    """Stands for an engine's.

    Args:
        mm_processor: What it makes tensors of images with.
    """

    def __init__(self, mm_processor: Any) -> None:
        self.mm_processor = mm_processor


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine that takes two images and one video."""

    def load(_loader: Loader, source: Source) -> str:
        if source.value == b"broken":
            raise InvalidArgument(f"{source.path}: cannot be read")
        return f"read {source.value!r}"

    monkeypatch.setattr(Loader, "load", load)
    info = SimpleNamespace(
        supported_mm_limits={"image": None, "video": 1}, allowed_mm_limits={"image": 2, "video": 1}
    )

    return SimpleNamespace(
        model_config=SimpleNamespace(multimodal_config=SimpleNamespace(enable_mm_embeds=False)),
        renderer=Renderer(SimpleNamespace(info=info)),
    )
