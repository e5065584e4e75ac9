defmodule Vllm.Bytes do
  @moduledoc """
  Bytes for Python, as opposed to text.

  An Elixir binary is sent as Python's `str` and must be valid UTF-8. Wrap it to send `bytes`:

      %Vllm.Bytes{data: File.read!("image.png")}

  In the other direction there is nothing to tell apart: Python's `bytes` arrive as plain binaries.
  """

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary()}

  defimpl Inspect do
    def inspect(%{data: data}, _opts) when is_binary(data) do
      "#Vllm.Bytes<#{byte_size(data)} bytes>"
    end

    def inspect(_bytes, _opts), do: "#Vllm.Bytes<invalid>"
  end
end
