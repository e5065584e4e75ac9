defmodule Vllm.Core.Codec.Extension do
  @moduledoc false
  # Decodes MessagePack's extension types. The worker's codec has the same codes.

  import Vllm.Core.Codec.Decoder, only: [decode!: 3, malformed: 1]
  import Vllm.Core.OuterSize

  alias Vllm.{Classes, Logprob, Proto, Ref, Tensor}
  alias Vllm.Core.Codec.Failure

  @patch 13

  # Larger than any useful number, and still quick to decode.
  @max_bigint_bytes 65_536

  @doc "The code of a patch, which `Vllm.Core.Codec.OutputPatch` reads."
  def patch_code, do: @patch

  @doc "Decodes the content of the extension type `code`."
  @spec decode(integer(), binary(), pos_integer(), term()) :: term()
  def decode(1, content, depth, instance),
    do: content |> array(depth, instance) |> List.to_tuple()

  def decode(2, content, depth, instance), do: content |> array(depth, instance) |> MapSet.new()

  def decode(3, content, _depth, _instance) when byte_size(content) in 1..@max_bigint_bytes do
    size = byte_size(content)
    <<int::signed-size(outer(size))-unit(8)>> = content
    int
  end

  def decode(4, content, _depth, _instance) do
    case DateTime.from_iso8601(content) do
      {:ok, datetime, _offset} -> datetime
      {:error, _reason} -> malformed("it holds an invalid datetime")
    end
  end

  def decode(5, content, _depth, _instance), do: iso(NaiveDateTime, content)
  def decode(6, content, _depth, _instance), do: iso(Date, content)
  def decode(7, content, _depth, _instance), do: iso(Time, content)

  def decode(8, content, depth, instance) do
    case array(content, depth, instance) do
      [dtype, shape, data] -> tensor(dtype, shape, data)
      _ -> malformed("it holds a tensor without its three parts")
    end
  end

  def decode(9, content, depth, instance) do
    case array(content, depth, instance) do
      [class, member] when is_binary(class) and is_binary(member) ->
        Classes.enum_member(class, member) || member

      _ ->
        malformed("it holds an enum without its two names")
    end
  end

  def decode(10, content, depth, instance) do
    case array(content, depth, instance) do
      [incarnation, id, type]
      when is_binary(incarnation) and is_binary(id) and is_binary(type) ->
        %Ref{instance: instance, incarnation: incarnation, id: id, type: type}

      _ ->
        malformed("it holds a reference without its three parts")
    end
  end

  def decode(11, content, depth, instance) do
    case array(content, depth, instance) do
      [class, %{} = fields] when is_binary(class) and not is_struct(fields) ->
        record(Classes.module_for(class), class, fields)

      _ ->
        malformed("it holds a struct without a name and fields")
    end
  end

  def decode(12, content, _depth, _instance) do
    case Proto.Failure.decode(content) do
      {:ok, failure} -> Failure.from_proto(failure)
      {:error, _reason} -> malformed("it holds an exception that cannot be read")
    end
  end

  def decode(14, content, depth, instance) do
    case array(content, depth, instance) do
      [logprob, rank, token] -> %Logprob{logprob: logprob, rank: rank, decoded_token: token}
      _ -> malformed("it holds a logprob without its three parts")
    end
  end

  def decode(16, content, depth, instance) do
    case array(content, depth, instance) do
      [ids, logprobs, ranks, tokens]
      when is_list(ids) and is_list(logprobs) and is_list(ranks) and is_list(tokens) ->
        ids |> position(logprobs, ranks, tokens) |> :maps.from_list()

      _ ->
        malformed("it holds the logprobs of a position without their four lists")
    end
  end

  # MessagePack's own timestamp. The worker never sends it; other encoders may.
  def decode(-1, <<seconds::32>>, _depth, _instance), do: timestamp(seconds, 0)

  def decode(-1, <<nanoseconds::30, seconds::34>>, _depth, _instance),
    do: timestamp(seconds, nanoseconds)

  def decode(-1, <<nanoseconds::32, seconds::signed-64>>, _depth, _instance),
    do: timestamp(seconds, nanoseconds)

  def decode(@patch, _content, _depth, _instance),
    do: malformed("it holds a patch outside of a stream")

  def decode(code, _content, _depth, _instance),
    do: malformed("the extension type #{code} is unknown, or its content does not fit")

  defp array(content, depth, instance) do
    case decode!(content, depth, instance) do
      items when is_list(items) -> items
      _other -> malformed("an extension type holds no array")
    end
  end

  defp position([id | ids], [logprob | logprobs], [rank | ranks], [token | tokens]) do
    entry = %Logprob{logprob: logprob, rank: rank, decoded_token: token}
    [{id, entry} | position(ids, logprobs, ranks, tokens)]
  end

  defp position([], [], [], []), do: []
  defp position(_, _, _, _), do: malformed("it holds logprobs in lists of different lengths")

  defp tensor(dtype, shape, data) do
    case Tensor.check(dtype, shape, data) do
      :ok -> %Tensor{dtype: dtype, shape: shape, data: data}
      {:error, reason} -> malformed(reason)
    end
  end

  defp iso(module, content) do
    case module.from_iso8601(content) do
      {:ok, value} -> value
      {:error, _reason} -> malformed("it holds an invalid date or time")
    end
  end

  # Of a whole second the precision is a second. What is added to one later keeps that precision.
  defp timestamp(seconds, 0), do: from_unix(seconds, :second)

  defp timestamp(seconds, nanoseconds) when nanoseconds < 1_000_000_000,
    do: from_unix(seconds * 1_000_000 + div(nanoseconds, 1000), :microsecond)

  defp timestamp(_seconds, _nanoseconds), do: malformed("it holds an invalid timestamp")

  defp from_unix(count, unit) do
    case DateTime.from_unix(count, unit) do
      {:ok, datetime} -> datetime
      {:error, _reason} -> malformed("it holds an invalid timestamp")
    end
  end

  # A class that this client has no struct for, from a newer vLLM: its fields as a map.
  defp record(nil, class, fields), do: Map.put(fields, "__class__", class)

  defp record(module, _class, fields), do: update(module.__struct__(), module, fields)

  @doc """
  Sets the fields of a struct from a map with string keys. Unknown ones, of a newer worker, go into the
  field `extra` if the struct has it, and are ignored otherwise.
  """
  @spec update(struct(), module(), %{optional(term()) => term()}) :: struct()
  def update(struct, module, fields) do
    Enum.reduce(fields, struct, fn {name, value}, struct ->
      case is_binary(name) and Classes.field_atom(module, name) do
        nil -> unknown(struct, name, value)
        false -> struct
        field -> %{struct | field => value}
      end
    end)
  end

  defp unknown(%{extra: extra} = struct, name, value),
    do: %{struct | extra: Map.put(extra, name, value)}

  defp unknown(struct, _name, _value), do: struct
end
