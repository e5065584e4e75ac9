"""Detects that an engine has died, hangs, makes progress again, or uses an adapter in part only.

vLLM reports none of these.

A utility call that waits for EngineCore waits for ever when EngineCore dies, and a client without a
call would not hear of it. So each engine is checked ten times a second. The calls of a dead engine
are stopped with the reason, and every session gets a notice when an engine dies, hangs or makes
progress again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from python_worker import failures
from python_worker.dispatch.call import Call
from python_worker.engines.core_calls import CoreCalls
from python_worker.engines.stall_detector import Change, StallDetectors
from python_worker.exceptions import Kind
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

logger = logging.getLogger(__name__)

# vLLM fails the streams of an engine by itself, as soon as the kernel has put EngineCore away, in
# 60 ms. This is how soon calls and sessions hear of it; a look takes some microseconds.
INTERVAL_SECONDS = 0.1

# A look that is later than this was not held up by the engine: see ``StallDetector.look``.
LATE_SECONDS = 1.0

# While these run, EngineCore does nothing else, and may take its time.
SILENT_CALLS = frozenset({"sleep", "wake_up"})

SetHealth = Callable[[str, bool | None], None]
"""Sets whether the engine of a reference is well; None when it is no more."""


class Watch:
    """Watches one engine from its building to its shutdown.

    Args:
        engine: The engine.
        ref_id: Its reference.
        ref_type: The class of the engine, as the reference has it.
        announce: Sends a notice to every session.
        set_health: Told whenever its health changes.
        ended: Called when it is dead, and when it has been shut down.
        stall_after: Seconds; see ``StallDetector``.
    """

    def __init__(
        self,
        engine: Any,
        ref_id: str,
        ref_type: str,
        *,
        announce: Callable[[pb.Notice], None],
        set_health: SetHealth,
        ended: Callable[[], None],
        stall_after: float,
    ) -> None:
        self._engine = engine
        self._ref_id = ref_id
        self._type = ref_type
        self._announce = announce
        self._set_health = set_health
        self._ended = ended
        self._calls: set[Call] = set()
        # An engine class of somebody else may not tell.
        moving = hasattr(engine, "_outputs_handled")
        cores = engine._cores() if hasattr(engine, "_cores") else ()
        self._progress = StallDetectors(cores or [engine], stall_after) if moving else None
        self._look_at_parts = getattr(engine, "_look_at_parts", None)
        self._take_partly_used = getattr(engine, "_take_partly_used", None)
        self._kept = CoreCalls()
        if hasattr(engine, "_ask_ahead"):
            self._kept.begin(engine, engine._ask_ahead())
        self._interval = min(INTERVAL_SECONDS, stall_after / 4 or INTERVAL_SECONDS)
        self._at_most = min(LATE_SECONDS, stall_after / 2)
        self._end_is_told = False
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._look)
        set_health(ref_id, True)

    @property
    def stalled_s(self) -> float | None:
        """For how many seconds requests have got nothing; None while the engine makes progress."""
        return None if self._progress is None else self._progress.stalled_s

    def over(self, call: Call) -> _Over:
        """Stop the call when the engine dies meanwhile, and say what vLLM does not: why."""
        return _Over(self, call)

    def expect_end(self) -> None:
        """The engine is being shut down: its end is not to be announced."""
        self._end_is_told = True
        self._stop_progress()

    def stop(self) -> None:
        """Look once more, for calls that the end has left waiting, and no more."""
        self._end_calls()
        self._timer.cancel()
        self._stop_progress()
        self._set_health(self._ref_id, None)
        self._ended()

    def _stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _end_calls(self) -> None:
        if self._engine.errored:
            for call in list(self._calls):
                call.stop(self._engine.dead_error)

    def _look(self) -> None:
        # Also after the death: a call may come in later and wait as well.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval, self._look)
        if self._look_at_parts is not None:
            self._look_at_parts()
        self._end_calls()
        self._tell_of_adapters()
        if self._engine.errored:
            self._stop_progress()
            if not self._end_is_told:
                self._end_is_told = True
                self._tell_death(self._engine.dead_error)
        elif self._progress is not None:
            silent = any(call.request.method in SILENT_CALLS for call in self._calls)
            before = self._progress.stalled_s
            change = self._progress.look(loop.time(), excused=silent, at_most=self._at_most)
            if change is Change.STALLED:
                self._tell_stall()
            elif change is Change.RECOVERED:
                self._tell_recovery(before or 0.0)

    def _tell_of_adapters(self) -> None:
        if self._take_partly_used is None:
            return
        for adapter in self._take_partly_used():
            given = adapter.lora_request
            told = pb.AdapterPartlyUsed(
                ref=self._ref_id,
                type=self._type,
                lora_name=given.lora_name,
                lora_int_id=given.lora_int_id,
                lora_path=given.lora_path,
                **adapter.names,
            )
            self._announce(pb.Notice(adapter_partly_used=told))

    def _tell_death(self, reason: BaseException) -> None:
        logger.error("the engine %s is dead: %s", self._ref_id, reason)
        self._set_health(self._ref_id, False)
        failure = failures.to_proto(reason)
        died = pb.EngineDied(ref=self._ref_id, type=self._type, failure=failure)
        self._announce(pb.Notice(engine_died=died))
        self._ended()

    def _tell_stall(self) -> None:
        seconds = self.stalled_s or 0.0
        requests = self._engine.get_num_unfinished_requests()
        logger.error(
            "the engine %s hangs: its %d requests have got no output for %.1f s",
            self._ref_id,
            requests,
            seconds,
        )
        self._set_health(self._ref_id, False)
        stalled = pb.EngineStalled(
            ref=self._ref_id,
            type=self._type,
            stalled_ms=int(seconds * 1000),
            unfinished_requests=requests,
        )
        self._announce(pb.Notice(engine_stalled=stalled))

    def _tell_recovery(self, seconds: float) -> None:
        logger.warning("the engine %s makes progress again, after %.1f s", self._ref_id, seconds)
        self._set_health(self._ref_id, True)
        stalled_ms = int(seconds * 1000)
        recovered = pb.EngineRecovered(ref=self._ref_id, type=self._type, stalled_ms=stalled_ms)
        self._announce(pb.Notice(engine_recovered=recovered))


class _Over:
    """See ``Watch.over``. A class and not a generator: every call comes by here."""

    __slots__ = ("_call", "_watch")

    def __init__(self, watch: Watch, call: Call) -> None:
        self._watch = watch
        self._call = call

    def __enter__(self) -> None:
        self._watch._calls.add(self._call)

    def __exit__(self, _cls: object, error: BaseException | None, _traceback: object) -> None:
        self._watch._calls.discard(self._call)
        if (
            isinstance(error, Exception)
            and failures.kind_of(error) == Kind.ENGINE_DEAD
            and self._watch._engine.errored
        ):
            # Without vLLM's traceback: all requests get the same exception, to which each of
            # them adds its frames, so that writing them down takes the square of their number.
            raise self._watch._engine.dead_error from None


class Watches:
    """The watches of a worker's engines.

    Args:
        announce: Sends a notice to every session.
        set_health: Told whenever the health of an engine changes.
        ended: Called when an engine is dead, and when one has been shut down.
        stall_after: Seconds; see ``StallDetector``.
    """

    def __init__(
        self,
        *,
        announce: Callable[[pb.Notice], None],
        set_health: SetHealth = lambda ref_id, well: None,
        ended: Callable[[], None] = lambda: None,
        stall_after: float = 0.0,
    ) -> None:
        self._announce = announce
        self._set_health = set_health
        self._ended = ended
        self._stall_after = stall_after
        # By identity of the engine, which the references keeps meanwhile.
        self._watches: dict[int, Watch] = {}

    def begin(self, engine: object, ref_id: str, ref_type: str) -> None:
        """Watch an engine that has been built."""
        self._watches[id(engine)] = Watch(
            engine,
            ref_id,
            ref_type,
            announce=self._announce,
            set_health=self._set_health,
            ended=self._ended,
            stall_after=self._stall_after,
        )

    def of(self, target: object) -> Watch | None:
        """The watch of an engine; None of anything else."""
        return self._watches.get(id(target))

    def end(self, engine: object) -> None:
        """An engine has been shut down."""
        watch = self._watches.pop(id(engine), None)
        if watch is not None:
            watch.stop()
