"""The class ``Worker`` that clients may call: the worker itself, as a target.

Its public methods are called like those of an engine, without a reference.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator

from python_worker import __version__
from python_worker.dispatch.access import CALLER
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import Entry, Holder, References
from python_worker.engines import metrics
from python_worker.process.versions import vllm_version
from python_worker.streaming.token_tap import tap_of


class Worker:
    """What there is to ask of a worker.

    Args:
        references: Where references are kept.
        watches: Those of the engines.
        calls: How many calls are running.
        sessions: How many clients hold a session.
        anyone: The holder of references that went to clients without a session.
        name_of: The name that an engine is declared under, or None.
    """

    def __init__(
        self,
        *,
        references: References,
        watches: Watches,
        calls: Callable[[], int],
        sessions: Callable[[], int],
        anyone: Holder,
        name_of: Callable[[object], str | None] = lambda _engine: None,
    ) -> None:
        self._references = references
        self._watches = watches
        self._calls = calls
        self._sessions = sessions
        self._anyone = anyone
        self._name_of = name_of
        self._started = time.monotonic()

    async def status(self) -> dict[str, object]:
        """The state of the worker.

        Returns:
            A map with ``pid``, ``incarnation``, ``worker_version``,
            ``vllm_version`` (None where none is installed),
            ``python_version``, ``uptime_s`` (float), ``calls`` and
            ``sessions`` (running now, this call included), ``references``
            (objects held) and ``engines`` (those that the caller's role allows): a list of
            maps with ``ref``, ``type`` (``AsyncLLM`` or ``LLM``), ``name`` (that it is declared
            under in this worker, or None), ``model`` (the name it is served under, or None),
            ``errored``, ``unfinished_requests`` and ``stalled_s`` (for how long its requests
            have got nothing, None while it does not hang),
            ``token_path`` (``direct`` if tokens are taken from vLLM's request
            states, ``outputs`` if every output is made and encoded) and
            ``token_path_reason`` (why not ``direct``, else None);
            and ``max_rss_bytes``, the most memory the worker itself has had.
        """
        return {
            "pid": os.getpid(),
            "incarnation": self._references.incarnation,
            "worker_version": __version__,
            "vllm_version": vllm_version(),
            "python_version": platform.python_version(),
            "uptime_s": time.monotonic() - self._started,
            "calls": self._calls(),
            "sessions": self._sessions(),
            "references": len(self._references),
            "engines": [
                {
                    "ref": entry.id,
                    "type": entry.type,
                    "name": self._name_of(entry.target),
                    "model": metrics.model_name(entry.target),
                    "errored": getattr(entry.target, "errored", False),
                    "unfinished_requests": unfinished_requests(entry.target),
                    "stalled_s": self._stalled_s(entry.target),
                    **token_path(entry.target),
                }
                for entry in self._visible()
            ],
            "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    async def metrics(self) -> list[dict[str, object]]:
        """What vLLM counts of each engine.

        Returns:
            A list of maps with ``ref``, ``type``, ``incarnation``, ``model`` (the name it
            is served under, or None), ``unfinished_requests``, ``token_path`` and
            ``token_path_reason`` (as in ``status``) and ``metrics``: a map with the
            names in ``metrics.NAMES``, or None for an engine that counts nothing.
        """
        return [
            {
                "ref": entry.id,
                "type": entry.type,
                "incarnation": self._references.incarnation,
                "model": metrics.model_name(entry.target),
                "unfinished_requests": unfinished_requests(entry.target),
                "metrics": metrics.of_engine(entry.target),
                **token_path(entry.target),
            }
            for entry in self._visible()
        ]

    def _visible(self) -> Iterator[Entry]:
        """The engines that the caller's role allows."""
        access = CALLER.get()
        return (it for it in self._references.pinned() if access.sees(it.target))

    def _stalled_s(self, engine: object) -> float | None:
        watch = self._watches.of(engine)
        return None if watch is None else watch.stalled_s

    async def release(self, ref: str) -> bool:
        """Let go of a reference that ``Call`` or ``Stream`` returned.

        Args:
            ref: The reference's id.

        Returns:
            Whether it was held. Sessions release theirs by frame.
        """
        return self._references.release(ref, self._anyone)


def unfinished_requests(engine: object) -> int | None:
    """How many requests an engine has; None where it cannot tell."""
    count = getattr(engine, "get_num_unfinished_requests", None)
    return None if count is None else count()


def token_path(engine: object) -> dict[str, object]:
    """The token path of an engine, and why it is not the direct one."""
    tap = tap_of(engine)
    return {"token_path": tap.path, "token_path_reason": tap.reason}
