defmodule Vllm.Mellea.Message do
  @moduledoc """
  A message of a chat. `role` is `:system`, `:user`, `:assistant` or `:tool`.

  `tool_calls` of an answer are by the tool's name, see `Vllm.Mellea.ToolCall`; `thunk` is the answer
  as an object of the worker. `images` are refused: the backend gives none to the model.
  """

  @enforce_keys [:content]
  defstruct [:content, :tool_calls, :thunk, role: :user, images: []]

  @type t :: %__MODULE__{
          role: :system | :user | :assistant | :tool | String.t(),
          content: String.t(),
          tool_calls: %{String.t() => Vllm.Mellea.ToolCall.t()} | nil,
          thunk: Vllm.Ref.t() | nil,
          images: [term()]
        }
end
