"""Vllm.Classes: the names of classes, fields and enum members that both sides share."""

from __future__ import annotations

from typing import Any

from python_worker.gen.elixir.structs import FOLDER, made_from
from python_worker.gen.elixir.text import heredoc, string

PATH = f"{FOLDER}/classes.ex"

_DOC = """
The classes of vLLM that travel by their fields, and the enums, by name.

Names that Python sends become modules and atoms here and nowhere else: what is not in
these tables stays a string, so received text never makes an atom.
"""


def classes_text(manifest: dict[str, Any]) -> str:
    """Makes the module, not yet formatted."""
    structs = {n: c for n, c in manifest["classes"].items() if c["kind"] != "enum"}
    enums = {n: c for n, c in manifest["classes"].items() if c["kind"] == "enum"}
    fields = ",\n".join(
        f'    {{"{name}", %{{{_field_map(cls)}}}}}' for name, cls in structs.items()
    )
    members = "\n".join(
        f'  def enum_member("{name}", "{member["name"]}"), do: :{member["name"]}'
        for name, cls in enums.items()
        for member in cls["members"]
    )
    return f"""{made_from(manifest)}
defmodule Vllm.Classes do
{heredoc("moduledoc", _DOC)}
  @doc "The version of vLLM that the structs describe."
  @spec vllm_version() :: String.t()
  def vllm_version, do: {string(manifest["vllm_version"])}

  # The modules are values here, as modules are to a codec. Written as modules, they would be
  # dependencies: Vllm.AsyncEngineArgs makes calls, which need the codec, which needs this table.
  @fields [
{fields}
  ]
  @modules for {{name, _fields}} <- @fields, do: {{name, Module.concat(["Vllm", name])}}

  @doc "Gives the struct module of a Python class, by its short name."
  @spec module_for(String.t()) :: module() | nil
  for {{name, module}} <- @modules do
    def module_for(unquote(name)), do: unquote(module)
  end

  def module_for(_name), do: nil

  @doc "Gives the short name of the Python class that a struct module stands for."
  @spec class_for(module()) :: String.t() | nil
  for {{name, module}} <- @modules do
    def class_for(unquote(module)), do: unquote(name)
  end

  def class_for(_module), do: nil

  @doc "Gives the fields of a struct module, from Python's name to the atom."
  @spec fields(module()) :: %{{optional(String.t()) => atom()}}
  for {{name, fields}} <- @fields do
    def fields(unquote(Module.concat(["Vllm", name]))), do: unquote(Macro.escape(fields))
  end

  def fields(_module), do: %{{}}

  @doc "Gives the atom of a field, or nil where the struct has none of that name."
  @spec field_atom(module(), String.t()) :: atom() | nil
  def field_atom(module, name), do: module |> fields() |> Map.get(name)

  @doc "Gives the atom of an enum's member, by the names of both."
  @spec enum_member(String.t(), String.t()) :: atom() | nil
{members}
  def enum_member(_class, _member), do: nil
end
"""


def _field_map(cls: dict[str, Any]) -> str:
    return ", ".join(f'"{field["name"]}" => :{field["name"]}' for field in cls["fields"])
