defmodule Vllm.Faults.Report do
  @moduledoc false
  # What was done to the bridge, and what its users saw: a line for each fault, printed at the end.

  @doc "Notes a fault and the result of the load that ran meanwhile, as Vllm.Faults.Load gives it."
  @spec add(String.t(), String.t(), map()) :: :ok
  def add(place, fault, result) do
    # Tests run at the same time.
    :global.trans({__MODULE__, self()}, fn ->
      :persistent_term.put(__MODULE__, [{place, fault, result} | rows()])
    end)

    :ok
  end

  @doc "All lines, as a table of Markdown."
  @spec text() :: iodata()
  def text do
    case Enum.sort_by(rows(), &{elem(&1, 0), elem(&1, 1)}) do
      [] ->
        []

      rows ->
        head = "| where | fault | requests | answered | seen by the others | seconds |\n"
        rule = "| --- | --- | --- | --- | --- | --- |\n"
        messages = for row <- rows, do: message(row)
        ["\nFaults, and what their users saw:\n\n", head, rule, Enum.map(rows, &line/1), messages]
    end
  end

  defp line({place, fault, result}) do
    {answered, others} = Map.pop(result.outcomes, :ok, 0)
    seen = Enum.map_join(others, ", ", fn {kind, count} -> "`:#{kind}` × #{count}" end)
    seen = Enum.join(Enum.reject([seen, result[:note]], &(&1 in [nil, ""])), "; ")
    seconds = :erlang.float_to_binary(result.seconds / 1, decimals: 1)
    "| #{place} | #{fault} | #{result.requests} | #{answered} | #{seen} | #{seconds} |\n"
  end

  defp message({place, fault, result}) do
    for {kind, message} <- result[:messages] || %{},
        do: "\n#{place}, #{fault}: #{kind}: #{String.slice(message, 0, 400)}\n"
  end

  defp rows, do: :persistent_term.get(__MODULE__, [])
end
