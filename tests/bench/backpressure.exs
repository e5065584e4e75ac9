# What does a consumer cost that is far slower than its engine?
#
#     mix run tests/bench/backpressure.exs [--seconds N] [--others N]
#
# The fake engine makes tokens as fast as it can for one stream whose consumer takes one item a
# second, while others are read as fast as they come. Shown: how much the worker and the BEAM grow,
# and the speed of the others beside the slow one and without it, in turn, so that both meet the
# same machine. What it does not show: a real engine makes far fewer tokens.

defmodule Backpressure do
  alias Vllm.AsyncLLM

  @rounds 5

  def run(argv) do
    {opts, []} = OptionParser.parse!(argv, strict: [seconds: :integer, others: :integer])
    Logger.configure(level: :error)
    seconds = Keyword.get(opts, :seconds, 20)
    others = Keyword.get(opts, :others, 63)

    {:ok, instance} =
      Vllm.start_link(
        name: Backpressure.Vllm,
        engine_class: "python_worker.testing.fake_engine:FakeAsyncLLM",
        log: :debug
      )

    {:ok, engine} = AsyncLLM.from_engine_args(Backpressure.Vllm, model: "fake")
    slice = max(div(seconds * 1000, 2 * @rounds), 200)
    speed(engine, others, slice, 0)
    before = memory()

    rows =
      for round <- 1..@rounds do
        alone = speed(engine, others, slice, round)
        slow = slow(engine, round)
        beside = speed(engine, others, slice, -round)
        # While the slow one is there.
        {worker, beam} = memory()
        Process.exit(slow, :kill)
        {alone, beside, worker, beam}
      end

    [alone, beside] = for place <- 0..1, do: rows |> Enum.map(&elem(&1, place)) |> median()
    [worker, beam] = for place <- 2..3, do: rows |> Enum.map(&elem(&1, place)) |> Enum.max()
    IO.puts("worker: #{megabytes(worker - elem(before, 0))} MB more")
    IO.puts("BEAM:   #{megabytes(beam - elem(before, 1))} MB more")

    IO.puts(
      "#{others} others: #{round(alone)} items/s alone, #{round(beside)} beside the slow one"
    )

    IO.puts("ratio:  #{Float.round(beside / alone, 3)}")
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
  end

  # A stream of 50,000 items a second and more, of which one a second is taken.
  defp slow(engine, round) do
    test = self()

    pid =
      spawn(fn ->
        {:ok, stream} = Vllm.call(engine, "count", [1_000_000_000])
        send(test, {:slow, round})

        Enum.each(stream, fn _ ->
          receive do
          after
            1_000 -> :ok
          end
        end)
      end)

    receive do: ({:slow, ^round} -> pid)
  end

  # Items of all the others together, each second of `slice` milliseconds.
  defp speed(engine, others, slice, round) do
    until = System.monotonic_time(:millisecond) + slice

    taken =
      1..others
      |> Enum.map(fn n -> Task.async(fn -> take(engine, "#{round}-#{n}", until) end) end)
      |> Task.await_many(:infinity)
      |> Enum.sum()

    taken / slice * 1000
  end

  defp take(engine, id, until) do
    params = [
      max_tokens: 1_000_000,
      output_kind: :DELTA,
      extra_args: %{"fake" => %{"paced" => true}}
    ]

    {:ok, stream} = AsyncLLM.generate(engine, "x", params, id)

    Enum.reduce_while(stream, 0, fn _item, taken ->
      if System.monotonic_time(:millisecond) < until,
        do: {:cont, taken + 1},
        else: {:halt, taken}
    end)
  end

  defp memory do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    {:ok, %{"pid" => pid}} = Vllm.status(Backpressure.Vllm)
    [_size, pages | _] = "/proc/#{pid}/statm" |> File.read!() |> String.split()
    {String.to_integer(pages) * 4096, :erlang.memory(:total)}
  end

  defp median(numbers), do: numbers |> Enum.sort() |> Enum.at(div(length(numbers), 2))
  defp megabytes(bytes), do: Float.round(bytes / 1.0e6, 1)
end

Backpressure.run(System.argv())
