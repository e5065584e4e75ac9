defmodule Vllm.TestVectors do
  @moduledoc """
  Reads the conformance vectors in tests/vectors, and builds terms from their notation.

  tests/vectors/make.py, which writes them, says what they hold.
  """

  @folder Path.expand("../../vectors", __DIR__)

  @doc "Reads a file of vectors; `hex` becomes `bytes`."
  def read(name) do
    for entry <- @folder |> Path.join(name) |> File.read!() |> json(), do: with_bytes(entry)
  end

  defp with_bytes(%{"items" => items} = entry),
    do: %{entry | "items" => Enum.map(items, &with_bytes/1)}

  defp with_bytes(%{"hex" => hex} = entry),
    do: Map.put(entry, "bytes", Base.decode16!(hex, case: :lower))

  defp with_bytes(entry), do: entry

  @doc """
  Builds the term of a notation: `:received` as it arrives from Python, or `:sent` as one would
  write it to send it. They differ for bytes only.
  """
  def build(literal, _way) when is_nil(literal) or is_boolean(literal) or is_binary(literal),
    do: literal

  def build(tagged, way) do
    [{kind, content}] = Map.to_list(tagged)
    build(kind, content, way)
  end

  defp build("int", text, _way), do: String.to_integer(text)
  defp build("float", "7ff8000000000000", _way), do: :nan
  defp build("float", "7ff0000000000000", _way), do: :infinity
  defp build("float", "fff0000000000000", _way), do: :neg_infinity

  defp build("float", hex, _way) do
    <<float::float>> = Base.decode16!(hex, case: :lower)
    float
  end

  defp build("points", points, _way) do
    Enum.map_join(points, fn
      point when point in 0xD800..0xDFFF -> "\uFFFD"
      point -> <<point::utf8>>
    end)
  end

  defp build("bytes", hex, way) do
    data = Base.decode16!(hex, case: :lower)
    if way == :sent, do: %Vllm.Bytes{data: data}, else: data
  end

  defp build("list", items, way), do: Enum.map(items, &build(&1, way))
  defp build("tuple", items, way), do: items |> Enum.map(&build(&1, way)) |> List.to_tuple()
  defp build("set", items, way), do: MapSet.new(items, &build(&1, way))

  defp build("map", pairs, way),
    do: Map.new(pairs, fn [key, value] -> {build(key, way), build(value, way)} end)

  defp build("datetime", text, _way) do
    {:ok, datetime, _offset} = DateTime.from_iso8601(text)
    %{datetime | microsecond: {elem(datetime.microsecond, 0), 6}}
  end

  defp build("naive", text, _way), do: NaiveDateTime.from_iso8601!(text)
  defp build("date", text, _way), do: Date.from_iso8601!(text)
  defp build("time", text, _way), do: Time.from_iso8601!(text)

  defp build("tensor", [dtype, shape, hex], _way),
    do: %Vllm.Tensor{dtype: dtype, shape: shape, data: Base.decode16!(hex, case: :lower)}

  defp build("enum", [class, member], _way),
    do: Vllm.Classes.enum_member(class, member) || member

  defp build("ref", [incarnation, id, type], _way),
    do: %Vllm.Ref{instance: :here, incarnation: incarnation, id: id, type: type}

  defp build("failure", hex, _way) do
    {:ok, failure} = hex |> Base.decode16!(case: :lower) |> Vllm.Proto.Failure.decode()
    Vllm.Core.Codec.Failure.from_proto(failure)
  end

  # An object of Python's, of which fields that are not given are None.
  defp build("struct", [class, fields], way) do
    module = Vllm.Classes.module_for(class)
    nothing = Map.new(Vllm.Classes.fields(module), fn {_name, field} -> {field, nil} end)
    struct!(struct!(module, nothing), atom_fields(fields, way))
  end

  # A struct of ours, of which fields that are not given have their default.
  defp build("record", [class, fields], way),
    do: struct!(Vllm.Classes.module_for(class), atom_fields(fields, way))

  defp atom_fields(fields, way),
    do: for({name, value} <- fields, do: {String.to_existing_atom(name), build(value, way)})

  ## JSON, as far as Python writes it; the standard library of this Elixir has none

  defp json(text) do
    {value, rest} = text |> String.trim() |> value()
    "" = rest
    value
  end

  defp value(<<space, rest::binary>>) when space in ~c" \n", do: value(rest)
  defp value("null" <> rest), do: {nil, rest}
  defp value("true" <> rest), do: {true, rest}
  defp value("false" <> rest), do: {false, rest}
  defp value("\"" <> rest), do: text(rest, [])
  defp value("[]" <> rest), do: {[], rest}
  defp value("{}" <> rest), do: {%{}, rest}
  defp value("[" <> rest), do: items(rest, [])
  defp value("{" <> rest), do: pairs(rest, [])

  defp value(number) do
    case Integer.parse(number) do
      {_whole, "." <> _fraction} -> Float.parse(number)
      {integer, rest} -> {integer, rest}
    end
  end

  defp items(rest, items) do
    {item, rest} = value(rest)

    case String.trim_leading(rest) do
      "," <> rest -> items(rest, [item | items])
      "]" <> rest -> {Enum.reverse([item | items]), rest}
    end
  end

  defp pairs(rest, pairs) do
    {key, rest} = value(rest)
    ":" <> rest = rest
    {item, rest} = value(rest)

    case String.trim_leading(rest) do
      "," <> rest -> pairs(rest, [{key, item} | pairs])
      "}" <> rest -> {Map.new([{key, item} | pairs]), rest}
    end
  end

  defp text("\"" <> rest, parts), do: {parts |> Enum.reverse() |> IO.iodata_to_binary(), rest}

  defp text(<<"\\u", high::binary-4, "\\u", low::binary-4, rest::binary>>, parts)
       when high >= "d800" and high < "dc00" do
    point =
      0x10000 + (String.to_integer(high, 16) - 0xD800) * 0x400 +
        (String.to_integer(low, 16) - 0xDC00)

    text(rest, [<<point::utf8>> | parts])
  end

  defp text(<<"\\u", point::binary-4, rest::binary>>, parts),
    do: text(rest, [<<String.to_integer(point, 16)::utf8>> | parts])

  defp text(<<"\\", char, rest::binary>>, parts) when char in ~c"\"\\/",
    do: text(rest, [char | parts])

  defp text("\\n" <> rest, parts), do: text(rest, [?\n | parts])
  defp text("\\t" <> rest, parts), do: text(rest, [?\t | parts])
  defp text(<<char, rest::binary>>, parts), do: text(rest, [char | parts])
end
