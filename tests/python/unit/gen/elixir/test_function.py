"""A method of the manifest as an Elixir function: arguments, documentation, spec, one call."""

from __future__ import annotations

import dataclasses
import re
import shutil
from typing import Any

import pytest

from python_worker.gen import manifest
from python_worker.gen.elixir import engines
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.functions import function_text
from python_worker.gen.elixir.text import format_all

MANIFEST = manifest.load()

NEEDED = {"name": "lora_id", "kind": "positional", "annotation": "int"}
POSITIONAL = {"name": "level", "kind": "positional", "annotation": "int", "default": 1}
NAMED = {"name": "clear", "kind": "keyword", "annotation": "bool | None", "default": None}


def function(
    *parameters: dict[str, Any],
    kind: str = "coroutine",
    doc: str = "Do it.",
    returns: str | None = "bool",
    **entry: Any,
) -> Function:
    member = {
        "name": "do_it",
        "kind": kind,
        "doc": doc,
        "parameters": list(parameters),
        "returns": returns,
    }
    entry = {"group": "control", "returns": "A boolean."} | entry
    return Function("AsyncLLM", member, entry, MANIFEST["classes"])


def heads(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("  def ")]


@pytest.mark.parametrize(
    ("parameters", "head", "call"),
    [
        ([], r"do_it(engine, opts \\ [])", "[], opts"),
        ([NAMED], r"do_it(engine, opts \\ [])", "[], opts"),
        ([NEEDED], r"do_it(engine, lora_id, opts \\ [])", "[lora_id], opts"),
        (
            [POSITIONAL, NAMED],
            r"do_it(engine, args_or_opts \\ [], opts \\ [])",
            "[], args_or_opts, opts",
        ),
        (
            [NEEDED, POSITIONAL],
            r"do_it(engine, lora_id, args_or_opts \\ [], opts \\ [])",
            "[lora_id], args_or_opts, opts",
        ),
    ],
)
def test_what_is_required_is_positional(parameters: list[Any], head: str, call: str) -> None:
    text = function_text(function(*parameters))

    assert heads(text) == [f"def {head} do"]
    assert f'    Call.invoke(engine, "do_it", {call})\n' in text


def test_a_property_takes_the_engine_alone() -> None:
    text = function_text(function(kind="property"))

    assert heads(text) == ["def do_it(engine) do"]
    assert 'Call.invoke(engine, "do_it")' in text


def test_a_method_of_the_class_may_be_told_the_place_first() -> None:
    text = function_text(function(NEEDED, POSITIONAL, kind="classmethod"))

    assert heads(text) == [
        "def do_it(lora_id) do",
        "def do_it(worker_or_lora_id, lora_id_or_opts) do",
        "def do_it(worker_or_lora_id, lora_id_or_args, args_or_opts) do",
        "def do_it(worker, lora_id, args, opts) do",
    ]
    assert text.count('Call.invoke_class("AsyncLLM", "do_it", 1, [') == 4
    assert text.count('@doc "See `do_it/1`."') == 3


def test_a_stream_has_a_companion_that_waits() -> None:
    text = function_text(
        function(NEEDED, kind="async_generator", collected="Vllm.RequestOutput.t()")
    )

    assert heads(text) == [
        r"def do_it(engine, lora_id, opts \\ []) do",
        r"def do_it_collect(engine, lora_id, opts \\ []) do",
    ]
    assert 'Call.collect(engine, "do_it", [lora_id], opts)' in text
    assert "{:ok, Stream.t()} | {:error, Error.t()}" in text
    assert "{:ok, Vllm.RequestOutput.t()} | {:error, Error.t()}" in text


def test_the_spec_comes_from_the_annotation_unless_the_overlay_knows_better() -> None:
    request = {"name": "request", "kind": "positional", "annotation": "LoRARequest"}
    spec = "@spec do_it(engine(), Vllm.LoRARequest.t() | keyword() | map(), keyword()) ::"

    assert f"{spec} {{:ok, boolean()}} | {{:error, Error.t()}}" in function_text(function(request))
    assert "{:ok, tuple()}" in function_text(function(returns="tuple[X, ...]"))
    assert "{:ok, term()}" in function_text(function(returns=None))
    assert "{:ok, [term()]}" in function_text(function(returns=None, spec="[term()]"))
    assert ":: {:error, Error.t()}\n" in function_text(function(unsupported=True))


def test_the_documentation_is_vllms_then_ours() -> None:
    doc = "Do it.\n\nArgs:\n    lora_id: Which one\n        of them.\n\nReturns:\n    A thing.\n"
    text = function_text(function(NEEDED, doc=doc, notes="It is done."))

    assert text.startswith('  @doc """\n  Do it.\n\n  It is done.\n\n  ## Arguments\n')
    assert "    * `lora_id` - Which one of them.\n" in text
    assert "A thing" not in text


def test_options_have_default_and_type() -> None:
    text = function_text(function(POSITIONAL, NAMED, arguments={"level": "how deep"}))

    assert "    * `level` - default `1` (`int`). How deep\n" in text
    assert "    * `clear` - default `nil` (`bool or None`)\n" in text


def test_earlier_spellings_are_options() -> None:
    text = function_text(function(old={"wait": "of vLLM 0.14"}))

    assert "    * `wait` - a spelling of vLLM 0.14\n" in text


def test_a_deadline_is_told_where_it_is_unusual() -> None:
    assert "timeout" not in function_text(function())
    text = function_text(function(timeout="infinity", why_timeout="why"))
    assert "`rpc: [timeout: ms]` - none by default: why" in text
    text = function_text(
        function(timeout=600_000, unlimited_with={"mode": "wait"}, why_timeout="why")
    )
    assert '`rpc: [timeout: ms]` - by default 600 s, none with `mode: "wait"`: why' in text


def test_what_it_returns_must_be_known() -> None:
    silent = dataclasses.replace(function(), entry={"group": "control"})

    with pytest.raises(ValueError, match="do_it: the overlay does not say what it returns"):
        function_text(silent)


def test_conditions_of_a_deadline_know_the_position() -> None:
    text = engines.timeouts_text(MANIFEST)

    assert '"sleep"), do: [{"mode", 1, "wait"}]' in text
    assert '{"mode", nil, "wait"}, {"wait_for_inflight_requests", nil, true}' in text


def test_the_text_is_the_same_each_time() -> None:
    for name in engines.MODULES:
        assert engines.module_text(MANIFEST, name) == engines.module_text(MANIFEST, name)


@pytest.mark.skipif(shutil.which("elixir") is None, reason="elixir formats what it compiles")
def test_the_module_is_elixir_and_formatting_it_twice_changes_nothing() -> None:
    once = format_all({name: engines.module_text(MANIFEST, name) for name in engines.MODULES})

    assert format_all(once) == once
    assert not any(re.search(r"[ \t]+$", text, re.MULTILINE) for text in once.values())
