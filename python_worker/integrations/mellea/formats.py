"""A JSON schema, as mellea takes it."""

from __future__ import annotations

from typing import Any


class Format:
    """What mellea takes for a class of pydantic's: a JSON schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def model_json_schema(self) -> dict[str, Any]:
        """The schema."""
        return self._schema


def format_of(schema: dict[str, Any] | None) -> Format | None:
    """What mellea takes as a format."""
    return None if schema is None else Format(schema)


def schema_of(format: Any) -> dict[str, Any] | None:
    """The schema of a format."""
    return None if format is None else format.model_json_schema()
