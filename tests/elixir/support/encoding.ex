defmodule Vllm.Encoding do
  @moduledoc false
  # Terms through the codec, as the tests of its modules need them.

  import ExUnit.Assertions

  alias Vllm.{Codec, Error}

  def encode!(term) do
    {:ok, data} = Codec.encode(term)
    IO.iodata_to_binary(data)
  end

  def round_trip(term), do: Codec.decode(encode!(term), :here)

  # The path of what cannot be sent, and the message.
  def refused(term) do
    assert {:error, %Error{kind: :invalid, details: %{"path" => path}} = error} =
             Codec.encode(term)

    assert error.message =~ path
    {path, error.message}
  end
end
