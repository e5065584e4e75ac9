defmodule Vllm.Core.Telemetry.Models do
  @moduledoc false
  # Knows the names that engines serve their models under, for `Vllm.Telemetry.GenAI`.
  #
  # An event has the engine's reference, which costs a call nothing; the name is looked up where an
  # attribute is made of it. It is learned on the node that builds an engine, from its arguments, and from
  # what the worker reports with its metrics. The application owns the table; where it does not run, no
  # name is known.
  #
  # The engines of earlier runs of a worker are forgotten when the next engine is learned, not when the
  # worker ends: its last events still name their models.

  alias Vllm.Ref

  @engines ["AsyncLLM", "LLM"]

  @doc "Makes the table. The calling process owns it."
  @spec init() :: :ok
  def init do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "Learns the name of an engine that was built, and returns the result of that call."
  @spec learn(result, [term()], keyword()) :: result when result: term()
  def learn({:ok, %Ref{type: type} = ref} = result, args, kwargs) when type in @engines do
    put(ref, Enum.find_value([kwargs | args], &served_name/1) || path(type, args))
    result
  end

  def learn(result, _args, _kwargs), do: result

  @doc "The name of an engine's model, as its worker reports it."
  @spec put(Ref.t(), term()) :: :ok
  def put(%Ref{instance: instance, incarnation: incarnation, id: id}, name)
      when is_binary(name) do
    if :ets.whereis(__MODULE__) != :undefined do
      earlier = {{instance, :"$1", :_}, :_}
      :ets.select_delete(__MODULE__, [{earlier, [{:"=/=", :"$1", incarnation}], [true]}])
      :ets.insert(__MODULE__, {{instance, incarnation, id}, name})
    end

    :ok
  end

  def put(_ref, _unknown), do: :ok

  @doc "The name of the model of the engine behind a reference, or nil if it is not known."
  @spec name(term()) :: String.t() | nil
  def name(%Ref{instance: instance, incarnation: incarnation, id: id}) do
    case :ets.whereis(__MODULE__) != :undefined and
           :ets.lookup(__MODULE__, {instance, incarnation, id}) do
      [{_key, name}] -> name
      _unknown -> nil
    end
  end

  def name(_other), do: nil

  # As vLLM's get_served_model_name: the first of the served names, or else the model.
  defp served_name(%{} = arguments) do
    case field(arguments, :served_model_name) do
      [name | _] when is_binary(name) -> name
      name when is_binary(name) -> name
      _none -> text(field(arguments, :model))
    end
  end

  defp served_name([{_key, _value} | _] = arguments) do
    if Keyword.keyword?(arguments), do: arguments |> Map.new() |> served_name()
  end

  defp served_name(_other), do: nil

  defp field(arguments, name),
    do: Map.get(arguments, name) || Map.get(arguments, Atom.to_string(name))

  # The constructor of an LLM takes the model itself.
  defp path("LLM", [model | _]), do: text(model)
  defp path(_type, _args), do: nil

  defp text(text) when is_binary(text), do: text
  defp text(_other), do: nil
end
