defmodule Vllm.RealEngine.CancelTest do
  # What is cancelled, in each phase and by each end of its consumer, is removed from a real engine.
  # tests/elixir/vllm/abort_test.exs and load_test.exs hold what clients are told meanwhile.
  use Vllm.VllmEngine, engine: :scripted

  @narrow [rpc: [window: 1]]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  test "four completions each, cancelled 50 times, leave no request", %{engine: engine} do
    params = [n: 4, max_tokens: 2000, ignore_eos: true, output_kind: :DELTA]
    tasks = tasks(engine)

    for n <- 1..50 do
      stream = generate(engine, "children #{n}: count", params, @narrow)
      # In turn: before the first token, after it, and by the death of its consumer.
      case rem(n, 3) do
        0 -> Stream.cancel(stream)
        1 -> [_item] = Enum.take(stream, 1)
        2 -> kill_at_first_item(engine, "children #{n}: count", params, stream)
      end
    end

    wait_until(fn -> unfinished(engine) == 0 end)
    wait_until(fn -> tasks(engine) <= tasks end)
  end

  test "waiting requests are cancelled in the queue", %{engine: engine} do
    {:ok, nil} = Vllm.call(engine, :pause_generation, mode: "keep")
    streams = for n <- 1..30, do: generate(engine, "queued #{n}: count", endless())
    assert unfinished(engine) == 30
    {cancelled, kept} = Enum.split(streams, 20)
    for stream <- cancelled, do: Stream.cancel(stream)
    wait_until(fn -> unfinished(engine) == 10 end)
    {:ok, nil} = Vllm.call(engine, :resume_generation)
    for stream <- kept, do: assert([_item] = Enum.take(stream, 1))
  end

  test "callers that are killed while the engine accepts their request leave none", %{
    engine: engine
  } do
    tasks = tasks(engine)

    for n <- 1..50 do
      {caller, monitor} =
        spawn_monitor(fn -> generate(engine, "taken #{n}: count", endless()) end)

      # Somewhere between the mailbox of the connection and EngineCore.
      for _ <- 1..rem(n, 10)//1, do: unfinished(engine)
      Process.exit(caller, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}
    end

    wait_until(fn -> unfinished(engine) == 0 end)
    wait_until(fn -> tasks(engine) <= tasks end)
  end

  test "100 deadlines of 50 ms leave no request", %{engine: engine} do
    streams =
      for n <- 1..100 do
        {:ok, nil} =
          if n == 1, do: Vllm.call(engine, :pause_generation, mode: "keep"), else: {:ok, nil}

        AsyncLLM.generate(engine, "late #{n}: count", endless(), request_id(), rpc: [timeout: 50])
      end

    # A deadline that passes before the engine has taken the request is the call's own error.
    for result <- streams do
      with {:ok, stream} <- result,
           do: assert({:error, %Error{kind: :timeout}} = Stream.collect(stream))

      with {:error, error} <- result, do: assert(error.kind == :timeout)
    end

    wait_until(fn -> unfinished(engine) == 0 end)
    {:ok, nil} = Vllm.call(engine, :resume_generation)
  end

  # Those of the worker's event loop; this call is one of them.
  defp tasks(engine) do
    {:ok, count} = Vllm.call(engine, :count_tasks)
    count
  end

  defp kill_at_first_item(engine, prompt, params, unused) do
    Stream.cancel(unused)
    test = self()

    {consumer, monitor} =
      spawn_monitor(fn ->
        engine |> generate(prompt, params, @narrow) |> Enum.each(&send(test, {:item, &1}))
      end)

    assert_receive {:item, _item}
    Process.exit(consumer, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}
  end
end
