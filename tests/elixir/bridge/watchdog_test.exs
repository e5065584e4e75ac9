defmodule Vllm.Bridge.WatchdogTest do
  # Engines that hang: reports, and replacement of the worker.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [start: 2, control: 2, control: 3, engine: 1, request_id: 0]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]
  import ExUnit.CaptureLog

  alias Vllm.{AsyncLLM, Error, Stream}

  @moduletag :bridge

  # A fake engine hangs only where the script says so, however busy the machine is.
  @soon 300

  @fake [model: "fake", additional_config: %{"fake" => %{}}]

  defp hang(engine) do
    {:ok, stream} =
      AsyncLLM.generate(engine, "hi", [extra_args: %{"fake" => %{"hold" => true}}], request_id())

    stream
  end

  defp stalled(instance) do
    {:ok, %{"engines" => engines}} = Vllm.status(instance)
    Map.new(engines, &{&1["ref"], &1["stalled_s"]})
  end

  test "an engine that hangs is reported, and so is its recovery", %{test: name} do
    {:ok, _} = start(name, watchdog: [stall_after: @soon])
    {hangs, well} = {engine(name), engine(name)}

    log =
      capture_log(fn ->
        stream = hang(hangs)
        wait_until(fn -> stalled(name)[hangs.id] != nil end)
        assert stalled(name)[hangs.id] * 1000 >= @soon
        assert stalled(name)[well.id] == nil
        assert AsyncLLM.check_health(hangs) == {:ok, nil}
        assert {:ok, 1} = Vllm.call(hangs, :release)
        assert {:ok, _output} = Stream.collect(stream)
        wait_until(fn -> stalled(name)[hangs.id] == nil end)
      end)

    assert log =~
             ~r"the engine #{hangs.id} hangs: no output for \d+ ms \(unfinished requests: 1\)"

    assert log =~ "the engine #{hangs.id} has recovered"
    refute log =~ "the engine #{well.id}"
  end

  test "an engine that is paused does not hang", %{test: name} do
    {:ok, _} = start(name, watchdog: [stall_after: @soon])
    {paused, hangs} = {engine(name), engine(name)}
    assert AsyncLLM.pause_generation(paused) == {:ok, nil}
    waits = hang(paused)
    _stream = hang(hangs)

    # The other one shows that the time is over, three times.
    capture_log(fn ->
      wait_until(fn -> (stalled(name)[hangs.id] || 0) * 1000 >= 3 * @soon end)
    end)

    assert stalled(name)[paused.id] == nil
    assert Vllm.call(paused, :is_paused) == {:ok, true}
    Stream.cancel(waits)
  end

  test "an engine that is saturated does not hang", %{test: name} do
    # Requests wait for one another, for many times the time that it may be silent.
    {:ok, _} = start(name, watchdog: [stall_after: 50])
    engine = engine(name)
    params = [max_tokens: 50, output_kind: :DELTA]

    log =
      capture_log(fn ->
        1..500
        |> Task.async_stream(
          fn _ ->
            {:ok, stream} = AsyncLLM.generate(engine, "hi", params, request_id())
            assert {:ok, _output} = Stream.collect(stream)
          end,
          max_concurrency: 64,
          timeout: :infinity
        )
        |> Elixir.Stream.run()
      end)

    assert stalled(name)[engine.id] == nil
    refute log =~ "hangs"
  end

  test "with action: :replace its worker is killed, and declared engines are rebuilt", context do
    options = [engines: [llama: @fake], watchdog: [stall_after: @soon, action: :replace]]
    {:ok, _} = start(context.test, options)
    {:ok, first} = Vllm.engine(context.test, :llama)
    {:ok, %{"pid" => pid, "incarnation" => incarnation}} = Vllm.status(context.test)
    child = control(first, "start_child")

    log =
      capture_log(fn ->
        stream = hang(first)
        waiting = Task.async(fn -> control_result(first, "wait_forever") end)

        assert {:error, %Error{kind: :worker_down, cause: cause}} = Stream.collect(stream)
        assert cause.message =~ "hangs"
        assert {:error, %Error{kind: :worker_down}} = Task.await(waiting, :infinity)

        wait_until(fn ->
          match?({:ok, engine} when engine != first, Vllm.engine(context.test, :llama))
        end)
      end)

    assert log =~ "killed the worker: it or an engine hung"
    {:ok, second} = Vllm.engine(context.test, :llama)
    assert AsyncLLM.check_health(second) == {:ok, nil}
    assert {:ok, %{"incarnation" => new}} = Vllm.status(context.test)
    assert new != incarnation
    for os_pid <- [pid, child], do: wait_until(fn -> not Vllm.BridgeCase.alive?(os_pid) end)
  end

  test "a worker that was started elsewhere is not replaced", %{test: name} do
    options = [name: name, connect: "unix:/nowhere", watchdog: [action: :replace]]
    assert {:error, %Error{kind: :invalid} = error} = Vllm.start_link(options)
    assert error.details == %{"option" => "watchdog"}
    assert error.message =~ "unix:/nowhere"
  end

  test "a wrong time and an unknown action are refused by name", %{test: name} do
    for {wrong, says} <- [
          {[stall_after: -1], ":stall_after"},
          {[stall_after: 1.5], ":stall_after"},
          {[silent_after: -1], ":silent_after"},
          {[action: :kill], ":action"},
          {[stall: 5], "unknown option :stall"},
          {:report, ":watchdog"},
          {5_000, ":watchdog"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               Vllm.start_link(name: name, watchdog: wrong)

      assert error.message =~ says
    end
  end

  defp control_result(engine, method),
    do: Vllm.call(engine, method, [], rpc: [timeout: :infinity])
end

defmodule Vllm.Bridge.WatchdogEventsTest do
  # Defines the module :telemetry for as long as it runs.
  use ExUnit.Case, async: false

  import Vllm.BridgeCase, only: [start: 2, request_id: 0]
  import Vllm.StandIns

  alias Vllm.{AsyncLLM, Stream}

  @moduletag :bridge

  test "an engine that hangs emits an event, and so does its recovery", %{test: name} do
    telemetry()
    engines = [llama: [model: "fake"]]
    {:ok, _} = start(name, engines: engines, watchdog: [stall_after: 300])
    {:ok, declared} = Vllm.engine(name, :llama)
    {:ok, other} = AsyncLLM.from_engine_args(name, model: "fake")

    ExUnit.CaptureLog.capture_log(fn ->
      for {engine, its_name} <- [{declared, :llama}, {other, nil}] do
        {:ok, stream} =
          AsyncLLM.generate(
            engine,
            "hi",
            [extra_args: %{"fake" => %{"hold" => true}}],
            request_id()
          )

        assert_receive {:event, [:vllm, :engine, :stalled] = event, measured, metadata, _}
        assert_documented(event, measured, metadata)
        assert %{instance: ^name, engine: ^its_name, ref: ^engine} = metadata
        assert measured.requests == 1
        assert System.convert_time_unit(measured.duration, :native, :millisecond) >= 300

        assert {:ok, 1} = Vllm.call(engine, :release)
        assert {:ok, _output} = Stream.collect(stream)
        assert_receive {:event, [:vllm, :engine, :recovered] = event, again, metadata, _}
        assert_documented(event, again, metadata)
        assert %{instance: ^name, engine: ^its_name, ref: ^engine} = metadata
        assert again.duration >= measured.duration
      end
    end)
  end
end
