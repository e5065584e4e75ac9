defmodule Vllm.Core.Codec.Failure do
  @moduledoc false
  # Turns the protocol's message `Failure` into a `Vllm.Error`. Its details are an encoded value.

  alias Vllm.Error
  alias Vllm.Core.Codec.Decoder
  alias Vllm.Proto

  @kinds Error.kinds()

  @doc "Makes the error, with its causes."
  @spec from_proto(Proto.Failure.t()) :: Error.t()
  def from_proto(%Proto.Failure{} = failure) do
    %Error{
      kind: kind(failure.kind),
      message: present(failure.message) || "the worker gave no message",
      type: present(failure.type),
      traceback: present(failure.traceback),
      cause: failure.cause && from_proto(failure.cause),
      details: details(failure.details),
      retryable: failure.retryable
    }
  end

  # A newer worker may send kinds that this client does not know.
  defp kind(kind) when kind in @kinds, do: kind
  defp kind(_unknown), do: :python

  defp present(""), do: nil
  defp present(text), do: text

  defp details(""), do: %{}
  defp details(nil), do: %{}

  defp details(payload) do
    case Decoder.decode(payload, nil) do
      {:ok, %{} = details} -> details
      _unreadable -> %{}
    end
  end
end
