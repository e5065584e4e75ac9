"""How the engines of one worker begin, where whoever builds them says nothing of it.

An application under test builds its engine itself, from the arguments it always has. What its
test wants of that engine is therefore told to the worker, before: by the environment variable
``VLLM_BRIDGE_FAKE``, which holds for every run of the worker, or by an engine's method ``plan``.

=================  ===========================================================================
key                meaning
=================  ===========================================================================
build_seconds      how long ``from_engine_args`` blocks
build_until        the path of a file that it waits for then
build_error        what it raises then, an ``ErrorSpec``
build_error_times  for so many engines only; for all if left out
script             the behaviour of all requests
scripts            a list of arguments of ``script``, by name
injections         a list of arguments of ``inject``, by name
shutdown_seconds   how long ``shutdown`` goes on once the engine has stopped
control            true for an engine that only gives access to this one: nothing of the plan
                   is meant for it
=================  ===========================================================================

``engine_args.additional_config["fake"]`` has the same keys, and the last word.
"""

from __future__ import annotations

import base64
import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Protocol

import msgpack

#: Base64 of MessagePack: the other side has no JSON.
VARIABLE = "VLLM_BRIDGE_FAKE"

LISTS = ("scripts", "injections")

KEYS = frozenset(
    {
        "build_seconds",
        "build_until",
        "build_error",
        "build_error_times",
        "script",
        *LISTS,
        "shutdown_seconds",
        "control",
    }
)


class Engine(Protocol):
    """What a plan knows of an engine."""

    def begin(self, config: Mapping[str, Any]) -> None:
        """Does what ``script``, ``scripts`` and ``injections`` say."""


class Plan:
    """The plan of a worker. Engines are built in threads, several at a time.

    Args:
        config: The keys of the module's table.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._config: dict[str, Any] = {}
        self._engines: weakref.WeakSet[Engine] = weakref.WeakSet()
        self.add(config)

    def add(self, config: Mapping[str, Any]) -> None:
        """Adds to the lists of the plan, and replaces what else is given.

        What it adds to the lists is done to the engines that there are, too.

        Raises:
            ValueError: A key is unknown.
        """
        if unknown := sorted(config.keys() - KEYS):
            raise ValueError(f"a plan has no {unknown[0]!r}, it has {', '.join(sorted(KEYS))}")
        lists = {key: config[key] for key in LISTS if key in config}
        with self._lock:
            longer = {key: [*self._config.get(key, ()), *lists[key]] for key in lists}
            self._config = {**self._config, **config, **longer}
            for engine in self._engines:
                engine.begin(lists)

    def start(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Returns how the building of an engine goes, and counts its error.

        Args:
            own: What its arguments say.
        """
        with self._lock:
            config = dict(self._merged(own))
            times = config.get("build_error_times")
            if times is not None and "build_error" not in own:
                if times < 1:
                    config.pop("build_error", None)
                self._config["build_error_times"] = times - 1
            return config

    def begin(self, engine: Engine, own: Mapping[str, Any]) -> None:
        """Has an engine that is built begin, and knows it from now on."""
        with self._lock:
            engine.begin(self._merged(own))
            if not own.get("control"):
                self._engines.add(engine)

    def _merged(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        return own if own.get("control") else {**self._config, **own}


def wait_for_file(path: str) -> None:
    """Blocks until somebody has made a file."""
    while not os.path.exists(path):
        time.sleep(0.005)


def from_environment(environment: Mapping[str, str]) -> Plan:
    """Reads the plan that the worker was started with."""
    text = environment.get(VARIABLE)
    return Plan(msgpack.unpackb(base64.b64decode(text)) if text else {})


PLAN = from_environment(os.environ)
