"""A JSON schema, as mellea takes it."""

from __future__ import annotations

from python_worker.integrations.mellea.formats import format_of, schema_of


def test_a_schema_is_what_it_was() -> None:
    schema = {"enum": ["a"]}
    made = format_of(schema)
    assert made is not None
    assert made.model_json_schema() is schema
    assert schema_of(made) is schema
    assert schema_of(format_of(None)) is None
