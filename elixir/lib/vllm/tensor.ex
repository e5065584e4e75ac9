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

  ## With Nx

  Nx has other names for the types. For the usual ones:

      type = %{"float32" => :f32, "bfloat16" => :bf16, "float16" => :f16, "int64" => :s64}[tensor.dtype]
      tensor.data |> Nx.from_binary(type) |> Nx.reshape(List.to_tuple(tensor.shape))

  This holds on little-endian machines, which all machines that run vLLM are.

  ## Fields

    * `dtype` - the name of the type in torch and numpy: `"float32"`, `"bfloat16"`, `"int64"`, `"bool"` …
    * `shape` - the extent of each dimension; `[]` for a single number
    * `data` - the bytes
  """

  alias Vllm.Core.Codec.Numbers

  @enforce_keys [:dtype, :shape, :data]
  defstruct [:dtype, :shape, :data]

  @type t :: %__MODULE__{dtype: String.t(), shape: [non_neg_integer()], data: binary()}

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
