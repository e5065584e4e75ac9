defmodule Vllm.Core.Codec.Decoder do
  @moduledoc false
  # Decodes MessagePack.
  #
  # `value/7` reads the bytes once, from left to right. The container that is being filled is in its
  # arguments, the containers around that are on a stack. All calls are tail calls between functions
  # that start by matching the rest as `<<rest::bits>>`, so that the compiler never has to create a
  # sub-binary for it (ERL_COMPILER_OPTIONS=bin_opt_info shows whether it has to). Only extension
  # types recurse, because their content is a binary of its own.
  #
  # A container is described by its `kind` (:list, :map or :root), the number of `missing` items, and
  # the items so far, in reverse. Memory is allocated only for items that have been read, so a header
  # that announces two billion items costs nothing.
  #
  # Malformed input is thrown, with a reason to be read by a person.

  import Vllm.Core.OuterSize

  alias Vllm.Core.Codec.{Encoder, Extension}

  # The worker sends no more containers in one another than it takes. Each is up to three levels here:
  # a struct is an extension type around a list around a map.
  @max_depth 3 * Encoder.max_depth()

  # Lists that are at least so long are first tried as token ids.
  @long 32

  @spec decode(binary(), term()) :: {:ok, term()} | {:error, String.t()}
  def decode(binary, instance) do
    {:ok, binary |> detach() |> decode!(0, instance)}
  catch
    {:malformed, reason} -> {:error, reason}
  end

  @doc "Decodes the content of an extension type, which is nested `depth` containers deep."
  @spec decode!(binary(), non_neg_integer(), term()) :: term()
  def decode!(binary, depth, instance), do: value(binary, :root, 1, [], [], depth, instance)

  @doc """
  Copies the binary if it is a small part of a larger one.

  A frame carries many payloads, and decoded strings are sub-binaries of the payload. With a copy
  they keep one payload in memory instead of the frame. Strings of up to 64 bytes are on the heap.
  """
  @spec detach(binary()) :: binary()
  def detach(binary) do
    if :binary.referenced_byte_size(binary) > 2 * byte_size(binary),
      do: :binary.copy(binary),
      else: binary
  end

  @spec malformed(String.t()) :: no_return()
  def malformed(reason), do: throw({:malformed, reason})

  ## Values

  defp value(<<n, rest::bits>>, kind, missing, items, stack, depth, instance) when n < 0x80,
    do: push(rest, n, kind, missing, items, stack, depth, instance)

  defp value(<<n, rest::bits>>, kind, missing, items, stack, depth, instance) when n >= 0xE0,
    do: push(rest, n - 0x100, kind, missing, items, stack, depth, instance)

  defp value(<<n, rest::bits>>, kind, missing, items, stack, depth, instance) when n < 0x90,
    do: map(rest, n - 0x80, kind, missing, items, stack, depth, instance)

  defp value(<<n, rest::bits>>, kind, missing, items, stack, depth, instance) when n < 0xA0,
    do: list(rest, n - 0x90, kind, missing, items, stack, depth, instance)

  defp value(<<n, rest::bits>>, kind, missing, items, stack, depth, instance) when n < 0xC0,
    do: bytes(rest, n - 0xA0, kind, missing, items, stack, depth, instance)

  for {tag, constant} <- [{0xC0, nil}, {0xC2, false}, {0xC3, true}] do
    defp value(<<unquote(tag), rest::bits>>, kind, missing, items, stack, depth, instance),
      do: push(rest, unquote(constant), kind, missing, items, stack, depth, instance)
  end

  for {tag, sign, size} <- [
        {0xCC, :unsigned, 8},
        {0xCD, :unsigned, 16},
        {0xCE, :unsigned, 32},
        {0xCF, :unsigned, 64},
        {0xD0, :signed, 8},
        {0xD1, :signed, 16},
        {0xD2, :signed, 32},
        {0xD3, :signed, 64}
      ] do
    type = {:-, [], [{sign, [], nil}, size]}

    defp value(
           <<unquote(tag), n::unquote(type), rest::bits>>,
           kind,
           missing,
           items,
           stack,
           depth,
           instance
         ),
         do: push(rest, n, kind, missing, items, stack, depth, instance)
  end

  for {tag, size} <- [{0xCA, 32}, {0xCB, 64}] do
    defp value(
           <<unquote(tag), bits::unquote(size), rest::bits>>,
           kind,
           missing,
           items,
           stack,
           depth,
           instance
         ),
         do:
           push(
             rest,
             unquote(:"float#{size}")(bits),
             kind,
             missing,
             items,
             stack,
             depth,
             instance
           )
  end

  # Text and bytes, lists, maps, extension types: a size, then the function that reads the rest.
  for {tag, size, function} <- [
        {0xD9, 8, :bytes},
        {0xDA, 16, :bytes},
        {0xDB, 32, :bytes},
        {0xC4, 8, :bytes},
        {0xC5, 16, :bytes},
        {0xC6, 32, :bytes},
        {0xDC, 16, :list},
        {0xDD, 32, :list},
        {0xDE, 16, :map},
        {0xDF, 32, :map},
        {0xC7, 8, :extension},
        {0xC8, 16, :extension},
        {0xC9, 32, :extension}
      ] do
    defp value(
           <<unquote(tag), n::unquote(size), rest::bits>>,
           kind,
           missing,
           items,
           stack,
           depth,
           instance
         ),
         do: unquote(function)(rest, n, kind, missing, items, stack, depth, instance)
  end

  for {tag, size} <- [{0xD4, 1}, {0xD5, 2}, {0xD6, 4}, {0xD7, 8}, {0xD8, 16}] do
    defp value(<<unquote(tag), rest::bits>>, kind, missing, items, stack, depth, instance),
      do: extension(rest, unquote(size), kind, missing, items, stack, depth, instance)
  end

  defp value(<<0xC1, _::bits>>, _kind, _missing, _items, _stack, _depth, _instance),
    do: malformed("the byte 0xC1 has no meaning in MessagePack")

  defp value(<<_::bits>>, _kind, _missing, _items, _stack, _depth, _instance),
    do: malformed("it ends too early")

  ## Containers

  defp list(<<rest::bits>>, 0, kind, missing, items, stack, depth, instance),
    do: push(rest, [], kind, missing, items, stack, depth, instance)

  defp list(<<_::bits>>, _size, _kind, _missing, _items, _stack, depth, _instance)
       when depth >= @max_depth,
       do: malformed("its containers are nested too deep")

  defp list(<<rest::bits>>, size, kind, missing, items, stack, depth, instance)
       when size >= @long,
       do: integers(rest, size, [], [{kind, missing, items} | stack], depth + 1, instance)

  defp list(<<rest::bits>>, size, kind, missing, items, stack, depth, instance),
    do: value(rest, :list, size, [], [{kind, missing, items} | stack], depth + 1, instance)

  # The integers that a long list begins with: token ids. It takes a third of what `value/7` takes.
  defp integers(<<n, rest::bits>>, missing, items, stack, depth, instance)
       when missing > 1 and n < 0x80,
       do: integers(rest, missing - 1, [n | items], stack, depth, instance)

  for {tag, size} <- [{0xCD, 16}, {0xCE, 32}, {0xCC, 8}] do
    defp integers(
           <<unquote(tag), n::unquote(size), rest::bits>>,
           missing,
           items,
           stack,
           depth,
           instance
         )
         when missing > 1,
         do: integers(rest, missing - 1, [n | items], stack, depth, instance)
  end

  defp integers(<<rest::bits>>, missing, items, stack, depth, instance),
    do: value(rest, :list, missing, items, stack, depth, instance)

  defp map(<<rest::bits>>, 0, kind, missing, items, stack, depth, instance),
    do: push(rest, %{}, kind, missing, items, stack, depth, instance)

  defp map(<<_::bits>>, _size, _kind, _missing, _items, _stack, depth, _instance)
       when depth >= @max_depth,
       do: malformed("its containers are nested too deep")

  defp map(<<rest::bits>>, size, kind, missing, items, stack, depth, instance),
    do: value(rest, :map, 2 * size, [], [{kind, missing, items} | stack], depth + 1, instance)

  # Adds an item to the container that is being filled, and continues.
  defp push(<<rest::bits>>, item, kind, missing, items, stack, depth, instance) when missing > 1,
    do: value(rest, kind, missing - 1, [item | items], stack, depth, instance)

  defp push(
         <<rest::bits>>,
         item,
         :list,
         1,
         items,
         [{kind, missing, outer} | stack],
         depth,
         instance
       ) do
    list = :lists.reverse(items, [item])
    push(rest, list, kind, missing, outer, stack, depth - 1, instance)
  end

  defp push(
         <<rest::bits>>,
         item,
         :map,
         1,
         items,
         [{kind, missing, outer} | stack],
         depth,
         instance
       ) do
    map = [item | items] |> pairs([]) |> :maps.from_list()
    push(rest, map, kind, missing, outer, stack, depth - 1, instance)
  end

  defp push(<<>>, item, :root, 1, [], [], _depth, _instance), do: item
  defp push(<<_::bits>>, _, :root, 1, _, _, _, _), do: malformed("bytes follow its end")

  # Restores the order of the wire: of two equal keys the last one counts, as in Python.
  defp pairs([item, key | rest], pairs), do: pairs(rest, [{key, item} | pairs])
  defp pairs([], pairs), do: pairs

  ## Text, bytes, extension types

  defp bytes(rest, size, kind, missing, items, stack, depth, instance) do
    case rest do
      <<bytes::binary-size(outer(size)), rest::bits>> ->
        push(rest, bytes, kind, missing, items, stack, depth, instance)

      _ ->
        malformed("it ends too early")
    end
  end

  defp extension(rest, size, kind, missing, items, stack, depth, instance) do
    case rest do
      <<code::signed-8, content::binary-size(outer(size)), rest::bits>> ->
        if depth >= @max_depth, do: malformed("its containers are nested too deep")
        item = Extension.decode(code, content, depth + 1, instance)
        push(rest, item, kind, missing, items, stack, depth, instance)

      _ ->
        malformed("it ends too early")
    end
  end

  ## Floats

  # A float pattern matches neither infinities nor not-a-number.
  defp float64(0x7FF0000000000000), do: :infinity
  defp float64(0xFFF0000000000000), do: :neg_infinity

  defp float64(bits) do
    case <<bits::64>> do
      <<float::float>> -> float
      _ -> :nan
    end
  end

  defp float32(0x7F800000), do: :infinity
  defp float32(0xFF800000), do: :neg_infinity

  defp float32(bits) do
    case <<bits::32>> do
      <<float::float-32>> -> float
      _ -> :nan
    end
  end
end
