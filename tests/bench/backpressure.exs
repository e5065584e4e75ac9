# What does a consumer cost that is far slower than its engine?
#
#     mix run tests/bench/backpressure.exs [--seconds N] [--others N] [--json] [--rounds N] [--quick]
#
# The fake engine makes tokens as fast as it can for one stream whose consumer takes one item a
# second, while others are read as fast as they come. Shown: how much the worker and the BEAM grow,
# and the speed of the others beside the slow one and without it, in turn, so that both meet the
# same machine. What it does not show: a real engine makes far fewer tokens.

Code.require_file("support/bench.exs", __DIR__)

defmodule Backpressure do
  alias Vllm.AsyncLLM

  @name Backpressure.Vllm

  def run(argv) do
    opts = Bench.options(argv, seconds: :integer, others: :integer)
    seconds = Map.get(opts, :seconds, if(opts.quick, do: 1, else: 20))
    others = Map.get(opts, :others, 63)
    rounds = Bench.rounds(opts, 5)

    {:ok, instance} =
      Vllm.start_link(
        name: @name,
        engine_class: "python_worker.testing.fake_engine:FakeAsyncLLM"
      )

    {:ok, engine} = AsyncLLM.from_engine_args(@name, model: "fake")
    slice = max(div(seconds * 1000, 2 * rounds), 200)
    speed(engine, others, slice, "first")
    {worker, beam} = memory()

    results =
      Bench.in_turn(rounds, [:alone, :beside], fn
        :alone -> %{speed: speed(engine, others, slice, make_ref())}
        :beside -> beside(engine, others, slice)
      end)

    row = %{
      others: others,
      alone: Bench.median(speeds(results.alone)),
      beside: Bench.median(speeds(results.beside)),
      ratio: Bench.paired(speeds(results.beside), speeds(results.alone)),
      worker_mb: (most(results.beside, :worker) - worker) / 1.0e6,
      beam_mb: (most(results.beside, :beam) - beam) / 1.0e6
    }

    columns =
      [others: "others", alone: "items/s alone", beside: "beside the slow one"] ++
        [ratio: {"ratio", 3}, worker_mb: {"worker MB more", 1}, beam_mb: {"BEAM MB more", 1}]

    Bench.report(opts, "backpressure", [
      Bench.table("A consumer of one item a second", columns, [row])
    ])

    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
  end

  defp speeds(results), do: Enum.map(results, & &1.speed)
  defp most(results, part), do: results |> Enum.map(& &1[part]) |> Enum.max()

  defp beside(engine, others, slice) do
    slow = slow(engine)
    speed = speed(engine, others, slice, make_ref())
    # While the slow one is there.
    {worker, beam} = memory()
    Process.exit(slow, :kill)
    %{speed: speed, worker: worker, beam: beam}
  end

  # A stream of 50,000 items a second and more, of which one a second is taken.
  defp slow(engine) do
    test = self()

    pid =
      spawn(fn ->
        {:ok, stream} = Vllm.call(engine, "count", [1_000_000_000])
        send(test, {:slow, self()})

        Enum.each(stream, fn _ ->
          receive do
          after
            1_000 -> :ok
          end
        end)
      end)

    receive do: ({:slow, ^pid} -> pid)
  end

  # Items of all the others together, each second of `slice` milliseconds.
  defp speed(engine, others, slice, round) do
    until = System.monotonic_time(:millisecond) + slice

    taken =
      1..others
      |> Enum.map(fn n -> Task.async(fn -> take(engine, "#{inspect(round)}-#{n}", until) end) end)
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
    {:ok, %{"pid" => pid}} = Vllm.status(@name)
    [_size, pages | _] = "/proc/#{pid}/statm" |> File.read!() |> String.split()
    {String.to_integer(pages) * 4096, :erlang.memory(:total)}
  end
end

Backpressure.run(System.argv())
