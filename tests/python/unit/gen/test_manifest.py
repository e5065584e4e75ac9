"""The manifest: plain values, complete, and nothing of the machine it was made on."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from python_worker.gen import manifest

MANIFEST = manifest.load()
CLASSES: dict[str, dict[str, Any]] = MANIFEST["classes"]
MEMBERS = {member["name"]: member for member in MANIFEST["async_llm"]["members"]}


def test_nothing_of_the_machine_is_in_it() -> None:
    text = json.dumps(MANIFEST)

    assert not re.search(r"0x[0-9a-f]{6,}|site-packages|/home/|/root|/tmp", text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("__init__", "constructor"),
        ("from_engine_args", "classmethod"),
        ("generate", "async_generator"),
        ("encode", "async_generator"),
        ("abort", "coroutine"),
        ("shutdown", "function"),
        ("is_running", "property"),
        ("_add_request", "coroutine"),
        ("_run_output_handler", "function"),
    ],
)
def test_kinds_of_members(name: str, kind: str) -> None:
    assert MEMBERS[name]["kind"] == kind


def test_no_other_private_member_is_in_it() -> None:
    private = [name for name in MEMBERS if name.startswith("_")]

    assert private == ["__init__", "_add_request", "_run_output_handler"]


def test_parameters_are_in_order_with_kind_default_and_annotation() -> None:
    parameters = MEMBERS["generate"]["parameters"]

    assert [p["name"] for p in parameters][:3] == ["prompt", "sampling_params", "request_id"]
    assert {p["kind"] for p in parameters[:3]} == {"positional"}
    assert {p["kind"] for p in parameters[3:]} == {"keyword"}
    assert "default" not in parameters[0]
    assert {"name": "priority", "kind": "keyword", "annotation": "int", "default": 0} in parameters


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AsyncEngineArgs", "dataclass"),
        ("SamplingParams", "msgspec"),
        ("RequestOutput", "class"),
        ("TokensPrompt", "typeddict"),
        ("RequestOutputKind", "enum"),
    ],
)
def test_kinds_of_classes(name: str, kind: str) -> None:
    assert CLASSES[name]["kind"] == kind


def test_inherited_fields_are_in_it() -> None:
    names = [field["name"] for field in CLASSES["AsyncEngineArgs"]["fields"]]

    assert len(names) > 200
    assert names[0] == "model"
    assert "enable_log_requests" in names


def test_private_fields_are_not_in_it() -> None:
    for cls in CLASSES.values():
        for field in cls.get("fields", []):
            assert not field["name"].startswith("_")


def test_every_field_is_required_or_has_a_default() -> None:
    for cls in CLASSES.values():
        for field in cls.get("fields", []):
            assert field.get("required", False) != ("default" in field)


def test_a_generic_parent_is_resolved() -> None:
    fields = {field["name"]: field for field in CLASSES["EmbeddingRequestOutput"]["fields"]}

    assert fields["outputs"]["type"] == "EmbeddingOutput"


def test_nearly_every_engine_argument_is_documented() -> None:
    fields = CLASSES["AsyncEngineArgs"]["fields"]
    documented = [field for field in fields if field["doc"]]

    assert len(documented) / len(fields) > 0.95


def test_methods_of_other_classes_are_in_it() -> None:
    (method,) = CLASSES["AsyncEngineArgs"]["methods"]

    assert method["name"] == "create_engine_config"
    assert [p["name"] for p in method["parameters"]] == ["usage_context", "headless"]


def test_parameter_classes_of_its_methods_are_in_it() -> None:
    assert {"BeamSearchParams", "KvHintsEnvelope", "FaultToleranceRequest"} <= set(CLASSES)
