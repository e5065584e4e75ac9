defprotocol Vllm.Encoder do
  @moduledoc """
  Lets structs of your own be sent to Python.

  Everything in the table of `Vllm.Codec` is sent as it is. A struct that is not in the table is
  refused, unless it implements this protocol: then what `encode/1` returns is sent in its place,
  and that may be any term of the table, or another struct with an implementation.

      defimpl Vllm.Encoder, for: MyApp.Chat do
        def encode(chat), do: Enum.map(chat.messages, &Map.from_struct/1)
      end
  """

  @doc "Returns the term to send in the place of `struct`."
  @spec encode(t()) :: term()
  def encode(struct)
end
