defmodule Vllm.Core.Codec.Encoder do
  @moduledoc false
  # Encodes terms as MessagePack, in the form of iodata.
  #
  # The path to each part of the term is passed along as a list of steps, and becomes a string only
  # when a part cannot be encoded. That is thrown: a term is encoded as a whole or not at all.

  alias Vllm.Core.Codec.{Path, StreamMark}

  @tuple 1
  @set 2
  @bigint 3
  @datetime 4
  @naive 5
  @date 6
  @time 7
  @tensor 8
  @ref 10
  @record 11
  @logprob 14
  @stream 15

  # Python's stack is limited, and its checks of arguments use it for each container. The worker's half
  # is `MAX_DEPTH` in codec/depth.py: each container counts as one.
  @max_depth 128

  @doc "In how many containers a term may be."
  @spec max_depth() :: pos_integer()
  def max_depth, do: @max_depth

  # Integers of lists that are at least so long are encoded as one binary. A binary for each takes longer
  # to make, to count and to send.
  @run 32

  @spec encode(term(), String.t()) :: {:ok, iodata()} | {:error, String.t(), String.t()}
  def encode(term, root) do
    # In a list, because a single small integer is not iodata.
    {:ok, [value(term, [], 0)]}
  catch
    {:refused, path, reason} -> {:error, Path.to_string(path, root), reason}
  end

  defp value(nil, _path, _depth), do: 0xC0
  defp value(false, _path, _depth), do: 0xC2
  defp value(true, _path, _depth), do: 0xC3
  defp value(int, _path, _depth) when is_integer(int), do: integer(int)
  defp value(float, _path, _depth) when is_float(float), do: <<0xCB, float::float>>

  defp value(binary, path, _depth) when is_binary(binary) do
    unless String.valid?(binary) do
      refuse(path, "not UTF-8 text; to send bytes, use %Vllm.Bytes{data: …}")
    end

    string(binary, path)
  end

  defp value(:nan, _path, _depth), do: <<0xCB, 0x7FF8000000000000::64>>
  defp value(:infinity, _path, _depth), do: <<0xCB, 0x7FF0000000000000::64>>
  defp value(:neg_infinity, _path, _depth), do: <<0xCB, 0xFFF0000000000000::64>>
  defp value(atom, path, _depth) when is_atom(atom), do: string(Atom.to_string(atom), path)
  defp value([], _path, _depth), do: 0x90
  defp value(%_{} = struct, path, depth), do: struct(struct, path, deeper(depth, path))

  defp value(map, path, depth) when is_map(map) do
    depth = deeper(depth, path)
    pairs = for {key, item} <- map, do: pair(key, item, map, path, depth)
    [map_header(map_size(map)) | pairs]
  end

  defp value([{key, _} | _] = list, path, depth) when is_atom(key) do
    if named?(list),
      do: keyword(list, path, deeper(depth, path)),
      else: list(list, path, depth)
  end

  defp value(list, path, depth) when is_list(list), do: list(list, path, depth)

  defp value(tuple, path, depth) when is_tuple(tuple) do
    depth = deeper(depth, path)
    extension(@tuple, array(Tuple.to_list(tuple), tuple_size(tuple), path, depth), path)
  end

  defp value(other, path, _depth), do: refuse(path, "#{kind(other)} cannot be sent")

  ## Containers

  # length/1 raises for an improper list; in a guard the clause does not match instead.
  defp list(list, path, depth) when length(list) >= 0,
    do: array(list, length(list), path, deeper(depth, path))

  defp list(_list, path, _depth), do: refuse(path, "an improper list cannot be sent")

  defp array([int | _] = items, size, path, depth) when size >= @run and is_integer(int) do
    {integers, rest, index} = integers(items, <<>>, 0)
    [array_header(size), integers | items(rest, index, path, depth)]
  end

  defp array(items, size, path, depth), do: [array_header(size) | items(items, 0, path, depth)]

  # Needs no path, because every integer can be encoded.
  defp items([int | rest], index, path, depth) when is_integer(int),
    do: [integer(int) | items(rest, index + 1, path, depth)]

  defp items([item | rest], index, path, depth),
    do: [value(item, [{:index, index} | path], depth) | items(rest, index + 1, path, depth)]

  defp items([], _index, _path, _depth), do: []

  defp pair(key, item, map, path, depth) when is_atom(key) do
    if becomes_string?(key) and is_map_key(map, Atom.to_string(key)) do
      refuse(path, "the keys #{inspect(key)} and #{inspect(Atom.to_string(key))} are the same")
    end

    [value(key, path, depth), value(item, [{:key, key} | path], depth)]
  end

  defp pair(key, item, _map, path, depth) do
    [value(key, [{:in_key, key} | path], depth), value(item, [{:key, key} | path], depth)]
  end

  defp becomes_string?(key), do: key not in [nil, true, false, :nan, :infinity, :neg_infinity]

  # Whether it is a keyword list. `nil` and booleans as keys are values of Python, not names.
  defp named?([{key, _value} | rest]) when is_atom(key) and key not in [nil, true, false],
    do: named?(rest)

  defp named?(rest), do: rest == []

  defp keyword(list, path, depth) do
    map = Map.new(list)

    if map_size(map) != length(list) do
      [twice | _] = Keyword.keys(list) -- Map.keys(map)
      refuse(path, "the key #{inspect(twice)} occurs twice")
    end

    [map_header(map_size(map)) | for({key, item} <- list, do: pair(key, item, map, path, depth))]
  end

  ## Structs

  defp struct(%MapSet{} = set, path, depth) do
    items = for item <- set, do: value(item, [:member | path], depth)
    extension(@set, [array_header(MapSet.size(set)) | items], path)
  end

  defp struct(%Vllm.Bytes{data: data}, path, _depth) do
    unless is_binary(data), do: refuse(path, "the data of a Vllm.Bytes must be a binary")
    bin(data, path)
  end

  defp struct(%Vllm.Tensor{dtype: dtype, shape: shape, data: data}, path, _depth) do
    case Vllm.Tensor.check(dtype, shape, data) do
      :ok ->
        shape = [array_header(length(shape)) | Enum.map(shape, &integer/1)]
        extension(@tensor, [array_header(3), string(dtype, path), shape, bin(data, path)], path)

      {:error, reason} ->
        refuse(path, reason)
    end
  end

  defp struct(%Vllm.Ref{} = ref, path, _depth) do
    case Vllm.Ref.names(ref) do
      {:ok, names} ->
        extension(@ref, [array_header(3) | Enum.map(names, &string(&1, path))], path)

      {:error, error} ->
        refuse(path, error.message)
    end
  end

  defp struct(%Vllm.Logprob{} = it, path, depth) do
    fields = [logprob: it.logprob, rank: it.rank, decoded_token: it.decoded_token]
    items = for {name, item} <- fields, do: value(item, [{:field, name} | path], depth)
    extension(@logprob, [array_header(3) | items], path)
  end

  # Only an argument itself, not a part of one, can be a stream.
  defp struct(%StreamMark{}, path, _depth),
    do: extension(@stream, [array_header(0)], path)

  defp struct(%DateTime{} = datetime, path, _depth) do
    check_calendar(datetime, path)
    # ISO 8601 has no seconds in an offset (local mean times do).
    datetime =
      if rem(datetime.utc_offset + datetime.std_offset, 60) == 0,
        do: datetime,
        else: DateTime.shift_zone!(datetime, "Etc/UTC")

    text = datetime |> microseconds() |> DateTime.to_iso8601()
    extension(@datetime, String.replace_suffix(text, "Z", "+00:00"), path)
  end

  defp struct(%NaiveDateTime{} = datetime, path, _depth) do
    check_calendar(datetime, path)
    extension(@naive, NaiveDateTime.to_iso8601(microseconds(datetime)), path)
  end

  defp struct(%Date{} = date, path, _depth) do
    check_calendar(date, path)
    extension(@date, Date.to_iso8601(date), path)
  end

  defp struct(%Time{calendar: Calendar.ISO} = time, path, _depth),
    do: extension(@time, Time.to_iso8601(microseconds(time)), path)

  defp struct(%Time{}, path, _depth), do: refuse(path, "only Calendar.ISO can be sent")

  defp struct(%module{} = struct, path, depth) do
    case Vllm.Classes.class_for(module) do
      nil -> foreign(struct, path, depth)
      class -> record(class, module, struct, path, depth)
    end
  end

  defp record(class, module, struct, path, depth) do
    fields = for {field, item} <- differences(module, struct), do: field(field, item, path, depth)

    extension(
      @record,
      [array_header(2), string(class, path), map_header(length(fields)) | fields],
      path
    )
  end

  defp differences(module, struct) do
    defaults = module.__struct__()

    for {field, item} <- Map.to_list(struct),
        field != :__struct__ and item !== Map.get(defaults, field, :none) do
      {field, item}
    end
  end

  defp field(field, item, path, depth) do
    [string(Atom.to_string(field), path), value(item, [{:field, field} | path], depth)]
  end

  defp foreign(%module{} = struct, path, depth) do
    case Vllm.Encoder.impl_for(struct) do
      nil ->
        refuse(
          path,
          "a #{inspect(module)} struct cannot be sent; send a map of what Python needs, " <>
            "or implement Vllm.Encoder for it"
        )

      implementation ->
        # The depth has been increased, so an implementation that always returns its own struct ends.
        value(implementation.encode(struct), path, depth)
    end
  end

  defp check_calendar(%{calendar: Calendar.ISO, year: year}, _path) when year in 1..9999, do: :ok

  defp check_calendar(%{calendar: Calendar.ISO}, path),
    do: refuse(path, "Python has only the years 1 to 9999")

  defp check_calendar(_other, path), do: refuse(path, "only Calendar.ISO can be sent")

  defp microseconds(%{microsecond: {value, _precision}} = time),
    do: %{time | microsecond: {value, 6}}

  # The integers that a list of token ids begins with, as one binary.
  for {range, prefix, type} <- [
        {0..0x7F, <<>>, 8},
        {0x80..0xFF, <<0xCC>>, 8},
        {0x100..0xFFFF, <<0xCD>>, 16},
        {0x10000..0xFFFFFFFF, <<0xCE>>, 32}
      ] do
    defp integers([int | rest], bytes, index) when int in unquote(Macro.escape(range)),
      do: integers(rest, <<bytes::binary, unquote(prefix), int::unquote(type)>>, index + 1)
  end

  defp integers(rest, bytes, index), do: {bytes, rest, index}

  ## MessagePack

  defp integer(int) when int in 0..0x7F, do: int
  defp integer(int) when int in -32..-1, do: <<int::8>>
  defp integer(int) when int in 0..0xFF, do: <<0xCC, int::8>>
  defp integer(int) when int in 0..0xFFFF, do: <<0xCD, int::16>>
  defp integer(int) when int in 0..0xFFFFFFFF, do: <<0xCE, int::32>>
  defp integer(int) when int in 0..0xFFFFFFFFFFFFFFFF, do: <<0xCF, int::64>>
  defp integer(int) when int in -0x80..-1, do: <<0xD0, int::8>>
  defp integer(int) when int in -0x8000..-1, do: <<0xD1, int::16>>
  defp integer(int) when int in -0x80000000..-1, do: <<0xD2, int::32>>
  defp integer(int) when int in -0x8000000000000000..-1, do: <<0xD3, int::64>>

  defp integer(int) do
    # With one more bit than the magnitude needs, for the sign.
    <<top, rest::binary>> = :binary.encode_unsigned(abs(int))
    size = byte_size(rest) + if(top >= 0x80, do: 2, else: 1)
    [extension_header(@bigint, size) | <<int::signed-size(size)-unit(8)>>]
  end

  defp string(text, path) do
    case byte_size(text) do
      size when size < 32 -> [0xA0 + size | text]
      size when size < 0x100 -> [<<0xD9, size>> | text]
      size when size < 0x10000 -> [<<0xDA, size::16>> | text]
      size when size < 0x100000000 -> [<<0xDB, size::32>> | text]
      _ -> refuse(path, "a binary of 4 GiB or more cannot be sent")
    end
  end

  defp bin(data, path) do
    case byte_size(data) do
      size when size < 0x100 -> [<<0xC4, size>> | data]
      size when size < 0x10000 -> [<<0xC5, size::16>> | data]
      size when size < 0x100000000 -> [<<0xC6, size::32>> | data]
      _ -> refuse(path, "a binary of 4 GiB or more cannot be sent")
    end
  end

  defp array_header(size) when size < 16, do: 0x90 + size
  defp array_header(size) when size < 0x10000, do: <<0xDC, size::16>>
  defp array_header(size), do: <<0xDD, size::32>>

  defp map_header(size) when size < 16, do: 0x80 + size
  defp map_header(size) when size < 0x10000, do: <<0xDE, size::16>>
  defp map_header(size), do: <<0xDF, size::32>>

  defp extension(code, content, path) do
    size = IO.iodata_length(content)
    if size >= 0x100000000, do: refuse(path, "more than 4 GiB in one value cannot be sent")
    [extension_header(code, size) | content]
  end

  defp extension_header(code, 1), do: <<0xD4, code>>
  defp extension_header(code, 2), do: <<0xD5, code>>
  defp extension_header(code, 4), do: <<0xD6, code>>
  defp extension_header(code, 8), do: <<0xD7, code>>
  defp extension_header(code, 16), do: <<0xD8, code>>
  defp extension_header(code, size) when size < 0x100, do: <<0xC7, size, code>>
  defp extension_header(code, size) when size < 0x10000, do: <<0xC8, size::16, code>>
  defp extension_header(code, size), do: <<0xC9, size::32, code>>

  ## Refusals

  defp deeper(depth, _path) when depth < @max_depth, do: depth + 1

  defp deeper(_depth, path),
    do: refuse(path, "containers that are nested more than #{@max_depth} deep cannot be sent")

  defp kind(term) when is_pid(term), do: "a pid"
  defp kind(term) when is_function(term), do: "a function"
  defp kind(term) when is_port(term), do: "a port"
  defp kind(term) when is_reference(term), do: "an Erlang reference"
  defp kind(term) when is_bitstring(term), do: "a bitstring that is not whole bytes"

  @spec refuse(list(), String.t()) :: no_return()
  defp refuse(path, reason), do: throw({:refused, path, reason})
end
