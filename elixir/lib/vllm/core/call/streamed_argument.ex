defmodule Vllm.Core.Call.StreamedArgument do
  @moduledoc false
  # Finds the argument of a call that is a stream. vLLM takes an async generator of
  # `Vllm.StreamingInput` as a prompt; here that is an enumerable, which stays on this node. The
  # arguments carry a mark in its place, and the worker asks for the elements one by one (see
  # Vllm.Core.Call.Producer).

  alias Vllm.{Error, StreamingInput}
  alias Vllm.Core.Codec.StreamMark

  @doc """
  Takes the enumerable out of the arguments and puts the mark in its place. The enumerable is `nil` if
  there is none, as in nearly every call.
  """
  @spec take([term()], keyword()) ::
          {:ok, Enumerable.t() | nil, [term()], keyword()} | {:error, Error.t()}
  def take(args, named) do
    if Enum.any?(args, &stream?/1) or Enum.any?(named, &stream?(elem(&1, 1))),
      do: replace(args, named),
      else: {:ok, nil, args, named}
  end

  @doc """
  Has the enumerable tell whether it was begun, for who may make the call again. The arguments keep it,
  in a form that does.
  """
  @spec watch([term()], keyword()) ::
          {:ok, [term()], keyword(), begun? :: (() -> boolean())} | {:error, Error.t()}
  def watch(args, named) do
    case take(args, named) do
      {:ok, nil, args, named} ->
        {:ok, args, named, fn -> false end}

      {:ok, enumerable, _args, _named} ->
        begun = :counters.new(1, [])

        watched = fn acc, fun ->
          :counters.add(begun, 1, 1)
          Enumerable.reduce(enumerable, acc, fun)
        end

        put = &if(stream?(&1), do: watched, else: &1)
        named = for {name, value} <- named, do: {name, put.(value)}
        {:ok, Enum.map(args, put), named, fn -> :counters.get(begun, 1) > 0 end}

      {:error, error} ->
        {:error, error}
    end
  end

  defp replace(args, named) do
    {args, found} = Enum.map_reduce(args, [], &mark/2)

    {named, found} =
      Enum.map_reduce(named, found, fn {name, value}, found ->
        {value, found} = mark(value, found)
        {{name, value}, found}
      end)

    case found do
      [enumerable] ->
        {:ok, enumerable, args, named}

      _several ->
        {:error,
         Error.new(
           :invalid,
           "only one argument of a call may be a stream; enumerate the others first"
         )}
    end
  end

  defp mark(value, found) do
    if stream?(value), do: {%StreamMark{}, [value | found]}, else: {value, found}
  end

  # Lists, maps and sets are values. The functions of Stream return structs and functions.
  defp stream?([%StreamingInput{} | _] = list),
    do: Enum.all?(list, &is_struct(&1, StreamingInput))

  defp stream?(function) when is_function(function, 2), do: true

  defp stream?(%_{} = struct) do
    Enumerable.impl_for(struct) not in [nil, Enumerable.MapSet] and
      Vllm.Encoder.impl_for(struct) == nil
  end

  defp stream?(_value), do: false
end
