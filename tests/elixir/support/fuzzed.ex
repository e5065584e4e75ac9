defmodule Vllm.Fuzzed do
  @moduledoc false
  # What is given any bytes of a worker: each takes them or refuses them with a `Vllm.Error`. The corpus
  # is that of tests/fuzz/, which `make fuzz` extends.

  alias Vllm.{Codec, Cuts, Error}
  alias Vllm.Core.Wire.Session
  alias Vllm.Proto.ServerFrame

  @corpus Path.expand("../../fuzz/corpus", __DIR__)
  @slow 5_000_000
  @words [
           <<0xC0>>,
           <<0x91>>,
           <<0x81>>,
           <<0xC7, 3, 1>>,
           <<0xDD, 0xFFFFFFFF::32>>,
           <<0xD4, 10, 0x90>>
         ] ++
           for(kind <- 0..9, do: <<4::24, kind, 5, 1::32, 0::32>>)

  # The inputs of the corpus of a target.
  def corpus(target) do
    for path <- Path.wildcard(Path.join([@corpus, "#{target}", "*"])), do: File.read!(path)
  end

  # A value, in any form that the worker may send.
  def codec(bytes) do
    case Codec.decode(bytes, {:it, node()}) do
      {:ok, _value} -> :ok
      {:error, %Error{kind: :protocol, message: message}} when byte_size(message) < 20_000 -> :ok
    end
  end

  # The bytes of a connection: the same frames and the same end wherever they are cut.
  def session(bytes) do
    whole = converse([bytes])
    cut = bytes |> Cuts.random(:erlang.phash2(bytes)) |> converse()
    if whole != cut, do: raise("#{inspect(whole)}, and cut: #{inspect(cut)}")
    :ok
  end

  defp converse(pieces) do
    {_out, session} = Session.open(%Vllm.Proto.ClientHello{token: "token"})

    Enum.reduce_while(pieces, {[], session}, fn piece, {frames, session} ->
      {more, error, out, session} = Session.handle_bytes(session, piece)
      _size = IO.iodata_length(out)
      true = Enum.all?(more, &match?(%ServerFrame{}, &1))

      case error do
        nil -> {:cont, {frames ++ more, session}}
        %Error{kind: kind} -> {:halt, {frames ++ more, kind}}
      end
    end)
    |> case do
      {frames, %Session{goaway: goaway}} -> {frames, goaway}
      ended -> ended
    end
  end

  # Fuzzes one target until the time is over; returns how many inputs were tried, and how many failed.
  def run(name, target, seeds, random, ends, count \\ 0, failed \\ 0) do
    if System.monotonic_time(:millisecond) >= ends do
      {count, failed}
    else
      {bytes, random} = mutated(seeds, random)
      failed = failed + attempt(name, target, bytes)
      run(name, target, seeds, random, ends, count + 1, failed)
    end
  end

  defp attempt(name, target, bytes) do
    {took, :ok} = :timer.tc(fn -> target.(bytes) end)
    if took > @slow, do: slow(name, target, bytes), else: 0
  rescue
    exception -> found(name, bytes, Exception.format(:error, exception, __STACKTRACE__))
  end

  # On a busy machine an input takes long, and little of a core.
  defp slow(name, target, bytes) do
    {before, _since} = :erlang.statistics(:runtime)
    target.(bytes)
    took = elem(:erlang.statistics(:runtime), 0) - before
    if 1_000 * took > @slow, do: found(name, bytes, "took #{took} ms of a core"), else: 0
  end

  defp found(name, bytes, what) do
    digest = :sha256 |> :crypto.hash(bytes) |> Base.encode16(case: :lower) |> String.slice(0, 12)
    File.write!(Path.join([@corpus, "#{name}", "failed-#{digest}"]), bytes)
    IO.puts("#{name}: failed-#{digest}: #{what}")
    1
  end

  defp mutated(seeds, random) do
    {place, random} = :rand.uniform_s(tuple_size(seeds), random)
    {times, random} = :rand.uniform_s(5, random)

    Enum.reduce(1..times, {elem(seeds, place - 1), random}, fn _, {bytes, random} ->
      change(bytes, seeds, random)
    end)
  end

  defp change(bytes, seeds, random) do
    {kind, random} = :rand.uniform_s(5, random)
    {at, random} = :rand.uniform_s(byte_size(bytes) + 1, random)
    {head, tail} = split(bytes, at - 1)
    {size, random} = :rand.uniform_s(16, random)

    case kind do
      1 ->
        {byte, random} = :rand.uniform_s(256, random)
        {_gone, tail} = split(tail, 1)
        {head <> <<byte - 1>> <> tail, random}

      2 ->
        {_gone, tail} = split(tail, size)
        {head <> tail, random}

      3 ->
        {again, _rest} = split(tail, size)
        {head <> again <> tail, random}

      4 ->
        {word, random} = :rand.uniform_s(length(@words), random)
        {head <> Enum.at(@words, word - 1) <> tail, random}

      5 ->
        {place, random} = :rand.uniform_s(tuple_size(seeds), random)
        other = elem(seeds, place - 1)
        {from, random} = :rand.uniform_s(byte_size(other) + 1, random)
        {_head, other} = split(other, from - 1)
        {head <> other, random}
    end
  end

  defp split(bytes, at) do
    at = min(at, byte_size(bytes))
    {binary_part(bytes, 0, at), binary_part(bytes, at, byte_size(bytes) - at)}
  end
end
