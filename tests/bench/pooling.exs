# How long does a batch of embeddings take, beside the same requests in process and one by one?
#
#     mix run tests/bench/pooling.exs [MODEL] [--json] [--rounds N] [--quick]
#
# One worker, one engine, by default of MiniLM. Each round embeds the same short texts in turn: in the
# engine's own process, all at once; from Elixir with one `Vllm.embed/3`; and from Elixir with an
# `AsyncLLM.encode/5` for each text, all at once. The table shows medians over the rounds, and the
# median of their ratios to the time in process. A warm-up round is not counted.
#
# What it does not show: long texts and large models, where the engine takes nearly all of the time.

Code.require_file("support/measured.exs", __DIR__)

defmodule Pooling do
  alias Bench.Measured
  alias Vllm.{AsyncLLM, SmallModel, Stream}

  @counts [16, 256]
  @columns [
    texts: "texts",
    in_process_ms: {"in process, ms", 1},
    batch_ms: {"one Vllm.embed, ms", 1},
    single_ms: {"many encode, ms", 1},
    batch_ratio: {"embed : in process", 2},
    single_ratio: {"encode : in process", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    opts = if opts.rest == [], do: %{opts | rest: [SmallModel.path!(:embed)]}, else: opts
    arguments = [runner: "pooling", max_model_len: 256]

    tables =
      Measured.with_engine(opts, arguments, fn engine ->
        [measure(engine, if(opts.quick, do: [16], else: @counts), Bench.rounds(opts, 7))]
      end)

    Bench.report(opts, "pooling", tables)
  end

  defp measure(engine, counts, rounds) do
    turns = for count <- counts, way <- [:in_process, :batch, :single], do: {way, count}
    time = fn {way, count} -> milliseconds(way, engine, texts(count)) end
    Enum.each(turns, time)
    results = Bench.in_turn(rounds, turns, time)

    rows =
      for count <- counts do
        [reference, batch, single] =
          for way <- [:in_process, :batch, :single], do: results[{way, count}]

        %{
          texts: count,
          in_process_ms: Bench.median(reference),
          batch_ms: Bench.median(batch),
          single_ms: Bench.median(single),
          batch_ratio: Bench.paired(batch, reference),
          single_ratio: Bench.paired(single, reference)
        }
      end

    Bench.table("embeddings of short texts", @columns, rows)
  end

  defp texts(count), do: for(n <- 1..count, do: "The train number #{n} leaves at noon.")

  defp milliseconds(:in_process, engine, texts) do
    {:ok, seconds} = Vllm.call(engine, :embed_in_process, [texts], rpc: [timeout: :infinity])

    seconds * 1000
  end

  defp milliseconds(:batch, engine, texts) do
    {microseconds, {:ok, batch}} = :timer.tc(fn -> Vllm.embed(engine, texts) end)
    true = hd(batch.embeddings.shape) == length(texts)
    microseconds / 1000
  end

  defp milliseconds(:single, engine, texts) do
    {microseconds, outputs} =
      :timer.tc(fn ->
        texts
        |> Enum.with_index()
        |> Enum.map(fn {text, n} -> Task.async(fn -> encode(engine, text, n) end) end)
        |> Task.await_many(:infinity)
      end)

    true = length(outputs) == length(texts)
    microseconds / 1000
  end

  defp encode(engine, text, n) do
    {:ok, stream} = AsyncLLM.encode(engine, text, [task: "embed"], "single-#{n}")
    {:ok, output} = Stream.collect(stream)
    output
  end
end

Pooling.run(System.argv())
