"""Regularized media as values that can be sent."""

from __future__ import annotations

from io import BytesIO
from typing import Any


def as_pictures(made: Any) -> Any:
    """Images as maps of size, mode and PNG, frames as lists of those, samples as they are."""
    if isinstance(made, list):
        return [as_pictures(it) for it in made]
    if not hasattr(made, "save"):
        return made
    content = BytesIO()
    made.save(content, format="PNG")
    return {
        "width": made.width,
        "height": made.height,
        "mode": made.mode,
        "png": content.getvalue(),
    }
