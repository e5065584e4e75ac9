defprotocol Vllm.Encoder do
  @moduledoc """
  Implement this protocol to send structs of your own to Python.

  Every term in the table of `Vllm.Codec` can be sent. Other structs cannot, unless they implement this
  protocol. Then the term that `encode/1` returns is sent in their place. It may be any term of the
  table, or another struct with an implementation.

      defimpl Vllm.Encoder, for: MyApp.Chat do
        def encode(chat), do: Enum.map(chat.messages, &Map.from_struct/1)
      end
  """

  @doc "Returns the term to send in place of `struct`."
  @spec encode(t()) :: term()
  def encode(struct)
end
