defmodule Vllm.Core.Call.StreamedArgument do
  @moduledoc false
  # Arguments that are streams. vLLM takes an async generator of `Vllm.StreamingInput` as a prompt;
  # here that is an enumerable, which stays in this node. In the arguments this struct stands in its
  # place, and the worker asks for the elements one by one: see Vllm.Core.Call.Producer.

  alias Vllm.{Error, StreamingInput}
  alias Vllm.Core.Codec.StreamMark

  @doc """
  Finds the argument that is an enumerable, and puts the mark in its place. It is `nil` where there
  is none, as in nearly every call.
  """
  @spec take([term()], keyword()) ::
          {:ok, Enumerable.t() | nil, [term()], keyword()} | {:error, Error.t()}
  def take(args, named) do
    if Enum.any?(args, &stream?/1) or Enum.any?(named, &stream?(elem(&1, 1))),
      do: replace(args, named),
      else: {:ok, nil, args, named}
  end

  defp replace(args, named) do
    {args, found} = Enum.map_reduce(args, [], &mark/2)

    {named, found} =
      Enum.map_reduce(named, found, fn {name, value}, found ->
        {value, found} = mark(value, found)
        {{name, value}, found}
      end)

    case found do
      [enumerable] -> {:ok, enumerable, args, named}
      _several -> {:error, Error.new(:invalid, "only one argument of a call may be a stream")}
    end
  end

  defp mark(value, found) do
    if stream?(value), do: {%StreamMark{}, [value | found]}, else: {value, found}
  end

  # Lists, maps and sets are values. What Stream's functions return are structs and functions.
  defp stream?([%StreamingInput{} | _] = list),
    do: Enum.all?(list, &is_struct(&1, StreamingInput))

  defp stream?(function) when is_function(function, 2), do: true

  defp stream?(%_{} = struct) do
    Enumerable.impl_for(struct) not in [nil, Enumerable.MapSet] and
      Vllm.Encoder.impl_for(struct) == nil
  end

  defp stream?(_value), do: false
end
