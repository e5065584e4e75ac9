"""What is changed of vLLM's module, and that it is changed once."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from python_worker.engines import core_client

zmq: Any = pytest.importorskip("zmq")


class Options:
    """A context, with the options that it was given."""

    def __init__(self) -> None:
        self.given: dict[int, Any] = {}

    def setsockopt(self, opt: int, value: Any) -> None:
        self.given[opt] = value


class Manager:
    """Stands in for vLLM's manager of actors.

    Attributes:
        failure: What an actor has raised.
        shutdowns: How many times it was shut down.
    """

    failure: Exception | None = None
    shutdowns = 0

    def monitor_engine_liveness(self) -> None:
        if self.failure is not None:
            raise self.failure

    def shutdown(self) -> None:
        self.shutdowns += 1


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    made: Any = ModuleType(core_client.MODULE)
    made.CoreEngineActorManager = type("Manager", (Manager,), {})
    made.launch_core_engines = lambda: None
    made.make_zmq_socket = lambda context, path, kind: (path, kind)
    monkeypatch.setitem(sys.modules, core_client.MODULE, made)
    return made


def test_the_module_is_changed_once(module: Any) -> None:
    def functions() -> list[Any]:
        monitor = module.CoreEngineActorManager.monitor_engine_liveness
        return [module.launch_core_engines, module.make_zmq_socket, monitor]

    before = functions()
    core_client.change(10.0)
    changed = functions()
    assert not set(before) & set(changed)
    core_client.change(10.0)
    assert functions() == changed


@pytest.mark.parametrize(
    ("stall_after", "silence"), [(8.0, 8000), (120.0, 30000), (0.0, 30000), (0.1, 2000)]
)
def test_a_host_may_be_silent_for_as_long_as_an_engine_but_not_for_ever(
    module: Any, stall_after: float, silence: int
) -> None:
    core_client.change(stall_after)
    options = Options()
    assert module.make_zmq_socket(options, "tcp://host:1", zmq.ROUTER) == (
        "tcp://host:1",
        zmq.ROUTER,
    )
    assert options.given[zmq.HEARTBEAT_TTL] == silence


@pytest.mark.parametrize(("path", "kind"), [("ipc:///f", zmq.ROUTER), ("tcp://host:1", zmq.PULL)])
def test_only_the_socket_of_remote_cores_has_heartbeats(module: Any, path: str, kind: Any) -> None:
    core_client.change(8.0)
    options = Options()
    module.make_zmq_socket(options, path, kind)
    assert options.given == {}


def test_an_actor_that_fails_is_an_actor_that_has_ended(module: Any) -> None:
    core_client.change(8.0)
    manager = module.CoreEngineActorManager()
    manager.monitor_engine_liveness()
    assert manager.shutdowns == 0
    manager.failure = RuntimeError("its worker has ended")
    manager.monitor_engine_liveness()
    assert manager.shutdowns == 1
