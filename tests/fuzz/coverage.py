"""Which lines of the worker an input reaches that no input has reached before.

By the tracing function of Python. It leaves out functions of which every line has been reached, so
most of the worker is soon as fast as without it.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

OURS = "python_worker"


class NewLines:
    """Counts lines of ``python_worker`` as they are reached for the first time.

    Attributes:
        count: How many have been reached.
    """

    def __init__(self) -> None:
        self.count = 0
        self._missing: dict[CodeType, set[int]] = {}
        sys.settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        missing = self._missing.get(frame.f_code)
        if missing is None:
            ours = OURS in frame.f_code.co_filename
            lines = {line for _, _, line in frame.f_code.co_lines() if line} if ours else set()
            missing = self._missing[frame.f_code] = lines
        return self._stepped if missing else None

    def _stepped(self, frame: FrameType, event: str, _argument: Any) -> Any:
        missing = self._missing[frame.f_code]
        if event == "line" and frame.f_lineno in missing:
            missing.discard(frame.f_lineno)
            self.count += 1
        return self._stepped if missing else None

    def close(self) -> None:
        """Looks no more."""
        sys.settrace(None)
