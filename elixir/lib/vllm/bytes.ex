defmodule Vllm.Bytes do
  @moduledoc """
  Bytes to send to Python, as opposed to text.

  An Elixir binary is sent as Python's `str` and must be valid UTF-8. Wrap a binary to send `bytes`:

      %Vllm.Bytes{data: File.read!("image.png")}

  Python's `bytes` arrive as plain binaries.
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
