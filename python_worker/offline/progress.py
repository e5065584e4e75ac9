"""vLLM's hook for progress bars: a bar that tells the client instead of drawing on a terminal.

``use_tqdm`` of the methods of ``LLM`` may be a callable that makes a bar. Ours is ``tqdm`` itself,
which decides how often it is worth drawing, with another way of drawing.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

from python_worker.offline import vllm_parts
from python_worker.streaming.progress import PROGRESS, Progress


def bar(wanted: object) -> Any:
    """What vLLM gets for ``use_tqdm``.

    Args:
        wanted: The client's: whether it wants to hear of the progress. A callable is one of ours,
            where a method of ``LLM`` calls another.

    Returns:
        A callable that makes a bar; False where nobody is told.
    """
    if callable(wanted):
        return wanted
    report = PROGRESS.get()
    if not wanted or report is None:
        return False
    return functools.partial(_bar_class(), report=report)


@functools.cache
def _bar_class() -> Any:
    return type("Bar", (_Reporting, vllm_parts.tqdm()), {"__doc__": _Reporting.__doc__})


class _Reporting:
    """What is mixed into ``tqdm``: it reports where a bar would be drawn.

    Args:
        args: As of ``tqdm``.
        report: Told of the progress.
        kwargs: As of ``tqdm``.
    """

    # Otherwise a thread of tqdm's looks after bars that are not drawn in time.
    monitor_interval = 0

    n: float
    total: float | None
    desc: str
    postfix: str | None
    format_dict: dict[str, Any]

    def __init__(self, *args: Any, report: Callable[[Progress], None], **kwargs: Any) -> None:
        self._report = report
        # Nothing is written to it: a terminal's width is not asked for either.
        kwargs |= {"file": io.StringIO(), "dynamic_ncols": False, "ncols": 80}
        super().__init__(*args, **kwargs)

    def display(self, *_args: Any, **_kwargs: Any) -> None:
        """In place of drawing."""
        self._report(
            Progress(
                description=self.desc.removesuffix(": "),
                done=int(self.n),
                total=int(self.total or 0),
                elapsed_s=float(self.format_dict["elapsed"]),
                note=self.postfix or "",
            )
        )
