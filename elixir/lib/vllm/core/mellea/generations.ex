defmodule Vllm.Core.Mellea.Generations do
  @moduledoc false
  # The events of calls that make texts.

  alias Vllm.Core.Telemetry.CallSpan

  @doc "Runs a call of a backend, or of a session on one, between its events."
  @spec span(String.t(), non_neg_integer(), (() -> result)) :: result when result: var
  def span(method, count, fun) do
    metadata = %{backend: "LocalVLLMBackend", method: method, num_actions: count}
    CallSpan.run([:mellea, :generate], metadata, fun)
  end
end
