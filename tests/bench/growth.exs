# How does the cost of a token grow with the number of streams, and of connections?
#
#     mix run tests/bench/growth.exs [--streams 1,4,16,64,256,1024] [--tokens N] [--json] [--quick]
#
# The engine is the fake one, which makes a token when the one before was taken: there is an item
# for every token, and none of them waits for a model. What is shown is therefore the bridge with
# hardly anything beside it. What the fake engine takes itself, in its process and without the bridge,
# is the column "engine". It is measured from the moment when all streams have their first token.
#
# CPU is that of the whole processes, by /proc. Reductions are the BEAM's own count of work.
# `cpu.exs` shows the same with a real engine.

Code.require_file("support/bench.exs", __DIR__)
Code.require_file("support/processes.exs", __DIR__)

defmodule Growth do
  alias Bench.Processes
  alias Vllm.{AsyncLLM, Ref}
  alias Vllm.Core.Connection
  alias Vllm.Core.Instance.Locator

  @name Growth.Vllm

  def run(argv) do
    opts = Bench.options(argv, streams: :string, tokens: :integer)
    tokens = Map.get(opts, :tokens, if(opts.quick, do: 2_000, else: 60_000))
    counts = opts |> Map.get(:streams, "1,4,16,64,256,1024") |> String.split(",")
    counts = Enum.map(counts, &String.to_integer/1)

    {:ok, instance} =
      Vllm.start_link(
        name: @name,
        engine_class: "tests.bench.measured_fake:MeasuredFakeAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    {:ok, engine} = AsyncLLM.from_engine_args(@name, model: "fake")
    {instances, others} = engine |> connect_more(3) |> Enum.unzip()
    engines = [engine | others]
    measure(engines, 64, tokens)
    one = for streams <- counts, do: measure([engine], streams, tokens)

    more =
      for streams <- [64, 1024],
          connections <- [1, 2, 4],
          do: engines |> Enum.take(connections) |> measure(streams, tokens)

    columns =
      [streams: "streams", connections: "connections", rate: "tokens/s"] ++
        [engine_us: {"engine µs", 1}, worker_us: {"worker µs", 1}, beam_us: {"BEAM µs", 1}] ++
        [connection_reductions: "connection", consumer_reductions: "consumer"]

    title = "CPU of whole processes and reductions, for each token"

    Bench.report(opts, "growth", [
      Bench.table("One connection: " <> title, columns, one),
      Bench.table("Several: " <> title, columns, more)
    ])

    for it <- instances ++ [instance] do
      Process.unlink(it)
      Supervisor.stop(it, :shutdown, 60_000)
    end
  end

  # Further instances, each with a connection of its own to the worker of the first.
  defp connect_more(%Ref{} = engine, count) do
    {:ok, address, token} = Vllm.Core.Worker.address(Locator.process_name(@name, "Worker"))

    for n <- 1..count do
      name = Module.concat(Growth, "Vllm#{n}")
      {:ok, instance} = Vllm.start_link(name: name, connect: address, token: token)
      {instance, %{engine | instance: {name, node()}}}
    end
  end

  ## One row

  defp measure([engine | _] = engines, streams, tokens) do
    each = max(div(tokens, streams), 20)
    alone = in_process(engine, streams, each)

    connections =
      for %{instance: {name, _}} <- engines,
          do: Process.whereis(Locator.process_name(name, "Connection"))

    consumers = start(engines, streams, each)
    before = snapshot(connections)
    began = System.monotonic_time()
    {:ok, ^streams} = Vllm.call(engine, "release")
    consumed = consumers |> Task.await_many(:infinity) |> Enum.sum()

    seconds =
      System.convert_time_unit(System.monotonic_time() - began, :native, :microsecond) / 1.0e6

    later = snapshot(connections)
    made = streams * (each - 1)
    [worker, beam, connection] = Enum.zip_with(later, before, &((&1 - &2) / made))

    %{
      streams: streams,
      connections: length(engines),
      rate: made / seconds,
      engine_us: alone,
      worker_us: worker,
      beam_us: beam,
      connection_reductions: connection,
      consumer_reductions: consumed / made
    }
  end

  # Returns when all of them have their first token.
  defp start(engines, streams, each) do
    script = self()

    consumers =
      engines
      |> Stream.cycle()
      |> Enum.take(streams)
      |> Enum.with_index(&Task.async(fn -> consume(&1, &2, each, script) end))

    for %{pid: pid} <- consumers, do: receive(do: ({:first, ^pid} -> :ok))
    consumers
  end

  defp in_process(engine, streams, each) do
    {:ok, {items, seconds}} =
      Vllm.call(engine, "cost_in_process", ["x", params(each), streams], rpc: [timeout: :infinity])

    seconds / items * 1.0e6
  end

  # Returns the reductions that the items after the first have taken.
  defp consume(engine, n, each, script) do
    {:ok, stream} = AsyncLLM.generate(engine, "x", params(each), "#{n}")

    {^each, before} =
      Enum.reduce(stream, {0, nil}, fn item, {count, before} ->
        if count == 0, do: send(script, {:first, self()})
        {count + length(hd(item.outputs).token_ids), before || reductions(self())}
      end)

    reductions(self()) - before
  end

  defp params(each) do
    %Vllm.SamplingParams{
      max_tokens: each,
      output_kind: :DELTA,
      extra_args: %{"fake" => %{"paced" => true, "hold" => true, "after" => 1}}
    }
  end

  defp reductions(pid) do
    {:reductions, count} = Process.info(pid, :reductions)
    count
  end

  defp snapshot(connections) do
    {:ok, %{pid: worker}} = Connection.info({@name, node()})

    reductions = connections |> Enum.map(&reductions/1) |> Enum.sum()
    [Processes.cpu_us(worker), Processes.cpu_us(System.pid()), reductions]
  end
end

Growth.run(System.argv())
