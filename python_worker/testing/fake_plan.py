"""How the engines of one worker begin, where whoever builds them says nothing of it.

An application under test builds its engine itself, from the arguments it always has. What its
test wants of that engine is therefore told to the worker, before: by the environment variable
``VLLM_BRIDGE_FAKE``, which holds for every run of the worker, or by an engine's method ``plan``.

=================  ===========================================================================
key                meaning
=================  ===========================================================================
build_seconds      how long ``from_engine_args`` blocks
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
from collections.abc import Mapping
from typing import Any

import msgpack

#: Base64 of MessagePack: the other side has no JSON.
VARIABLE = "VLLM_BRIDGE_FAKE"

KEYS = frozenset(
    {
        "build_seconds",
        "build_error",
        "build_error_times",
        "script",
        "scripts",
        "injections",
        "shutdown_seconds",
        "control",
    }
)


class Plan:
    """The plan of a worker. Engines are built in threads, several at a time.

    Args:
        config: The keys of the module's table.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self.set(config)

    def set(self, config: Mapping[str, Any]) -> None:
        """Replaces the plan.

        Raises:
            ValueError: A key is unknown.
        """
        if unknown := sorted(config.keys() - KEYS):
            raise ValueError(f"a plan has no {unknown[0]!r}, it has {', '.join(sorted(KEYS))}")
        with self._lock:
            self._config = dict(config)

    def take(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what one engine begins with, and counts its error.

        Args:
            own: What its arguments say.
        """
        if own.get("control"):
            return dict(own)
        with self._lock:
            config = {**self._config, **own}
            times = self._config.get("build_error_times")
            if "build_error" not in own and times is not None:
                if times < 1:
                    config.pop("build_error", None)
                self._config["build_error_times"] = times - 1
        return config


def from_environment(environment: Mapping[str, str]) -> Plan:
    """Reads the plan that the worker was started with."""
    text = environment.get(VARIABLE)
    return Plan(msgpack.unpackb(base64.b64decode(text)) if text else {})


PLAN = from_environment(os.environ)
