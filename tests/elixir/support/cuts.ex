defmodule Vllm.Cuts do
  @moduledoc false
  # Bytes as a socket may deliver them: in pieces that end anywhere.

  import Vllm.Core.OuterSize

  # The same seed cuts at the same places.
  def random(bytes, seed) do
    random = :rand.seed_s(:exsss, seed)
    cut(bytes, random, [])
  end

  def every(bytes, size) do
    case bytes do
      <<piece::binary-size(outer(size)), rest::binary>> -> [piece | every(rest, size)]
      "" -> []
      rest -> [rest]
    end
  end

  # One byte in some places is another one.
  def mutate(bytes, seed, times) do
    random = :rand.seed_s(:exsss, seed)

    {mutated, _random} =
      Enum.reduce(1..times, {bytes, random}, fn _, {bytes, random} -> flip(bytes, random) end)

    mutated
  end

  defp flip(bytes, random) do
    {position, random} = :rand.uniform_s(byte_size(bytes), random)
    {value, random} = :rand.uniform_s(256, random)
    before = position - 1
    <<head::binary-size(outer(before)), _, tail::binary>> = bytes
    {<<head::binary, value - 1, tail::binary>>, random}
  end

  defp cut("", _random, pieces), do: Enum.reverse(pieces)

  defp cut(bytes, random, pieces) do
    # Small pieces as often as large ones.
    {scale, random} = :rand.uniform_s(17, random)
    {size, random} = :rand.uniform_s(2 ** (scale - 1), random)
    size = min(size, byte_size(bytes))
    <<piece::binary-size(outer(size)), rest::binary>> = bytes
    cut(rest, random, [piece | pieces])
  end
end
