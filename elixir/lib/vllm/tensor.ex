defmodule Vllm.Tensor do
  @moduledoc """
  An array of numbers as in numpy and torch: a type, a shape, and the bytes of the numbers.

  Embeddings, hidden states and logits arrive as tensors, and tensors can be sent. The bytes are
  little-endian and in C order (the last index varies fastest). Decoding makes no copy of them.

      iex> tensor = Vllm.Tensor.from_list([[1, 2], [3, 4]], "float32")
      iex> tensor.shape
      [2, 2]
      iex> Vllm.Tensor.to_list(tensor)
      [[1.0, 2.0], [3.0, 4.0]]

  `dot/2` and `cosine/2` compare embeddings without a library for numbers:

      iex> cat = Vllm.Tensor.from_list([1.0, 2.0, 2.0], "float32")
      iex> kitten = Vllm.Tensor.from_list([1.0, 2.0, 1.5], "float16")
      iex> Float.round(Vllm.Tensor.cosine(cat, kitten), 2)
      0.99

  ## With Nx

  Where [Nx](https://hexdocs.pm/nx) is loaded, `to_nx/1` and `from_nx/1` convert. Nx is no dependency of this
  library. To pass tensors of Nx as arguments, say once how they are sent:

      defimpl Vllm.Encoder, for: Nx.Tensor do
        def encode(tensor), do: Vllm.Tensor.from_nx(tensor)
      end

  ## Fields

    * `dtype` - the name of the type in torch and numpy: `"float32"`, `"bfloat16"`, `"int64"`, `"bool"` …
    * `shape` - the extent of each dimension; `[]` for a single number
    * `data` - the bytes
  """

  alias Vllm.Core.Codec.Numbers

  @enforce_keys [:dtype, :shape, :data]
  defstruct [:dtype, :shape, :data]

  @type t :: %__MODULE__{dtype: String.t(), shape: [non_neg_integer()], data: binary()}

  # The types of Nx that numpy and torch have too. Nx has no bool.
  @nx_types %{
    "uint8" => {:u, 8},
    "uint16" => {:u, 16},
    "uint32" => {:u, 32},
    "uint64" => {:u, 64},
    "int8" => {:s, 8},
    "int16" => {:s, 16},
    "int32" => {:s, 32},
    "int64" => {:s, 64},
    "float8_e5m2" => {:f, 8},
    "float8_e4m3fn" => {:f8_e4m3fn, 8},
    "float16" => {:f, 16},
    "bfloat16" => {:bf, 16},
    "float32" => {:f, 32},
    "float64" => {:f, 64},
    "complex64" => {:c, 64},
    "complex128" => {:c, 128}
  }

  @dtypes Map.new(@nx_types, fn {dtype, type} -> {type, dtype} end)

  @doc """
  Returns the numbers as nested lists, one level for each dimension.

  A tensor of shape `[]` gives the number itself. Not-a-number and the infinities are `:nan`,
  `:infinity` and `:neg_infinity`; complex numbers are `{real, imaginary}`.
  """
  @spec to_list(t()) :: [term()] | number() | boolean() | atom() | tuple()
  def to_list(%__MODULE__{dtype: dtype, shape: shape, data: data} = tensor) do
    with {:error, reason} <- check(dtype, shape, data), do: raise(ArgumentError, reason)

    if size(tensor) == 0,
      do: hollow(shape),
      else: dtype |> Numbers.decode(data) |> nest(shape)
  end

  # The nested lists of a tensor without numbers: the shape [2, 0] gives [[], []].
  defp hollow([0 | _inner]), do: []
  defp hollow([extent | inner]), do: List.duplicate(hollow(inner), extent)

  defp nest([number], []), do: number

  defp nest(numbers, [_outer | inner]),
    do: inner |> Enum.reverse() |> Enum.reduce(numbers, &group/2)

  defp group(extent, items), do: Enum.chunk_every(items, extent)

  @doc """
  Returns the parts of a tensor along its first dimension, such as the embeddings of a batch. No number is
  copied.

      iex> batch = Vllm.Tensor.from_list([[3.0, 4.0], [0.0, 1.0]], "float32")
      iex> [a, b] = Vllm.Tensor.rows(batch)
      iex> Float.round(Vllm.Tensor.cosine(a, b), 3)
      0.8

  Raises `ArgumentError` for a tensor without dimensions.
  """
  @spec rows(t()) :: [t()]
  def rows(%__MODULE__{dtype: dtype, shape: shape, data: data}) do
    with {:error, reason} <- check(dtype, shape, data), do: raise(ArgumentError, reason)

    case shape do
      [] ->
        raise ArgumentError, "a tensor of shape [] has no rows"

      [count | inner] ->
        bytes = if count == 0, do: 0, else: div(Kernel.byte_size(data), count)

        for row <- Enum.take(0..count, count),
            do: %__MODULE__{
              dtype: dtype,
              shape: inner,
              data: binary_part(data, row * bytes, bytes)
            }
    end
  end

  @doc """
  Makes a tensor from a number or from nested lists.

  Floats that the type cannot represent are rounded, as in numpy. Integers out of range, other terms,
  and lists of uneven lengths raise `ArgumentError`.

      iex> Vllm.Tensor.from_list([1.0, :infinity], "bfloat16").data
      <<0x80, 0x3F, 0x80, 0x7F>>
  """
  @spec from_list(term(), String.t()) :: t()
  def from_list(list, dtype) do
    shape = shape_of(list)

    %__MODULE__{
      dtype: dtype,
      shape: shape,
      data: list |> flatten(shape) |> Numbers.encode(dtype)
    }
  end

  defp shape_of([]), do: [0]
  defp shape_of([first | _] = list) when is_list(first), do: [length(list) | shape_of(first)]
  defp shape_of(list) when is_list(list), do: [length(list)]
  defp shape_of(_number), do: []

  defp flatten(number, []) when not is_list(number), do: [number]

  defp flatten(list, [extent | inner]) when is_list(list) and length(list) == extent,
    do: Enum.flat_map(list, &flatten(&1, inner))

  defp flatten(_other, _shape), do: raise(ArgumentError, "the lists are of uneven lengths")

  @doc """
  Returns the dot product of two vectors: the sum of the products of their numbers.

  The vectors are of the same length and may differ in their types. The products are summed as 64-bit
  floats, and exactly if both vectors hold integers. `true` counts as 1, `false` as 0. Other shapes, complex
  numbers and numbers that are not finite raise `ArgumentError`; a result beyond 64-bit floats raises
  `ArithmeticError`.

      iex> a = Vllm.Tensor.from_list([1, 2, 3], "int8")
      iex> b = Vllm.Tensor.from_list([0.5, 0.0, 2.0], "bfloat16")
      iex> {Vllm.Tensor.dot(a, a), Vllm.Tensor.dot(a, b)}
      {14, 6.5}
  """
  @spec dot(t(), t()) :: number()
  def dot(%__MODULE__{} = a, %__MODULE__{} = b) do
    {numbers_a, numbers_b} = vectors(a, b)
    zero = if whole?(a) and whole?(b), do: 0, else: 0.0
    sum_of_products(numbers_a, numbers_b, zero)
  end

  @doc """
  Returns the cosine of the angle between two vectors, from -1.0 to 1.0.

  The closer it is to 1.0, the more similar are two embeddings. The lengths of the vectors do not matter.
  Raises what `dot/2` raises, and `ArgumentError` for a vector of zeros, which has no direction.

      iex> a = Vllm.Tensor.from_list([3.0, 0.0], "float32")
      iex> b = Vllm.Tensor.from_list([0.0, 0.1], "float32")
      iex> {Vllm.Tensor.cosine(a, a), Vllm.Tensor.cosine(a, b)}
      {1.0, 0.0}
  """
  @spec cosine(t(), t()) :: float()
  def cosine(%__MODULE__{} = a, %__MODULE__{} = b) do
    {a, b} = vectors(a, b)
    {a, b} = {scaled(a), scaled(b)}
    norms = :math.sqrt(sum_of_products(a, a, 0.0) * sum_of_products(b, b, 0.0))
    # Rounding may have gone beyond.
    (sum_of_products(a, b, 0.0) / norms) |> min(1.0) |> max(-1.0)
  end

  # To a largest number of 1, because the squares of others may be too large or vanish.
  defp scaled(numbers) do
    case numbers |> Enum.map(&abs/1) |> Enum.max(fn -> 0 end) do
      zero when zero == 0 -> raise ArgumentError, "a vector of zeros has no direction"
      largest -> Enum.map(numbers, &(&1 / largest))
    end
  end

  defp sum_of_products(a, b, zero), do: Enum.zip_reduce(a, b, zero, &(&1 * &2 + &3))

  defp vectors(%{shape: [length]} = a, %{shape: [length]} = b), do: {numbers(a), numbers(b)}

  defp vectors(%{shape: a}, %{shape: b}) do
    raise ArgumentError,
          "two vectors of the same length are needed, with shapes such as [384] and [384], " <>
            "but the shapes are #{Kernel.inspect(a, charlists: :as_lists)} and " <>
            Kernel.inspect(b, charlists: :as_lists)
  end

  defp numbers(tensor) do
    for number <- to_list(tensor) do
      case number do
        number when is_number(number) ->
          number

        true ->
          1

        false ->
          0

        other ->
          raise ArgumentError, "finite real numbers are needed, but there is #{inspect(other)}"
      end
    end
  end

  defp whole?(%{dtype: dtype}), do: dtype == "bool" or dtype =~ "int"

  @doc """
  Converts to a tensor of Nx, on Nx's default backend. A `"bool"` becomes `:u8`, as in Nx.

  Raises `ArgumentError` if Nx is not loaded, and for a tensor without numbers, which Nx does not have.
  """
  @spec to_nx(t()) :: struct()
  def to_nx(%__MODULE__{dtype: dtype, shape: shape, data: data} = tensor) do
    with {:error, reason} <- check(dtype, shape, data), do: raise(ArgumentError, reason)
    if size(tensor) == 0, do: raise(ArgumentError, "Nx has no tensors without numbers")
    type = if dtype == "bool", do: {:u, 8}, else: Map.fetch!(@nx_types, dtype)
    nx(:reshape, [nx(:from_binary, [data, type]), List.to_tuple(shape)])
  end

  @doc """
  Converts from a tensor of Nx. Its numbers are copied from Nx's backend.

  Raises `ArgumentError` if Nx is not loaded, or if numpy and torch have no such type.
  """
  @spec from_nx(struct()) :: t()
  def from_nx(tensor) do
    type = nx(:type, [tensor])

    case @dtypes do
      %{^type => dtype} ->
        shape = Tuple.to_list(nx(:shape, [tensor]))
        %__MODULE__{dtype: dtype, shape: shape, data: nx(:to_binary, [tensor])}

      _no_such_type ->
        raise ArgumentError, "a tensor of Nx with the type #{inspect(type)} cannot be converted"
    end
  end

  # By apply, because Nx is no dependency.
  defp nx(function, arguments) do
    unless Code.ensure_loaded?(Nx) do
      raise ArgumentError, "Nx is not loaded; add :nx to the dependencies of the application"
    end

    apply(Nx, function, arguments)
  end

  @doc "Returns how many numbers the tensor holds."
  @spec size(t()) :: non_neg_integer()
  def size(%__MODULE__{shape: shape}), do: Enum.product(shape)

  @doc "Returns how many bytes its numbers take."
  @spec byte_size(t()) :: non_neg_integer()
  def byte_size(%__MODULE__{data: data}), do: Kernel.byte_size(data)

  @doc false
  # Whether the three fields fit together.
  @spec check(term(), term(), term()) :: :ok | {:error, String.t()}
  def check(dtype, shape, data) do
    bytes = Numbers.bytes(dtype)

    cond do
      bytes == nil ->
        {:error, "a tensor cannot have the dtype #{inspect(dtype)}"}

      not extents?(shape) ->
        {:error, "a tensor cannot have the shape #{inspect(shape)}"}

      not is_binary(data) ->
        {:error, "a tensor's data must be a binary"}

      Enum.product(shape) * bytes != Kernel.byte_size(data) ->
        {:error,
         "a #{dtype} tensor of shape #{inspect(shape)} has #{Enum.product(shape) * bytes} " <>
           "bytes, but there are #{Kernel.byte_size(data)}"}

      true ->
        :ok
    end
  end

  # numpy has at most 64 dimensions, and signed numbers of 64 bits for their extents.
  defp extents?(shape), do: extents?(shape, 64)

  defp extents?([extent | rest], dimensions)
       when is_integer(extent) and extent in 0..0x7FFF_FFFF_FFFF_FFFF and dimensions > 0,
       do: extents?(rest, dimensions - 1)

  defp extents?(rest, _dimensions), do: rest == []

  defimpl Inspect do
    # Without the numbers, which may be millions.
    def inspect(%{dtype: dtype, shape: shape}, _opts) when is_binary(dtype),
      do: "#Vllm.Tensor<#{dtype}#{Kernel.inspect(shape, charlists: :as_lists)}>"

    def inspect(_tensor, _opts), do: "#Vllm.Tensor<invalid>"
  end
end
