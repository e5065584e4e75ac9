defmodule Vllm.Core.Integrations.LangChainConfig do
  @moduledoc false
  # The fields of a chat model of LangChain's: checked, and as a map that can be stored as JSON.

  alias Vllm.Core.Options
  alias Vllm.{Error, Ref}

  @table [
    {:engine, :term, :required, "a reference, or `{instance, name}`."},
    {:options, :keyword_list, [], "options of `Vllm.chat/3`."},
    {:stream, :boolean, false, "whether the answer comes in deltas."},
    {:callbacks, {:list, :map}, [], "LangChain's; a chain sets them."}
  ]

  @version 1

  @doc "The fields as a Markdown list."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@table)

  @doc "Checks the fields of a model, given as a map with atoms or texts as keys."
  @spec check(map()) :: {:ok, map()} | {:error, Error.t()}
  def check(fields) when is_map(fields) and not is_struct(fields) do
    fields = for {key, value} <- fields, do: {known(key), value}
    Options.validate(@table, fields, "the fields of the chat model")
  end

  def check(other), do: Options.validate(@table, other, "the fields of the chat model")

  @doc """
  The fields of a model as a map with texts as keys. A reference is not stored, because it is of one
  worker: such a model has to be given its engine again.
  """
  @spec to_map(struct()) :: map()
  def to_map(%module{engine: engine, options: options, stream: stream}) do
    %{
      "version" => @version,
      "module" => Atom.to_string(module),
      "engine" => stored(engine),
      "stream" => stream,
      "options" => Map.new(options, fn {key, value} -> {Atom.to_string(key), value} end)
    }
  end

  @doc "The fields of such a map. The problem is a text, as LangChain wants it."
  @spec from_map(map()) :: {:ok, map()} | {:error, String.t()}
  def from_map(%{"version" => @version, "engine" => [instance, name], "options" => options} = map) do
    {:ok,
     %{
       engine: {String.to_existing_atom(instance), String.to_existing_atom(name)},
       options: for({key, value} <- options, do: {String.to_existing_atom(key), value}),
       stream: map["stream"] == true
     }}
  rescue
    ArgumentError ->
      {:error, "the map names an instance, an engine or an option that is not known"}
  end

  def from_map(%{"version" => @version, "engine" => nil}) do
    {:error,
     "the model was built with a reference, which cannot be restored; use {instance, name}"}
  end

  def from_map(map),
    do: {:error, "this is no map of version #{@version}: #{inspect(map, limit: 5)}"}

  defp stored(%Ref{}), do: nil

  defp stored({instance, name}) when is_atom(instance) and is_atom(name),
    do: [Atom.to_string(instance), Atom.to_string(name)]

  defp stored(_other_node), do: nil

  defp known(key) when is_binary(key) do
    case List.keyfind(Enum.map(@table, &{Atom.to_string(elem(&1, 0)), elem(&1, 0)}), key, 0) do
      {_text, key} -> key
      nil -> key
    end
  end

  defp known(key), do: key
end
