defmodule Vllm.Bridge.TelemetryTest do
  # The events of a real worker's life, and what its log, and ours, never holds.
  use ExUnit.Case, async: false

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]
  import Vllm.Heard
  import Vllm.StandIns

  alias Vllm.{AsyncLLM, Error, Stream}

  # Workers start here again and again, which can take long on a busy machine.
  @moduletag bridge: true, timeout: 120_000

  @secret "a very secret prompt"

  test "events of a worker, its session and its engines are emitted from start to end", %{
    test: name
  } do
    telemetry()
    {:ok, _} = start(name, engines: [llama: [model: "fake"], bad: [model: "fake", seed: "x"]])
    {:ok, engine} = Vllm.engine(name, :llama)
    {:error, %Error{kind: :invalid}} = Vllm.engine(name, :bad)
    undeclared = engine(name)
    {:ok, %{"pid" => pid}} = Vllm.status(name)

    beginning = for {event, _, metadata, _} <- events(), metadata.instance == name, do: event
    assert [[:vllm, :worker, :start], [:vllm, :worker, :ready], up | others] = beginning
    assert up == [:vllm, :connection, :up]

    assert Enum.filter(others, &match?([:vllm, :engine, _], &1)) ==
             [[:vllm, :engine, :up], [:vllm, :engine, :failed]]

    control(undeclared, "die")
    assert_receive {:event, [:vllm, :engine, :down], _, %{engine: nil, ref: ^undeclared}, _}
    control(engine, "die")
    assert_receive {:event, [:vllm, :engine, :down], _, %{engine: :llama, ref: ^engine}, _}

    kill(pid)
    down = [:vllm, :connection, :down]
    exit = [:vllm, :worker, :exit]
    assert_receive {:event, ^down, _, %{instance: ^name, error: %Error{}}, _}
    assert_receive {:event, ^exit, %{duration: lived}, %{os_pid: ^pid, status: 137}, _}
    assert lived > 0
    assert_receive {:event, [:vllm, :worker, :ready], _, %{instance: ^name}, _}
    assert_receive {:event, ^up, _, %{instance: ^name}, _}

    stop_supervised!(name)
    assert_receive {:event, ^down, _, %{instance: ^name, error: nil}, _}
    assert_receive {:event, ^exit, _, %{instance: ^name, status: status}, _}
    assert status in [0, 143]
    assert [{[:vllm, :worker, :start], _, _, _}] = events([:vllm, :worker])
  end

  test "a worker that does not start also has an exit event", %{test: name} do
    telemetry()
    Process.flag(:trap_exit, true)
    options = [name: name, worker_args: ["--nonsense"], log: :debug]
    assert {:error, %Error{kind: :worker_down}} = Vllm.start_link(options)

    assert [{[:vllm, :worker, :start], _, _, _}, {[:vllm, :worker, :exit], _, %{status: 2}, _}] =
             events([:vllm, :worker])
  end

  test "metrics are emitted in each interval, except for an engine without statistics", context do
    telemetry()
    {:ok, _} = start(context.test, metrics_interval: 1)
    engine = engine(context.test)
    assert {:ok, [%{engine: nil, ref: ^engine, metrics: nil}]} = Vllm.metrics(context.test)
    {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())

    # The stream, and perhaps the call that asks.
    wait_until(fn ->
      Enum.any?(events([:vllm, :instance]), fn {_, %{calls: calls}, _, _} -> calls >= 1 end)
    end)

    Stream.cancel(stream)
    stop_supervised!(context.test)
    refute Enum.any?(events([:vllm, :engine, :metrics]))
  end

  describe "no log holds a prompt" do
    setup %{test: name} do
      {:ok, _} = start(name, worker_args: ["--log-level", "debug"])
      engine = engine(name)
      hear()
      %{instance: name, engine: engine}
    end

    test "when a call is refused, fails, or ends by its deadline", %{engine: engine} do
      assert {:error, %Error{kind: :invalid}} = generate(engine, max_tokens: "many")
      control(engine, "inject", ["generate", %{"error" => ["RuntimeError", "not " <> @secret]}])
      assert {:error, %Error{kind: :python, message: message}} = generate(engine, max_tokens: 1)
      assert message =~ @secret
      control(engine, "inject", ["generate", nil])
      # On a busy machine the deadline may come before the stream does.
      accepted = generate(engine, endless(), rpc: [timeout: 50])
      ended = with {:ok, stream} <- accepted, do: Stream.collect(stream)
      assert {:error, %Error{kind: :timeout}} = ended
      wait_until(fn -> heard() =~ "generate failed with builtins.RuntimeError" end)
      refute_heard(@secret)
    end

    test "when the engine dies", %{engine: engine} do
      {:ok, stream} = generate(engine, endless())
      control(engine, "die")
      assert {:error, %Error{kind: :engine_dead}} = Stream.collect(stream)
      wait_until(fn -> heard() =~ "died: " end)
      refute_heard(@secret)
    end

    test "when the connection crashes with a prompt in its state and in its mailbox", context do
      %{instance: name, engine: engine} = context
      {:ok, stream} = generate(engine, endless())
      enumeration = Task.async(fn -> Stream.collect(stream) end)
      connection = Process.whereis(Module.concat(name, "Connection"))
      wait_until(fn -> match?({:ok, %{calls: 1}}, Vllm.Core.Connection.info({name, node()})) end)
      monitor = Process.monitor(connection)
      :sys.suspend(connection)
      callers = for _ <- 1..3, do: Task.async(fn -> generate(engine, max_tokens: 1) end)
      wait_until(fn -> Vllm.FakeWorkerCase.mailbox(connection) >= 3 end)
      # Its next call meets a clause that does not match: with the request for an argument.
      :sys.replace_state(connection, &%{&1 | outbox: :broken})
      :sys.resume(connection)

      assert_receive {:DOWN, ^monitor, :process, _, {:shutdown, %Error{kind: :protocol} = error}}
      assert error.message =~ "FunctionClauseError"

      for task <- [enumeration | callers],
          do: assert({:error, %Error{kind: :worker_down}} = Task.await(task, :infinity))

      wait_until(fn -> match?({:ok, _}, Vllm.status(name)) end)
      assert heard() =~ "Vllm.Core.Connection failed with FunctionClauseError"
      refute_heard(@secret)
    end

    test "when an enumerable fails while it is halted", %{engine: engine} do
      elements =
        Elixir.Stream.resource(
          fn -> @secret end,
          fn prompt -> {[%Vllm.StreamingInput{prompt: prompt, sampling_params: nil}], prompt} end,
          fn prompt -> raise "not with " <> prompt end
        )

      {:ok, stream} = AsyncLLM.generate(engine, elements, endless(), request_id())
      assert [_output] = Enum.take(stream, 1)
      wait_until(fn -> heard() =~ "when it was halted, failed with RuntimeError" end)
      refute_heard(@secret)
    end
  end

  defp generate(engine, params, opts \\ []),
    do: AsyncLLM.generate(engine, @secret, params, request_id(), opts)
end
