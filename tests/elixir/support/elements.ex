defmodule Vllm.Elements do
  @moduledoc false
  # Enumerables for arguments that are streams. They tell the test what is done with them:
  # `{:opened, pid}`, `{:made, element}` for each, and `{:closed, pid}` at the end, however it comes.

  def tracked(elements, test \\ self()) do
    Stream.resource(
      fn ->
        send(test, {:opened, self()})
        elements
      end,
      fn
        [] ->
          {:halt, []}

        [element | elements] ->
          send(test, {:made, element})
          {[element], elements}
      end,
      fn _left -> send(test, {:closed, self()}) end
    )
  end

  # Waits before each element until the test sends `:go` to the process that enumerates.
  def gated(elements, test \\ self()) do
    elements
    |> Stream.map(fn element ->
      send(test, {:at_gate, self(), element})

      receive do
        :go -> element
      end
    end)
  end

  # The processes that enumerate at the moment, for whomever.
  def producers, do: Task.Supervisor.children(Vllm.Producers)
end
