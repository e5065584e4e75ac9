"""manifest.json and the overlay -> Vllm.AsyncLLM, and the deadlines of all methods."""

from __future__ import annotations

from typing import Any

from python_worker.gen import overlay
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.functions import function_text
from python_worker.gen.elixir.member_docs import DEFAULT_TIMEOUT
from python_worker.gen.elixir.structs import FOLDER
from python_worker.gen.elixir.text import header, heredoc
from python_worker.gen.elixir.types import term
from python_worker.gen.manifest import PATH as MANIFEST

PATH = f"{FOLDER}/async_llm.ex"
TIMEOUTS_PATH = f"{FOLDER}/timeouts.ex"

_ENGINE = "AsyncLLM"

_DOC = """
vLLM's asynchronous engine.

The functions have the names, the order of arguments and the arities of Python's `AsyncLLM`, and
are documented with its words: a search for the Python name finds the function here. What
Python requires is positional; the rest may follow as a list, by name, or both. Parameters that
are classes in Python are taken as a struct, a keyword list or a map, and `None` is `nil`.

Every function returns `{:ok, value}` or `{:error, %Vllm.Error{}}`, and accepts the options of
the bridge under `rpc:`, see `Vllm.Call`.

## Errors of every call

  * `:stale_ref` - the engine belongs to an earlier worker, or was shut down and let go
  * `:engine_dead` - the engine has died or was shut down, and the call needs it
  * `:timeout` - the deadline passed: `rpc: [timeout: ms]`, 60 s unless the function says otherwise
  * `:worker_down` - the worker ended, or cannot be reached

## What is not served

The attributes of the Python object are not functions here:

"""

_TYPES = """
  @typedoc "An engine, as returned by `from_engine_args/1`."
  @type engine :: Ref.t()

  @typedoc "The name of an instance, or any reference whose worker is meant."
  @type worker :: Vllm.instance() | Ref.t()

  @typedoc "A reference for `Vllm.RequestOutputCollector`, as returned by `add_request/4`."
  @type collector :: Ref.t()

  @typedoc \"\"\"
  A string, a list of token ids, a map or struct such as `t:Vllm.TokensPrompt.t/0`; where vLLM
  takes streaming input, also an enumerable of these or of `t:Vllm.StreamingInput.t/0`.
  \"\"\"
  @type prompt :: String.t() | [term()] | map() | Enumerable.t()
"""


def functions(manifest: dict[str, Any]) -> list[Function]:
    """Gives every function of the module, in the order of the overlay."""
    described = {member["name"]: member for member in manifest["async_llm"]["members"]}
    for name in overlay.served_attributes():
        described[name] = {
            "name": name,
            "kind": "property",
            "doc": "",
            "parameters": [],
            "returns": None,
        }
    made = [
        Function(_ENGINE, described[name], entry, manifest["classes"])
        for name, entry in overlay.members().items()
    ]
    return sorted(made, key=lambda function: overlay.GROUPS.index(function.entry["group"]))


def async_llm_text(manifest: dict[str, Any]) -> str:
    """Makes the module, not yet formatted."""
    reasons = "\n".join(
        f"  * `{name}` - {reason}" for name, reason in sorted(overlay.not_served().items())
    )
    text = f"""{_made_from(manifest)}
defmodule Vllm.AsyncLLM do
{heredoc("moduledoc", _DOC + reasons)}
  alias Vllm.{{Call, Error, Ref, Stream}}
{_TYPES}"""
    group = ""
    for function in functions(manifest):
        if function.entry["group"] != group:
            group = function.entry["group"]
            text += f"\n  ## {overlay.titles()[group]}\n"
        text += "\n" + function_text(function)
    return text + "end\n"


def timeouts_text(manifest: dict[str, Any]) -> str:
    """Makes the module of default deadlines, not yet formatted."""
    entries = {(_ENGINE, f.name): (f.entry, f.member) for f in functions(manifest)}
    for cls, methods in overlay.other_classes().items():
        for name, entry in methods.items():
            entries[cls, name] = (entry, {"parameters": []})
    defaults = "\n".join(
        f'  def default("{cls}", "{name}"), do: {_term(entry["timeout"])}'
        for (cls, name), (entry, _member) in entries.items()
        if "timeout" in entry
    )
    unlimited = "\n".join(
        f'  def unlimited_with("{cls}", "{name}"), do: [{_conditions(entry, member)}]'
        for (cls, name), (entry, member) in entries.items()
        if "unlimited_with" in entry
    )
    return f"""{_made_from(manifest)}
defmodule Vllm.Timeouts do
  @moduledoc false

  # How long a call may take if its caller does not say. The reasons are in the overlay and in
  # the documentation of the functions.

  @doc "Gives the default deadline of a method, in milliseconds."
  @spec default(String.t(), String.t()) :: timeout()
{defaults}
  def default(_class, _method), do: {DEFAULT_TIMEOUT:_}

  @doc \"\"\"
  Gives the arguments with which a method has no deadline: name, position where it has one, and
  value.
  \"\"\"
  @spec unlimited_with(String.t(), String.t()) :: [{{String.t(), non_neg_integer() | nil, term()}}]
{unlimited}
  def unlimited_with(_class, _method), do: []
end
"""


def _conditions(entry: dict[str, Any], member: dict[str, Any]) -> str:
    positional = [p["name"] for p in member["parameters"] if p["kind"] == "positional"]
    return ", ".join(
        f'{{"{name}", {positional.index(name) if name in positional else "nil"}, {term(value)}}}'
        for name, value in entry["unlimited_with"].items()
    )


def _term(timeout: int | str) -> str:
    return f":{timeout}" if isinstance(timeout, str) else f"{timeout:_}"


def _made_from(manifest: dict[str, Any]) -> str:
    note = f"It describes vLLM {manifest['vllm_version']}: see python_worker/gen/overlay.py."
    return header(f"{MANIFEST} and python_worker/gen/overlay/", note)
