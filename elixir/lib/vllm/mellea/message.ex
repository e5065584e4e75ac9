defmodule Vllm.Mellea.Message do
  @moduledoc """
  A message of a chat. `role` is `:system`, `:user`, `:assistant` or `:tool`.

  `images` are shown to the model before the text: the content of a file as a binary or `Vllm.Bytes`, a
  URL, a `Vllm.Tensor`, or a map with one of `:data`, `:path`, `:url` and `:tensor`. They are read and
  checked as those of `Vllm.chat/3`. A model that takes text only is the error `:invalid`.

  `tool_calls` of an answer are by the tool's name, see `Vllm.Mellea.ToolCall`; `thunk` is the answer
  as an object of the worker.
  """

  @enforce_keys [:content]
  defstruct [:content, :tool_calls, :thunk, role: :user, images: []]

  @typedoc "An image: its bytes, a tensor of pixels, or a map with a path or a URL."
  @type image :: binary() | Vllm.Bytes.t() | Vllm.Tensor.t() | map() | keyword()

  @type t :: %__MODULE__{
          role: :system | :user | :assistant | :tool | String.t(),
          content: String.t(),
          tool_calls: %{String.t() => Vllm.Mellea.ToolCall.t()} | nil,
          thunk: Vllm.Ref.t() | nil,
          images: [image()]
        }
end
