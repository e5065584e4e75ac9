"""Which classes are sent as structs, and with which fields."""

from __future__ import annotations

import json
from pathlib import Path

from python_worker import codec
from python_worker.codec import records, types
from tests.python.support.codec_values import round_trip


def test_a_record_is_found_by_name_by_base_class_or_by_declaration() -> None:
    lora = type("LoRARequest", (), {"__module__": "vllm.lora.request"})
    child = type("Child", (lora,), {})
    for cls in (lora, child):
        value = cls()
        value.__dict__.update(lora_name="a", lora_int_id=1)  # the other fields are missing
        record = codec.decode(codec.encode(value))
        assert record == types.Record("LoRARequest", {"lora_name": "a", "lora_int_id": 1})

    class Declared:
        __bridge_record__ = ("Report", ("x",))
        x = (1,)

    assert round_trip(Declared()) == types.Record("Report", {"x": (1,)})


def test_the_table_of_records_equals_the_manifest() -> None:
    path = Path(codec.__file__).parents[1] / "generated/manifest.json"
    classes = json.loads(path.read_text())["classes"]
    for qualified, (name, fields) in records.RECORDS.items():
        if name in classes:
            assert classes[name]["qualname"] == qualified
            assert {field["name"] for field in classes[name]["fields"]} == set(fields), name
