"""The notes by hand about fields that vLLM does not document."""

from __future__ import annotations

from python_worker.gen import manifest
from python_worker.gen.elixir import field_notes


def test_notes_are_about_fields_that_exist_and_that_vllm_leaves_undocumented() -> None:
    classes = manifest.load()["classes"]

    for name, notes in field_notes.FIELDS.items():
        docs = {field["name"]: field["doc"] for field in classes[name]["fields"]}
        assert {field for field in notes if docs[field]} == set()
    for name in field_notes.CLASSES:
        assert classes[name]["doc"] == ""
    assert set(field_notes.EXAMPLES) <= set(classes)
