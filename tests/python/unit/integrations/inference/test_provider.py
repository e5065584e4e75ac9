"""The interface that every provider has, and the checks that ours share."""

from __future__ import annotations

import math

import pytest

from python_worker import failures
from python_worker.exceptions import InvalidArgument, Kind
from python_worker.integrations.inference.provider import (
    Generation,
    Provider,
    RegisteredAdapters,
    UnsupportedOperationError,
    WorkerProvider,
)
from python_worker.integrations.inference.results import GenerationResult

METHODS = ("generate", "load_adapter", "unload_adapter", "list_adapters")


# Upstream: test_provider.py::test_concrete_subclass_missing_method_cannot_be_instantiated (U-88)
@pytest.mark.parametrize("missing", METHODS)
def test_a_class_without_one_of_the_methods_cannot_be_instantiated(missing: str) -> None:
    members = {name: getattr(Provider, name) for name in METHODS}
    for name in METHODS:
        if name != missing:
            members[name] = lambda self: None
    with pytest.raises(TypeError, match=missing):
        type("Half", (Provider,), members)()


def test_the_interface_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Provider()  # type: ignore[abstract]


class Echo(WorkerProvider):
    """Says what it was asked."""

    async def _generate(self, generation: Generation) -> GenerationResult:
        return GenerationResult(generation.joined_prompt, generation.model, None, 1, "stop")

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        raise UnsupportedOperationError("Echo has no adapters")

    async def unload_adapter(self, adapter_id: str) -> None:
        raise UnsupportedOperationError("Echo has no adapters")

    async def list_adapters(self) -> list[str]:
        return []

    async def close(self) -> None: ...


async def test_a_class_with_all_of_them_generates() -> None:
    assert (await Echo().generate("x", "m", system_prompt="s")).text == "s\n\nx"


# Upstream: test_provider.py::TestUnsupportedOperationError (U-90)
async def test_an_operation_that_a_provider_lacks_is_an_error_of_its_own_kind() -> None:
    with pytest.raises(UnsupportedOperationError, match="Echo has no adapters") as caught:
        await Echo().load_adapter("a", "/a")
    failure = failures.to_proto(caught.value)
    assert failures.kind_of(caught.value) == Kind.UNSUPPORTED
    assert failure.type.endswith(".UnsupportedOperationError")
    assert failure.message == "Echo has no adapters"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max_tokens", it) for it in (0, -1, 2**31, 2**63)],
        *[("temperature", it) for it in (-0.1, math.inf, math.nan)],
        *[("top_p", it) for it in (0.0, -1.0, 1.01, math.nan)],
        *[("repetition_penalty", it) for it in (0.0, -1.0, 1e300, math.inf, math.nan)],
    ],
)
async def test_a_number_out_of_its_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InvalidArgument, match=name) as caught:
        await Echo().generate("x", "m", **{name: value})  # type: ignore[arg-type]
    assert caught.value.details["parameter"] == name


def test_messages_have_the_system_prompt_first_unless_it_is_empty() -> None:
    user = {"role": "user", "content": "x"}
    assert Generation("x", "m").messages == [user]
    assert Generation("x", "m", system_prompt="").messages == [user]
    assert Generation("x", "m", system_prompt="s").messages == [
        {"role": "system", "content": "s"},
        user,
    ]


def test_only_the_overrides_that_were_given_are_passed_on() -> None:
    names = {"temperature": "t", "top_p": "p", "repetition_penalty": "r"}
    assert Generation("x", "m").overrides(names) == {}
    assert Generation("x", "m", temperature=0.0, repetition_penalty=1.5).overrides(names) == {
        "t": 0.0,
        "r": 1.5,
    }


def test_an_adapter_that_is_registered_again_is_another_one() -> None:
    adapters = RegisteredAdapters()
    adapters.register("b", "/b")
    adapters.register("a", "/a")
    assert adapters.ids() == ["a", "b"]
    before = adapters.find("a")
    adapters.register("a", "/a")
    assert adapters.find("a") != before
    adapters.forget("a")
    adapters.forget("a")
    with pytest.raises(InvalidArgument, match="no adapter 'a' is loaded; there are 'b'"):
        adapters.find("a")
    assert adapters.find(None) is None
    with pytest.raises(InvalidArgument, match="wants a name"):
        adapters.register("", "/x")
