# What does a stream cost in memory, and how soon are a thousand of them there and gone?
#
#     mix run tests/bench/streams.exs [--streams 1000,5000] [--items N] [--json] [--quick]
#
# Each stream has a consumer of its own, a process. All streams are open on one connection; each
# has given its first item and waits for the next. Shown for each stream: by how much the BEAM and
# the worker have grown, what of it are the consumers, and what the connection. Before and after a
# garbage collection of all processes: "before" is what a program would see.
#
# The engine is the fake one, and what it keeps of a request is in the worker's share. What it does not
# show: a longer prompt, which the consumer gets with every item.

Code.require_file("support/bench.exs", __DIR__)

defmodule Streams do
  alias Vllm.AsyncLLM

  @name Streams.Vllm

  def run(argv) do
    opts = Bench.options(argv, streams: :string, items: :integer)
    items = Map.get(opts, :items, 50)
    counts = Map.get(opts, :streams, if(opts.quick, do: "100", else: "1000,5000"))

    {:ok, instance} =
      Vllm.start_link(
        name: @name,
        engine_class: "python_worker.testing.fake_engine:FakeAsyncLLM"
      )

    {:ok, engine} = AsyncLLM.from_engine_args(@name, model: "fake")
    script(engine, items)
    # Code is loaded, tables have grown.
    for _ <- 1..2, do: measure(engine, 200, items)

    measured =
      for count <- String.split(counts, ","), streams = String.to_integer(count) do
        {streams, measure(engine, streams, items)}
      end

    Bench.report(opts, "streams", [memory_table(measured), time_table(measured, items)])
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
  end

  # One item, then nothing until it is let go, then the rest, one item after the other.
  defp script(engine, items) do
    behaviour = %{"hold" => true, "after" => 1, "paced" => true, "tokens" => items + 1}
    {:ok, nil} = Vllm.call(engine, "script", [behaviour])
  end

  defp measure(engine, streams, items) do
    collect_garbage()
    before = memory([])
    {start_ms, consumers} = start(engine, streams)
    fresh = memory(consumers)
    collect_garbage()
    idle = memory(consumers)
    {flow_ms, :ok} = flow(engine, consumers)
    {start_again_ms, consumers} = start(engine, streams)
    cancel_ms = cancel(engine, consumers)

    %{
      fresh: growth(before, fresh, streams),
      idle: growth(before, idle, streams),
      start_ms: start_ms,
      start_again_ms: start_again_ms,
      flow: round(streams * items / flow_ms * 1000),
      cancel_ms: cancel_ms
    }
  end

  defp start(engine, streams) do
    clock(fn ->
      consumers = for n <- 1..streams, do: consume(engine, n)
      for pid <- consumers, do: receive(do: ({:first, ^pid} -> :ok))
      consumers
    end)
  end

  defp consume(engine, n) do
    script = self()

    spawn(fn ->
      params = [max_tokens: 100_000, output_kind: :DELTA]
      {:ok, stream} = AsyncLLM.generate(engine, "Hello", params, "stream-#{n}")

      Enum.reduce(stream, 0, fn _item, count ->
        if count == 0, do: send(script, {:first, self()})
        count + 1
      end)

      send(script, {:done, self()})
    end)
  end

  defp flow(engine, consumers) do
    clock(fn ->
      {:ok, _} = Vllm.call(engine, "release")
      for pid <- consumers, do: receive(do: ({:done, ^pid} -> :ok))
      :ok
    end)
  end

  defp cancel(engine, consumers) do
    {ms, _} =
      clock(fn ->
        for pid <- consumers, do: Process.exit(pid, :kill)
        {:ok, nil} = Vllm.call(engine, "wait_requests", [0])
      end)

    ms
  end

  ## Memory

  defp collect_garbage, do: for(pid <- Process.list(), do: :erlang.garbage_collect(pid))

  defp memory(consumers) do
    {:ok, %{pid: worker}} = Vllm.Core.Connection.info({@name, node()})
    connection = Process.whereis(Vllm.Core.Instance.Locator.process_name(@name, "Connection"))

    %{
      total: :erlang.memory(:total),
      binaries: :erlang.memory(:binary),
      consumers: consumers |> Enum.map(&of_process/1) |> Enum.sum(),
      connection: of_process(connection),
      worker: resident(worker)
    }
  end

  defp of_process(pid) do
    {:memory, bytes} = Process.info(pid, :memory)
    bytes
  end

  defp resident(pid) do
    [_size, pages | _] = "/proc/#{pid}/statm" |> File.read!() |> String.split()
    String.to_integer(pages) * 4096
  end

  defp growth(before, later, streams),
    do: Map.new(later, fn {key, bytes} -> {key, (bytes - before[key]) / streams / 1000} end)

  ## Figures

  defp memory_table(measured) do
    rows =
      for {streams, it} <- measured, {state, key} <- ["as it is": :fresh, collected: :idle] do
        Map.merge(it[key], %{streams: streams, state: state})
      end

    Bench.table(
      "KB for each stream",
      [streams: "streams", state: "garbage", total: {"BEAM", 1}, consumers: {"consumers", 1}] ++
        [connection: {"connection", 1}, binaries: {"binaries", 1}, worker: {"worker", 1}],
      rows
    )
  end

  defp time_table(measured, items) do
    Bench.table(
      "All at once",
      [streams: "streams", start_ms: "first items, ms", start_again_ms: "again, ms"] ++
        [flow: "#{items} items of each, items/s", cancel_ms: "all killed and aborted, ms"],
      for({streams, it} <- measured, do: Map.put(it, :streams, streams))
    )
  end

  defp clock(fun) do
    {microseconds, result} = :timer.tc(fun)
    {div(microseconds, 1000), result}
  end
end

Streams.run(System.argv())
