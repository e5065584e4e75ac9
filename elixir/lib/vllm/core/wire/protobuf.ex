defmodule Vllm.Core.Wire.Protobuf do
  @moduledoc false
  # The part of the protobuf codec that all messages share: varints, lengths, and skipping unknown
  # fields. The messages are in generated/proto.ex, which is made from proto/.
  #
  # It is hand-written because the bridge uses few messages, a plug-in cannot be fetched where Hex
  # cannot be reached, and the connection process decodes one ServerFrame for each step of the engine.
  # The generated clauses match a tag, its length and its content in one pattern and pass the rest on
  # in a tail call. So one match context walks the whole frame, and payloads are sub-binaries of it,
  # never copies. The functions here do the rest: long varints, long lengths, unknown fields, errors.
  #
  # Where proto3 leaves a choice:
  #
  #   * unknown fields are skipped by their wire type; groups, which proto3 does not have, are an
  #     error;
  #   * a known field with another wire type is an error: the handshake has made sure that both sides
  #     have the same .proto;
  #   * a singular message that occurs twice is not merged: the last one counts;
  #   * strings are not checked to be UTF-8, in either direction.
  #
  # Errors are `{:error, reason}`, with a reason to be read by a person. No input makes decoding raise.
  # Encoding raises if a field has the wrong type, because only this library builds the structs.

  import Bitwise
  import Vllm.Core.OuterSize

  @max_uint32 0xFFFF_FFFF
  @max_uint64 0xFFFF_FFFF_FFFF_FFFF

  # A varint carries 7 bits a byte, so 64 bits need 10 bytes.
  @max_varint_shift 63

  @typedoc "A field's tag as the bytes on the wire."
  @type tag :: binary()
  @type reason :: String.t()

  ## Encoding. `put_…` leaves out a default value; `set_…` writes it, which the
  ## fields of a oneof and the elements of a list need.

  @spec put_uint(tag, non_neg_integer()) :: iodata()
  def put_uint(_tag, 0), do: []
  def put_uint(tag, value), do: set_uint(tag, value)

  @spec set_uint(tag, non_neg_integer()) :: iodata()
  def set_uint(tag, value), do: [tag | varint(value)]

  @spec put_bool(tag, boolean()) :: iodata()
  def put_bool(_tag, false), do: []
  def put_bool(tag, true), do: [tag, 1]

  @spec put_bytes(tag, iodata()) :: iodata()
  def put_bytes(_tag, ""), do: []

  def put_bytes(tag, value) do
    case IO.iodata_length(value) do
      0 -> []
      size -> [tag, varint(size) | as_list(value)]
    end
  end

  @spec set_bytes(tag, iodata()) :: iodata()
  def set_bytes(tag, value), do: [tag, varint(IO.iodata_length(value)) | as_list(value)]

  @spec put_message(tag, struct() | nil, (struct() -> iodata())) :: iodata()
  def put_message(_tag, nil, _encode), do: []
  def put_message(tag, message, encode), do: set_bytes(tag, encode.(message))

  @spec put_messages(tag, [struct()], (struct() -> iodata())) :: iodata()
  def put_messages(tag, messages, encode) do
    for message <- messages, do: set_bytes(tag, encode.(message))
  end

  @spec put_all_bytes(tag, [iodata()]) :: iodata()
  def put_all_bytes(tag, values), do: for(value <- values, do: set_bytes(tag, value))

  @spec put_packed(tag, [non_neg_integer()]) :: iodata()
  def put_packed(_tag, []), do: []
  def put_packed(tag, values), do: set_bytes(tag, Enum.map(values, &varint/1))

  @doc "Encodes an unsigned integer of up to 64 bits as a varint."
  @spec varint(non_neg_integer()) :: iolist()
  def varint(value) when value in 0..127, do: [value]
  def varint(value) when value in 128..16_383, do: [(value &&& 127) ||| 128, value >>> 7]

  def varint(value) when value in 16_384..@max_uint64,
    do: [(value &&& 127) ||| 128 | varint(value >>> 7)]

  # An improper list of list and binary is cheaper to build but harder to type.
  defp as_list(value) when is_list(value), do: value
  defp as_list(value), do: [value]

  ## Decoding

  @doc "Takes a varint of any length from the front. Only its lower 64 bits count."
  @spec take_uint64(binary()) :: {:ok, non_neg_integer(), binary()} | {:error, reason}
  def take_uint64(binary), do: take_varint(binary, 0, 0)

  @doc "Takes a varint from the front. Only its lower 32 bits count, as in proto3."
  @spec take_uint32(binary()) :: {:ok, non_neg_integer(), binary()} | {:error, reason}
  def take_uint32(binary) do
    with {:ok, value, rest} <- take_uint64(binary), do: {:ok, value &&& @max_uint32, rest}
  end

  @doc "Takes the number of an enum's member, a signed integer, from the front."
  @spec take_enum(binary()) :: {:ok, integer(), binary()} | {:error, reason}
  def take_enum(binary) do
    with {:ok, value, rest} <- take_uint64(binary) do
      <<number::signed-32>> = <<value::32>>
      {:ok, number, rest}
    end
  end

  @doc "Takes a boolean from the front."
  @spec take_bool(binary()) :: {:ok, boolean(), binary()} | {:error, reason}
  def take_bool(binary) do
    with {:ok, value, rest} <- take_uint64(binary), do: {:ok, value != 0, rest}
  end

  @doc "Takes a length, and so many bytes after it, from the front."
  @spec take_bytes(binary()) :: {:ok, binary(), binary()} | {:error, reason}
  def take_bytes(binary) do
    with {:ok, size, rest} <- take_uint64(binary) do
      case rest do
        <<value::binary-size(outer(size)), rest::binary>> -> {:ok, value, rest}
        _short -> {:error, "#{size} bytes announced, #{byte_size(rest)} left"}
      end
    end
  end

  @doc "Takes packed varints from the front, and puts them onto a reversed list."
  @spec take_packed(binary(), [non_neg_integer()]) ::
          {:ok, [non_neg_integer()], binary()} | {:error, reason}
  def take_packed(binary, values) do
    with {:ok, packed, rest} <- take_bytes(binary),
         {:ok, values} <- unpack(packed, values),
         do: {:ok, values, rest}
  end

  @doc "Skips one unknown field. `known` are the numbers of the known fields."
  @spec skip(binary(), [pos_integer()]) :: {:ok, binary()} | {:error, reason}
  def skip(binary, known) do
    with {:ok, tag, rest} <- take_uint64(binary) do
      number = (tag &&& @max_uint32) >>> 3
      wire_type = tag &&& 7

      cond do
        number == 0 -> {:error, "field number 0"}
        number in known -> {:error, "field #{number} has wire type #{wire_type}"}
        true -> skip_value(wire_type, rest)
      end
    end
  end

  @doc "Puts the name of a field in front of the reason why it cannot be decoded."
  @spec error(String.t(), reason) :: {:error, reason}
  def error(field, reason), do: {:error, field <> ": " <> reason}

  defp take_varint(<<0::1, bits::7, rest::binary>>, shift, value),
    do: {:ok, (value ||| bits <<< shift) &&& @max_uint64, rest}

  defp take_varint(<<1::1, bits::7, rest::binary>>, shift, value) when shift < @max_varint_shift,
    do: take_varint(rest, shift + 7, value ||| bits <<< shift)

  defp take_varint(<<>>, _shift, _value), do: {:error, "ends within a varint"}
  defp take_varint(_binary, _shift, _value), do: {:error, "a varint of more than 10 bytes"}

  defp unpack(<<>>, values), do: {:ok, values}

  defp unpack(binary, values) do
    with {:ok, value, rest} <- take_uint64(binary), do: unpack(rest, [value | values])
  end

  defp skip_value(0, binary) do
    with {:ok, _value, rest} <- take_uint64(binary), do: {:ok, rest}
  end

  defp skip_value(1, <<_value::64, rest::binary>>), do: {:ok, rest}
  defp skip_value(5, <<_value::32, rest::binary>>), do: {:ok, rest}

  defp skip_value(2, binary) do
    with {:ok, _value, rest} <- take_bytes(binary), do: {:ok, rest}
  end

  defp skip_value(wire_type, _binary) when wire_type in [1, 5],
    do: {:error, "ends within an unknown field"}

  defp skip_value(wire_type, _binary), do: {:error, "wire type #{wire_type}"}
end
