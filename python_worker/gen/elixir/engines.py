"""manifest.json and the overlay -> Vllm.AsyncLLM, Vllm.LLM, and the deadlines of all methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_worker.gen import overlay
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.functions import function_text
from python_worker.gen.elixir.member_docs import DEFAULT_TIMEOUT
from python_worker.gen.elixir.structs import FOLDER
from python_worker.gen.elixir.text import header, heredoc
from python_worker.gen.elixir.types import term
from python_worker.gen.manifest import ENGINES
from python_worker.gen.manifest import PATH as MANIFEST

TIMEOUTS_PATH = f"{FOLDER}/timeouts.ex"

_ERRORS_OF_EVERY_CALL = """
## Errors of every call

  * `:stale_ref` - the {it} belongs to an earlier worker, or was shut down and let go
  * `:engine_dead` - the engine has died or was shut down, and the call needs it
  * `:timeout` - the deadline passed: `rpc: [timeout: ms]`, 60 s unless the function says otherwise
  * `:worker_down` - the worker ended, or cannot be reached

## What is not served

The attributes of the Python object are not functions here:

"""

_ASYNC_LLM = """
vLLM's asynchronous engine.

The functions have the names, the order of arguments and the arities of Python's `AsyncLLM`, and
are documented with its words: a search for the Python name finds the function here. What
Python requires is positional; the rest may follow as a list, by name, or both. Parameters that
are classes in Python are taken as a struct, a keyword list or a map, and `None` is `nil`.

Every function returns `{:ok, value}` or `{:error, %Vllm.Error{}}`, and accepts the options of
the bridge under `rpc:`, see `Vllm.Call`.
""" + _ERRORS_OF_EVERY_CALL.replace("{it}", "engine")

_LLM = """
vLLM's `LLM`: batches of prompts, where one call runs the whole batch and returns all outputs.

    {:ok, llm} = Vllm.LLM.new("facebook/opt-125m")
    params = [max_tokens: 16]
    {:ok, outputs} = Vllm.LLM.generate(llm, ["Hello", "How are you?"], sampling_params: params)
    for output <- outputs, do: IO.puts(hd(output.outputs).text)
    Vllm.LLM.shutdown(llm)

It is Python's own class. For streams, and for requests of many processes at once, take
`Vllm.AsyncLLM`. The functions have Python's names, order of arguments and arities, as those of
`Vllm.AsyncLLM` have; `inspect_model/1` is Python's `repr(llm)`.

## One call at a time

As in Python, the calls of one `LLM` run one after the other; a call waits until those before it
are over. Other engines, and other objects of this class, go on meanwhile.

A batch is ended whole. When its caller ends, its deadline passes or it fails, what is left of it
is aborted before the next step, and the `LLM` can be used as before.

## Progress

The functions with `use_tqdm` tell how far they have come: as the telemetry event
`[:vllm, :llm, :progress]` in the calling process, and in IEx as a progress bar. `use_tqdm: false`
turns both off. See `Vllm.Telemetry`.
""" + _ERRORS_OF_EVERY_CALL.replace("{it}", "LLM")

_PLACE = """
  @typedoc "The name of an instance, or any reference whose worker is meant."
  @type worker :: Vllm.instance() | Ref.t()
"""

_ASYNC_LLM_TYPES = (
    """
  @typedoc \"\"\"
  An engine: the reference that `from_engine_args/1` returns, or the name of a declared one, such as
  `{MyApp.Vllm, :llama}`.
  \"\"\"
  @type engine :: Vllm.engine()
"""
    + _PLACE
    + """
  @typedoc "A reference for `Vllm.RequestOutputCollector`, as returned by `add_request/4`."
  @type collector :: Ref.t()

  @typedoc \"\"\"
  A string, a list of token ids, a map or struct such as `t:Vllm.TokensPrompt.t/0`; where vLLM
  takes streaming input, also an enumerable of these or of `t:Vllm.StreamingInput.t/0`.
  \"\"\"
  @type prompt :: String.t() | [term()] | map() | Enumerable.t()
"""
)

_LLM_TYPES = (
    """
  @typedoc "An LLM, as returned by `new/1`."
  @type llm :: Ref.t()
"""
    + _PLACE
    + """
  @typedoc "A string, a list of token ids, or a map or struct such as `t:Vllm.TokensPrompt.t/0`."
  @type prompt :: String.t() | [integer()] | map()

  @typedoc "A conversation: a list of maps with `role` and `content`."
  @type conversation :: [map()]
"""
)


@dataclass(frozen=True)
class Module:
    """A class that becomes a module of functions.

    Attributes:
        path: Where the module stands.
        doc: What its documentation says, up to the attributes that are not served.
        types: The types of its own.
        aliases: What it calls by a short name.
    """

    path: str
    doc: str
    types: str
    aliases: str


MODULES = {
    "AsyncLLM": Module(
        f"{FOLDER}/async_llm.ex", _ASYNC_LLM, _ASYNC_LLM_TYPES, "{Call, Error, Ref, Stream}"
    ),
    "LLM": Module(f"{FOLDER}/llm.ex", _LLM, _LLM_TYPES, "{Call, Error, Ref}"),
}

OF_THE_BRIDGE = {"LLM": ("shutdown", "get_num_unfinished_requests")}
"""Methods that the worker adds to a class, which has none of that name. `AsyncLLM` has them."""


def functions(manifest: dict[str, Any], owner: str = "AsyncLLM") -> list[Function]:
    """Gives every function of a module, in the order of the overlay."""
    described = {member["name"]: member for member in manifest[ENGINES[owner]]["members"]}
    for name in overlay.served_attributes(owner):
        described[name] = {
            "name": name,
            "kind": "property",
            "doc": "",
            "parameters": [],
            "returns": None,
        }
    for member in manifest["async_llm"]["members"]:
        if member["name"] in OF_THE_BRIDGE.get(owner, ()):
            described[member["name"]] = member | {"doc": ""}
    made = [
        Function(owner, described[name], entry, manifest["classes"])
        for name, entry in overlay.members(owner).items()
    ]
    return sorted(made, key=lambda function: overlay.GROUPS.index(function.entry["group"]))


def module_text(manifest: dict[str, Any], owner: str) -> str:
    """Makes a module, not yet formatted."""
    module = MODULES[owner]
    reasons = "\n".join(
        f"  * `{name}` - {reason}" for name, reason in sorted(overlay.not_served(owner).items())
    )
    text = f"""{_made_from(manifest)}
defmodule Vllm.{owner} do
{heredoc("moduledoc", module.doc + reasons)}
  alias Vllm.{module.aliases}
{module.types}"""
    group = ""
    for function in functions(manifest, owner):
        if function.entry["group"] != group:
            group = function.entry["group"]
            text += f"\n  ## {overlay.titles(owner)[group]}\n"
        text += "\n" + function_text(function)
    return text + "end\n"


def timeouts_text(manifest: dict[str, Any]) -> str:
    """Makes the module of default deadlines, not yet formatted."""
    entries = {
        (owner, f.name): (f.entry, f.member)
        for owner in MODULES
        for f in functions(manifest, owner)
    }
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
