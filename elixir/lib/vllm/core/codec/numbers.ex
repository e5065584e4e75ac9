defmodule Vllm.Core.Codec.Numbers do
  @moduledoc false
  # Converts the numbers of a tensor to bytes and back.

  import Bitwise
  import Vllm.Core.OuterSize

  # dtype => bytes of one number
  @bytes %{
    "bool" => 1,
    "uint8" => 1,
    "uint16" => 2,
    "uint32" => 4,
    "uint64" => 8,
    "int8" => 1,
    "int16" => 2,
    "int32" => 4,
    "int64" => 8,
    "float8_e4m3fn" => 1,
    "float8_e5m2" => 1,
    "float16" => 2,
    "bfloat16" => 2,
    "float32" => 4,
    "float64" => 8,
    "complex64" => 8,
    "complex128" => 16
  }

  @doc "How many bytes one number takes; `nil` for a dtype that cannot be sent."
  @spec bytes(term()) :: pos_integer() | nil
  def bytes(dtype), do: Map.get(@bytes, dtype)

  @doc "All numbers of `data`, in order."
  @spec decode(String.t(), binary()) :: [term()]
  def decode("bool", data), do: for(<<n <- data>>, do: n != 0)
  def decode("float8_e4m3fn", data), do: for(<<n::binary-1 <- data>>, do: e4m3(n))
  # float8_e5m2 and bfloat16 are the upper bytes of float16 and float32; the lower ones are zero.
  def decode("float8_e5m2", data), do: for(<<n <- data>>, do: float16(<<0, n>>))
  def decode("bfloat16", data), do: for(<<n::binary-2 <- data>>, do: float32(<<0, 0, n::binary>>))
  def decode("float16", data), do: for(<<n::binary-2 <- data>>, do: float16(n))
  def decode("float32", data), do: for(<<n::binary-4 <- data>>, do: float32(n))
  def decode("float64", data), do: for(<<n::binary-8 <- data>>, do: float64(n))

  def decode("complex64", data),
    do: for(<<re::binary-4, im::binary-4 <- data>>, do: {float32(re), float32(im)})

  def decode("complex128", data),
    do: for(<<re::binary-8, im::binary-8 <- data>>, do: {float64(re), float64(im)})

  def decode("uint" <> bits, data) do
    size = String.to_integer(bits)
    for <<n::unsigned-little-size(outer(size)) <- data>>, do: n
  end

  def decode("int" <> bits, data) do
    size = String.to_integer(bits)
    for <<n::signed-little-size(outer(size)) <- data>>, do: n
  end

  @doc "The bytes of `numbers`. Raises `ArgumentError` if the dtype cannot hold one of them."
  @spec encode([term()], String.t()) :: binary()
  def encode(numbers, dtype) do
    unless is_map_key(@bytes, dtype) do
      raise ArgumentError, "a tensor cannot have the dtype #{inspect(dtype)}"
    end

    for number <- numbers, into: <<>>, do: encode_one(dtype, number)
  end

  defp encode_one("bool", bool) when is_boolean(bool), do: if(bool, do: <<1>>, else: <<0>>)

  defp encode_one("complex64", {re, im}),
    do: encode_one("float32", re) <> encode_one("float32", im)

  defp encode_one("complex128", {re, im}),
    do: encode_one("float64", re) <> encode_one("float64", im)

  defp encode_one("float32", :nan), do: <<0, 0, 0xC0, 0x7F>>
  defp encode_one("float32", :infinity), do: <<0, 0, 0x80, 0x7F>>
  defp encode_one("float32", :neg_infinity), do: <<0, 0, 0x80, 0xFF>>
  defp encode_one("float64", :nan), do: <<0::48, 0xF8, 0x7F>>
  defp encode_one("float64", :infinity), do: <<0::48, 0xF0, 0x7F>>
  defp encode_one("float64", :neg_infinity), do: <<0::48, 0xF0, 0xFF>>
  defp encode_one("float16", :nan), do: <<0, 0x7E>>
  defp encode_one("float16", :infinity), do: <<0, 0x7C>>
  defp encode_one("float16", :neg_infinity), do: <<0, 0xFC>>

  # Numbers that are too large become infinities, as in numpy.
  defp encode_one("float64", n) when is_number(n), do: <<n::float-little-64>>
  defp encode_one("float32", n) when is_number(n), do: <<n::float-little-32>>
  defp encode_one("float16", n) when is_number(n), do: <<n::float-little-16>>

  defp encode_one("bfloat16", :nan), do: <<0xC0, 0x7F>>

  defp encode_one("bfloat16", n) when is_number(n) or is_atom(n) do
    # Rounded to the nearest, ties to even, as torch does.
    <<bits::little-32>> = encode_one("float32", n)
    <<(bits + 0x7FFF + (bits >>> 16 &&& 1)) >>> 16::little-16>>
  end

  defp encode_one("float8" <> _ = dtype, _number) do
    raise ArgumentError,
          "a #{dtype} tensor cannot be made from a list; build %Vllm.Tensor{} with its bytes"
  end

  defp encode_one("uint" <> bits, n) when is_integer(n) and n >= 0 do
    size = String.to_integer(bits)
    if n >>> size == 0, do: <<n::little-size(size)>>, else: refuse("uint" <> bits, n)
  end

  defp encode_one("int" <> bits, n) when is_integer(n) do
    size = String.to_integer(bits)
    if (n >>> (size - 1)) in [0, -1], do: <<n::little-size(size)>>, else: refuse("int" <> bits, n)
  end

  defp encode_one(dtype, other), do: refuse(dtype, other)

  @spec refuse(String.t(), term()) :: no_return()
  defp refuse(dtype, n),
    do: raise(ArgumentError, "a #{dtype} tensor cannot hold #{inspect(n, limit: 5)}")

  # A float pattern matches neither infinities nor not-a-number.

  defp float16(<<n::float-little-16>>), do: n
  defp float16(<<0, 0x7C>>), do: :infinity
  defp float16(<<0, 0xFC>>), do: :neg_infinity
  defp float16(_bits), do: :nan

  defp float32(<<n::float-little-32>>), do: n
  defp float32(<<0, 0, 0x80, 0x7F>>), do: :infinity
  defp float32(<<0, 0, 0x80, 0xFF>>), do: :neg_infinity
  defp float32(_bits), do: :nan

  defp float64(<<n::float-little-64>>), do: n
  defp float64(<<0::48, 0xF0, 0x7F>>), do: :infinity
  defp float64(<<0::48, 0xF0, 0xFF>>), do: :neg_infinity
  defp float64(_bits), do: :nan

  # 4 bits of exponent with bias 7, 3 bits of fraction, no infinities.
  defp e4m3(<<_sign::1, 0x7F::7>>), do: :nan
  defp e4m3(<<sign::1, 0::4, fraction::3>>), do: signed(sign, fraction / 512)

  defp e4m3(<<sign::1, exponent::4, fraction::3>>),
    do: signed(sign, (8 + fraction) * :math.pow(2, exponent - 10))

  defp signed(0, n), do: n
  defp signed(1, n), do: -n
end
