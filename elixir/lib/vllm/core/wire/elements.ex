defmodule Vllm.Core.Wire.Elements do
  @moduledoc false
  # Splits a ServerFrame into its elements, in one pass.
  #
  # Nearly every element is an item of a stream without references, and a frame may hold hundreds of
  # them. For these neither a CallReply nor a ServerFrame is made: their bytes are matched at once. Each
  # other element is a ServerFrame of its own, because a message of protobuf is the sequence of its
  # fields.

  import Bitwise
  import Vllm.Core.OuterSize

  alias Vllm.Core.Wire.Protobuf
  alias Vllm.Proto.ServerFrame

  @typedoc "An item of a call, as its payload; or a frame with one reply, notice, hello or failure."
  @type element :: {:item, call :: non_neg_integer(), binary()} | ServerFrame.t()

  # The tags: ServerFrame.replies, and CallReply.call and .item. A test compares them with the codec's.
  @reply 0x12
  @call 0x08
  @item 0x22

  @doc "Puts the elements of a message onto a reversed list. Payloads are parts of the binary."
  @spec split(binary(), [element()]) :: {:ok, [element()]} | {:error, String.t()}
  # By the number of bytes that the id of the call takes. An item that fills its reply has no fields
  # behind it.
  def split(
        <<@reply, 0::1, size::7, @call, 0::1, a::7, @item, 0::1, n::7, item::binary-size(n),
          rest::binary>>,
        elements
      )
      when size == n + 4,
      do: split(rest, [{:item, a, item} | elements])

  def split(
        <<@reply, 0::1, size::7, @call, 1::1, a::7, 0::1, b::7, @item, 0::1, n::7,
          item::binary-size(n), rest::binary>>,
        elements
      )
      when size == n + 5,
      do: split(rest, [{:item, b <<< 7 ||| a, item} | elements])

  def split(
        <<@reply, 0::1, size::7, @call, 1::1, a::7, 1::1, b::7, 0::1, c::7, @item, 0::1, n::7,
          item::binary-size(n), rest::binary>>,
        elements
      )
      when size == n + 6,
      do: split(rest, [{:item, c <<< 14 ||| b <<< 7 ||| a, item} | elements])

  # Up to 268 million calls of a session.
  def split(
        <<@reply, 0::1, size::7, @call, 1::1, a::7, 1::1, b::7, 1::1, c::7, 0::1, d::7, @item,
          0::1, n::7, item::binary-size(n), rest::binary>>,
        elements
      )
      when size == n + 7,
      do: split(rest, [{:item, d <<< 21 ||| c <<< 14 ||| b <<< 7 ||| a, item} | elements])

  def split(<<>>, elements), do: {:ok, elements}

  def split(<<message::binary>>, elements) do
    size = first_size(message)
    <<first::binary-size(outer(size)), rest::binary>> = message

    with {:ok, frame} <- ServerFrame.decode(first), do: split(rest, [frame | elements])
  end

  # The bytes of the first field. What is not a field with a length, or is cut off, is left to the
  # decoder, which skips it or says what is wrong with it.
  defp first_size(<<0::1, _field::4, 2::3, bytes::binary>> = message) do
    case Protobuf.take_bytes(bytes) do
      {:ok, _value, rest} -> byte_size(message) - byte_size(rest)
      {:error, _reason} -> byte_size(message)
    end
  end

  defp first_size(message), do: byte_size(message)
end
