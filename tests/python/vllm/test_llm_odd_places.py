"""No value at any parameter of an ``LLM`` ends it, or leaves a step waiting for ever.

As ``test_signatures_properties.py`` does it for ``AsyncLLM``, whose checks of arguments these are
too. So each place gets some of the values, other ones than the place before; what only an ``LLM``
has gets all. After each method the next batch must be whole and exact, and a value that was let in
must have an end.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.python.support.client import Client, Failed, sampling
from tests.python.support.llm_places import CLASSES, EXCLUDED, fields, parameters
from tests.python.support.llms import GREEDY, HELLO
from tests.python.support.odd_places import MANIFEST, Place
from tests.python.support.odd_values import ODD
from tests.python.support.values import Ref

PLACES = [*parameters(), *fields()]

REFUSALS = {"INVALID", "NOT_FOUND", "UNSUPPORTED", "CONFLICT"}

#: Where a value that fits can still fail for a reason of the LLM's, which it says.
MAY_FAIL = {
    "start_profile": {"ENGINE_ERROR"},  # this LLM has no profiler
    "init_weight_transfer_engine": {"ENGINE_ERROR"},
    "update_weights": {"ENGINE_ERROR"},
    "finish_weight_update": {"ENGINE_ERROR"},
    "collective_rpc": {"TIMEOUT", "ENGINE_ERROR"},  # the worker's method does not take it
}

#: These ask for as many tokens as there is room for, which takes longer than this.
ENDLESS = {"BeamSearchParams.max_tokens", "BeamSearchParams.beam_width"}
SHORT_MS, LONG_MS = 1_000, 60_000


#: How many values a place gets.
SOME = 8


def values_at(place: Place) -> dict[str, Any]:
    """The values that are thrown at a place."""
    if place.name.startswith("BeamSearchParams"):
        return ODD
    names, first = list(ODD), PLACES.index(place) * SOME
    return {name: ODD[name] for name in (names * 2)[first % len(names) :][:SOME]}


class Thrower:
    """Throws values at an LLM.

    Args:
        client: Of its worker.
        llm: The LLM.
    """

    def __init__(self, client: Client, llm: Ref) -> None:
        self._client = client
        self._llm = llm

    async def throw(self, place: Place, value: Any) -> str | None:
        """Returns what is wrong with the answer; None if nothing is."""
        endless = place.name in ENDLESS
        arguments = place.arguments(value)
        limit = SHORT_MS if endless else LONG_MS
        try:
            await self._client.call(self._llm, place.method, timeout_ms=limit, **arguments)
        except Failed as failed:
            kind, said = failed.kind, failed.failure.message
            allowed = REFUSALS | MAY_FAIL.get(place.method, set())
            if kind not in (allowed | {"TIMEOUT"} if endless else allowed):
                return f"{kind}: {said}"
            return said if "without a message" in said else None
        return None

    async def recover(self, place: Place) -> None:
        """Takes away what calls may have left behind."""
        assert await self._client.call(self._llm, "wake_up") is True
        await self._client.call(self._llm, "wait_for_completion", timeout_ms=LONG_MS)
        if place.method in ("update_weight_version", "finish_weight_update"):
            await self._client.call(self._llm, "update_weight_version", "default")

    async def check(self) -> None:
        """The next batch is exact."""
        good = sampling(**GREEDY)
        (output,) = await self._client.call(
            self._llm, "generate", "Hello", good, timeout_ms=LONG_MS
        )
        assert output.outputs[0].text == HELLO


def test_every_parameter_of_an_llm_is_thrown_at() -> None:
    methods = {it["name"] for it in MANIFEST["llm"]["members"] if it["parameters"]}
    assert {it.method for it in PLACES} == methods - EXCLUDED
    assert {it.name.partition(".")[0] for it in PLACES if "(" not in it.name} == CLASSES.keys()


def test_every_value_is_thrown() -> None:
    assert {name for place in PLACES for name in values_at(place)} == ODD.keys()


@pytest.mark.parametrize("method", sorted({it.method for it in PLACES}))
async def test_no_value_ends_or_stops_an_llm(llm_client: Client, llm: Ref, method: str) -> None:
    thrower = Thrower(llm_client, llm)
    wrong = {}
    for place in PLACES:
        if place.method != method:
            continue
        for name, value in values_at(place).items():
            if problem := await thrower.throw(place, value):
                wrong[place.name, name] = problem[:300]
            if method == "sleep":
                await thrower.recover(place)
        # What is waited for here ends, or the place is named by the failure.
        await thrower.recover(place)
    await thrower.check()
    assert wrong == {}
