defmodule Vllm.Mellea.SimpleContext do
  @moduledoc "A context of which the model is told nothing: each text stands for itself."

  defstruct turns: []

  @type t :: %__MODULE__{turns: [Vllm.Mellea.span()]}

  @doc "The context with a turn in place of the one before."
  @spec add(t(), Vllm.Mellea.span()) :: t()
  def add(%__MODULE__{} = context, turn), do: %{context | turns: [turn]}
end
