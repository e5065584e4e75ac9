"""What grpc.health.v1 answers of the worker, of its engines, and of the whole."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from python_worker.rpc.health import OVERALL, Health
from tests.python.support.streams import wait_turns

BRIDGE = "vllm_bridge.v1.Bridge"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Unknown(Exception):
    """Nothing has been said of a service."""


class Context:
    """As much of a gRPC call as the answer needs."""

    async def abort(self, code: object) -> None:
        raise Unknown(code)


async def said(health: Health, *services: str) -> list[int]:
    """The statuses of services, when all that was set has been told."""
    await wait_turns(10)
    context: Any = Context()
    asked = [health_pb2.HealthCheckRequest(service=it) for it in services]
    return [(await health.servicer.Check(it, context)).status for it in asked]


async def test_calls_are_answered_from_a_moment_on() -> None:
    health = Health()
    with pytest.raises(Unknown):
        await said(health, BRIDGE)
    await health.serve(BRIDGE)
    assert await said(health, OVERALL, BRIDGE) == [SERVING, SERVING]


async def test_one_engine_that_is_not_well_is_told_of_the_whole_and_of_no_other() -> None:
    health = Health()
    await health.serve(BRIDGE)
    health.set_engine("a", True)
    health.set_engine("b", True)
    everything = ("a", "b", OVERALL, BRIDGE)
    assert await said(health, *everything) == [SERVING, SERVING, SERVING, SERVING]
    health.set_engine("a", False)
    assert await said(health, *everything) == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]
    health.set_engine("b", False)
    health.set_engine("a", True)
    assert await said(health, *everything) == [SERVING, NOT_SERVING, NOT_SERVING, SERVING]
    # An engine that is no more counts no more.
    health.set_engine("b", None)
    assert await said(health, *everything) == [SERVING, UNKNOWN, SERVING, SERVING]


async def test_what_is_set_in_one_turn_ends_as_it_was_set_last() -> None:
    health = Health()
    for well in (True, False, True, None, False):
        health.set_engine("a", well)
    assert await said(health, "a", OVERALL) == [NOT_SERVING, NOT_SERVING]
