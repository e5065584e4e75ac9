defmodule Vllm.Bridge.CancelTest do
  # Whatever ends a consumer ends its request in the engine, in every phase of it, and nothing stays.
  use Vllm.BridgeCase, async: true

  alias Vllm.Core.{Connection, Worker}
  alias Vllm.Core.Instance.Locator

  # Consumers that raise, and a connection that is killed, are reported.
  @moduletag :capture_log

  @ways [:kill, :shutdown, :normal, :raise]
  @each 50

  setup %{instance: instance, engine: engine} do
    on_exit(fn ->
      wait_until(fn -> left(engine) == %{"requests" => 0, "streams" => 0} end)
      # This call is one.
      wait_until(fn -> match?({:ok, %{calls: 0}}, Connection.info({instance, node()})) end)
    end)
  end

  defp left(engine), do: engine |> control("live") |> Map.delete("tasks")

  for way <- @ways do
    @way way

    test "of #{@each} consumers that end by #{way}", %{engine: engine, instance: instance} do
      tasks = control(engine, "live")["tasks"]
      consumers = for n <- 1..@each, do: consumer(engine, "#{@way}-#{n}", @way)
      for {_pid, id, _monitor} <- consumers, do: assert_receive({:item, ^id})
      for {pid, _id, _monitor} <- consumers, do: end_by(pid, @way)

      for {pid, _, monitor} <- consumers,
          do: assert_receive({:DOWN, ^monitor, _, ^pid, _})

      control(engine, "wait_requests", [0])
      ids = for {_pid, id, _monitor} <- consumers, do: id
      assert engine |> control("aborted") |> Enum.sort() == Enum.sort(ids)
      # The worker's tasks end in the next turn of its event loop; every forwarder has ended.
      wait_until(fn -> control(engine, "live")["tasks"] <= tasks + 1 end)
      assert Task.Supervisor.children(Locator.process_name(instance, "Tasks")) == []
    end
  end

  # Where a request may be when it is cancelled: what makes it stay there, and how many the engine
  # knows then.
  @phases [
    {"before the engine knows it", %{"hang_in" => "admission"}, [], 0},
    {"on its way to EngineCore", %{"hang_in" => "adding"}, [], 1},
    {"before its first token", %{"hang" => true}, [], 1},
    {"in the middle", %{"hang" => true, "after" => 3}, [], 1},
    {"running", %{"paced" => true, "delay" => 0.001}, [], 1},
    {"four completions, on their way", %{"hang_in" => "adding"}, [n: 4], 4},
    {"four completions, running", %{"paced" => true, "delay" => 0.001}, [n: 4], 4}
  ]

  for {phase, behaviour, params, known} <- @phases, function <- ["generate", "encode"] do
    # A pooling request has one completion.
    unless function == "encode" and params != [] do
      @behaviour_of Macro.escape(behaviour)
      @params params
      @known known
      @function function

      test "#{function}: #{phase}", %{engine: engine} do
        control(engine, "script", [unquote(@behaviour_of)])
        test = self()

        for n <- 1..5 do
          id = request_id()

          caller =
            spawn(fn ->
              result = Vllm.call(engine, @function, ["x", params(@function, @params), id])
              send(test, {:accepted, id})
              with {:ok, stream} <- result, do: Elixir.Stream.run(stream)
            end)

          control(engine, "wait_called", [@function, n])

          # encode ends by itself where nothing holds it.
          unless @function == "encode" and unquote(@behaviour_of)["hang_in"] == nil,
            do: if(@known > 0, do: wait_known(engine, @known))

          Process.exit(caller, :kill)
          control(engine, "wait_requests", [0])
        end
      end
    end
  end

  defp wait_known(engine, known),
    do: wait_until(fn -> control(engine, "live")["requests"] >= min(known, 1) end)

  defp params("encode", _params), do: %Vllm.PoolingParams{}
  defp params("generate", params), do: [max_tokens: 100_000, output_kind: :DELTA] ++ params

  test "while the engine is paused and all requests are queued", %{engine: engine} do
    control(engine, "pause_generation", [], mode: "keep")

    streams =
      for _ <- 1..20 do
        {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
        stream
      end

    assert control(engine, "live")["requests"] == 20
    for stream <- streams, do: Stream.cancel(stream)
    control(engine, "wait_requests", [0])
    control(engine, "resume_generation")
    assert {:ok, %{finished: true}} = AsyncLLM.generate_collect(engine, "x", [max_tokens: 2], "y")
  end

  test "100 deadlines of 50 ms: each a timeout and an abort, and the next call works",
       %{engine: engine} do
    for n <- 1..100 do
      assert {:error, %Error{kind: :timeout}} = overdue(engine, "late-#{n}")
      assert control(engine, "echo", [n]) == n
    end

    control(engine, "wait_requests", [0])
    aborted = engine |> control("aborted") |> Enum.uniq()
    assert Enum.sort(aborted) == Enum.sort(for n <- 1..100, do: "late-#{n}")
  end

  test "of 1,000 streams 300 are killed at random, and the others do not differ", context do
    engine = context.engine
    control(engine, "script", [%{"delay" => 0.01}])
    undisturbed = run_all(engine, "calm", [])
    # Selected by ExUnit's seed.
    killed = 1..1000 |> Enum.take_random(300) |> Enum.sort()
    disturbed = run_all(engine, "wild", killed)

    for n <- 1..1000 do
      if n in killed,
        do: assert(disturbed[n] == nil),
        else: assert(disturbed[n] == undisturbed[n])
    end

    control(engine, "wait_requests", [0])
    # Once for each completion.
    aborted = engine |> control("aborted") |> Enum.uniq()
    assert Enum.sort(aborted) == Enum.sort(for n <- killed, do: "wild-#{n}")
  end

  # The tokens and the text of each, or nil of one that was killed after its first item.
  defp run_all(engine, name, killed) do
    test = self()

    consumers =
      for n <- 1..1000, into: %{} do
        killed? = n in killed

        {_pid, monitor} =
          spawn_monitor(fn ->
            params = [max_tokens: 10 + rem(n, 7), n: 1 + rem(n, 2), output_kind: :DELTA]
            params = if killed?, do: Keyword.merge(params, max_tokens: 100_000), else: params
            {:ok, stream} = AsyncLLM.generate(engine, "prompt #{n}", params, "#{name}-#{n}")
            said = for item <- stream, do: said(item, killed?)
            send(test, {:said, n, merged(said)})
          end)

        {monitor, n}
      end

    for {monitor, _n} <- consumers, do: assert_receive({:DOWN, ^monitor, _, _, _})
    said_by(%{})
  end

  defp said(_item, true), do: Process.exit(self(), :kill)
  defp said(item, false), do: item.outputs

  # Items may be merged where their consumer is slow; what they hold together is the same.
  defp merged(items) do
    for {index, parts} <- items |> List.flatten() |> Enum.group_by(& &1.index) do
      {index, Enum.flat_map(parts, & &1.token_ids), Enum.map_join(parts, & &1.text),
       List.last(parts).finish_reason}
    end
  end

  defp said_by(said) do
    receive do
      {:said, n, tokens} -> said_by(Map.put(said, n, tokens))
    after
      0 -> said
    end
  end

  test "when the connection ends", %{engine: engine, instance: instance} do
    {:ok, address, token} = Worker.address(Locator.process_name(instance, "Worker"))
    name = Vllm.Bridge.CancelTest.Another
    {:ok, _} = start_supervised({Vllm, name: name, connect: address, token: token})
    there = %{engine | instance: {name, node()}}

    streams =
      for n <- 1..20 do
        {:ok, stream} = AsyncLLM.generate(there, "x", endless(), "there-#{n}")
        stream
      end

    {:ok, here} = AsyncLLM.generate(engine, "x", endless(), "here")
    assert control(engine, "live")["requests"] == 21

    ExUnit.CaptureLog.capture_log(fn ->
      Process.exit(Process.whereis(Locator.process_name(name, "Connection")), :kill)
      control(engine, "wait_requests", [1])

      for stream <- streams,
          do: assert({:error, %Error{kind: :worker_down}} = Stream.collect(stream))
    end)

    assert engine |> control("aborted") |> Enum.sort() ==
             Enum.sort(for n <- 1..20, do: "there-#{n}")

    Stream.cancel(here)
    stop_supervised(name)
  end

  defp consumer(engine, id, way) do
    test = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), id)

        Enum.each(stream, fn _item ->
          send(test, {:item, id})

          # Only the process itself can end that way.
          receive do
            :end when way == :normal -> exit(:normal)
            :end when way == :raise -> raise "enough"
          after
            0 -> :ok
          end
        end)
      end)

    {pid, id, monitor}
  end

  defp end_by(pid, way) when way in [:normal, :raise], do: send(pid, :end)
  defp end_by(pid, way), do: Process.exit(pid, way)
end
