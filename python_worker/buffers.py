"""Bytes that are passed on without a copy."""

from __future__ import annotations

from typing import Final

Buffer = bytes | memoryview
"""Bytes, or a view of bytes that another object owns."""

LARGE: Final = 64 * 1024
"""From this size on, in bytes, a copy costs more than the bookkeeping that avoids it."""
