defmodule Vllm.Mellea.ChatContext do
  @moduledoc """
  What was said before, oldest first: texts, messages, components, and thunks of answers.

  With `window_size` only so many of the last turns are told to the model; a system message stays.
  """

  defstruct turns: [], window_size: nil

  @type t :: %__MODULE__{turns: [Vllm.Mellea.span()], window_size: pos_integer() | nil}

  @doc "The context with one more turn."
  @spec add(t(), Vllm.Mellea.span()) :: t()
  def add(%__MODULE__{} = context, turn), do: %{context | turns: context.turns ++ [turn]}
end
