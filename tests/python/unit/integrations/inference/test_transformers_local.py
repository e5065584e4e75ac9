"""A provider's own thread, and what it does there; ``vllm/test_transformers_model.py`` is real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Collection

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.provider import Adapter, Generation
from python_worker.integrations.inference.results import GenerationResult
from python_worker.integrations.inference.transformers_local import (
    TransformersProvider,
    defaults_now,
)
from python_worker.integrations.inference.transformers_model import (
    AdapterFailed,
    Sampling,
    Text,
    TransformersModel,
)
from python_worker.offline.llm_thread import stop_asked


class Model(TransformersModel):
    """Says which adapter it used; a prompt may make it wait or fail."""

    made = 0

    def __init__(self, name: str, device: str | None, torch_dtype: str) -> None:
        type(self).made += 1
        self.thread = threading.get_ident()
        self.kept: list[set[str]] = []
        self.begun = threading.Event()
        self.stopped = threading.Event()

    def generate(self, generation: Generation, adapter: Adapter | None, defaults: Sampling) -> Text:
        assert threading.get_ident() == self.thread
        if adapter is not None and "broken" in adapter.path:
            raise AdapterFailed("broken")
        if generation.prompt == "endless":
            self.begun.set()
            while not stop_asked():
                threading.Event().wait(0.001)
            self.stopped.set()
        return Text(adapter.path if adapter else "base", 7, "stop")

    def keep_only(self, adapters: Collection[Adapter]) -> None:
        assert threading.get_ident() == self.thread
        self.kept.append({adapter.path for adapter in adapters})


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TransformersProvider]:
    monkeypatch.setattr(Model, "made", 0)
    provider = TransformersProvider("a/name", load=Model)
    yield provider
    await provider.close()


def loaded(provider: TransformersProvider) -> Model:
    assert isinstance(provider._model, Model)
    return provider._model


async def test_the_model_is_loaded_once_at_the_first_text(provider: TransformersProvider) -> None:
    await provider.load_adapter("a", "/a")
    assert Model.made == 0
    assert await provider.generate("x", "ignored") == GenerationResult(
        "base", "a/name", None, 7, "stop"
    )
    assert (await provider.generate("x", "m", "a")).adapter_id == "a"
    assert Model.made == 1
    assert loaded(provider).thread != threading.get_ident()


async def test_what_an_id_no_longer_stands_for_is_taken_out_of_the_model(
    provider: TransformersProvider,
) -> None:
    await provider.load_adapter("a", "/first")
    assert (await provider.generate("x", "m", "a")).text == "/first"
    await provider.load_adapter("a", "/second")
    assert (await provider.generate("x", "m", "a")).text == "/second"
    await provider.unload_adapter("a")
    await provider.unload_adapter("never loaded")
    assert loaded(provider).kept == [{"/second"}, set(), set()]
    assert await provider.list_adapters() == []
    with pytest.raises(InvalidArgument, match="no adapter 'a' is loaded"):
        await provider.generate("x", "m", "a")


async def test_after_an_adapter_that_failed_the_model_is_loaded_anew(
    provider: TransformersProvider,
) -> None:
    await provider.load_adapter("a", "/broken")
    with pytest.raises(AdapterFailed):
        await provider.generate("x", "m", "a")
    assert (await provider.generate("x", "m")).text == "base"
    assert Model.made == 2


async def test_a_cancelled_text_ends_in_the_thread(provider: TransformersProvider) -> None:
    await provider.generate("x", "m")
    model = loaded(provider)
    text = asyncio.ensure_future(provider.generate("endless", "m"))
    waiting = asyncio.ensure_future(provider.generate("x", "m"))
    await asyncio.to_thread(model.begun.wait)
    assert not waiting.done()
    text.cancel()
    with pytest.raises(asyncio.CancelledError):
        await text
    await asyncio.to_thread(model.stopped.wait)
    assert (await waiting).text == "base"


async def test_a_model_without_a_name_is_an_error_of_the_text() -> None:
    provider = TransformersProvider.new()
    with pytest.raises(InvalidArgument, match="TRANSFORMERS_MODEL_NAME"):
        await provider.generate("x", "m")
    await provider.close()


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="torch_dtype: wants one of auto"):
        TransformersProvider.new("x", torch_dtype="int4")


def test_the_defaults_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEMPERATURE", "TOP_P", "REPETITION_PENALTY"):
        monkeypatch.delenv(f"RUNE_{name}", raising=False)
    assert defaults_now() == Sampling(0.25, 0.9, 1.04)
    monkeypatch.setenv("RUNE_TEMPERATURE", "0")
    monkeypatch.setenv("RUNE_TOP_P", "0.5")
    assert defaults_now() == Sampling(0.0, 0.5, 1.04)


@pytest.mark.parametrize(
    ("name", "value"), [("TEMPERATURE", "hot"), ("TOP_P", "2"), ("REPETITION_PENALTY", "nan")]
)
def test_a_default_that_is_no_number_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"RUNE_{name}", value)
    with pytest.raises(InvalidArgument, match=name.lower() if value != "hot" else name):
        defaults_now()
