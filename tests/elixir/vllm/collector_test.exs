defmodule Vllm.RealEngine.CollectorTest do
  # Requests whose outputs are taken one by one instead of enumerated.
  use Vllm.VllmEngine, engine: :scripted

  alias Vllm.RequestOutputCollector, as: Collector

  @greedy [temperature: 0.0, max_tokens: 100]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  for kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
    test "outputs are taken until the finished one: #{kind}", %{engine: engine} do
      params = @greedy ++ [output_kind: unquote(kind)]
      id = request_id()
      assert {:ok, collector} = AsyncLLM.add_request(engine, id, "count", params)
      assert %Ref{type: "RequestOutputCollector"} = collector

      outputs = take(collector)
      assert [%RequestOutput{request_id: ^id, finished: true} = last | earlier] = outputs
      refute Enum.any?(earlier, & &1.finished)

      said = if unquote(kind) == :DELTA, do: Enum.reverse(outputs), else: [last]
      assert Enum.map_join(said, &text/1) == counting(100)
      assert unquote(kind) != :FINAL_ONLY or earlier == []
      for _ <- 1..2, do: assert(Collector.get(collector) == {:ok, nil})
      assert Collector.get_nowait(collector) == {:ok, nil}
      assert Collector.close(collector) == {:ok, nil}
    end
  end

  test "get_nowait takes an output if there is one", %{engine: engine} do
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "Hello", temperature: 0.0)
    assert Collector.get_nowait(collector) == {:ok, nil}
    assert unfinished(engine) == 1
    {:ok, nil} = AsyncLLM.resume_generation(engine)
    wait_until(fn -> unfinished(engine) == 0 end)
    assert {:ok, %RequestOutput{finished: true} = output} = Collector.get_nowait(collector)
    assert text(output) == hello()
    assert Collector.get_nowait(collector) == {:ok, nil}
  end

  test "a request for several completions has all of them", %{engine: engine} do
    params = [n: 2, seed: 1, max_tokens: 5, ignore_eos: true, output_kind: :FINAL_ONLY]
    {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "Hello", params)
    assert [%{outputs: outputs} | _] = take(collector)
    assert for(it <- outputs, do: {it.index, length(it.token_ids)}) == [{0, 5}, {1, 5}]
  end

  describe "the request is aborted" do
    setup %{engine: engine} do
      on_exit(fn -> wait_until(fn -> unfinished(engine) == 0 end) end)
    end

    test "when the collector is closed, which ends a wait for its outputs", %{engine: engine} do
      {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
      {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "count", endless())
      waiting = Task.async(fn -> Collector.get(collector) end)

      wait_until(fn ->
        match?({:ok, %{calls: 1}}, Vllm.Core.Connection.info({instance(), node()}))
      end)

      for _ <- 1..2, do: assert(Collector.close(collector) == {:ok, nil})
      assert Task.await(waiting, :infinity) == {:ok, nil}
      assert Collector.get(collector) == {:ok, nil}
      wait_until(fn -> unfinished(engine) == 0 end)
      {:ok, nil} = AsyncLLM.resume_generation(engine)
    end

    test "when the collector is released", %{engine: engine} do
      {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "count", endless())
      assert Vllm.release(collector) == :ok
      wait_until(fn -> unfinished(engine) == 0 end)
      assert {:error, %Error{kind: :stale_ref}} = Collector.get(collector)
    end

    for reason <- [:normal, :shutdown, :kill] do
      test "when its owner ends: #{reason}", %{engine: engine} do
        test = self()

        owner =
          spawn(fn ->
            {:ok, _collector} = AsyncLLM.add_request(engine, request_id(), "count", endless())
            send(test, :added)
            receive do: (:end -> :ok)
          end)

        assert_receive :added
        if unquote(reason) == :normal, do: send(owner, :end)
        if unquote(reason) != :normal, do: Process.exit(owner, unquote(reason))
        wait_until(fn -> unfinished(engine) == 0 end)
      end
    end

    test "by its id, like any other request", %{engine: engine} do
      {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
      id = request_id()
      {:ok, collector} = AsyncLLM.add_request(engine, id, "count", endless())
      {:ok, other} = AsyncLLM.add_request(engine, id, "count", endless())
      assert {:ok, own} = Collector.request_id(collector)
      assert String.starts_with?(own, id)
      assert AsyncLLM.abort(engine, own, internal: true) == {:ok, nil}
      assert aborted?(collector)
      assert unfinished(engine) == 1
      assert AsyncLLM.abort(engine, id) == {:ok, nil}
      assert aborted?(other)
      {:ok, nil} = AsyncLLM.resume_generation(engine)
    end
  end

  test "it goes on with another owner", %{engine: engine} do
    test = self()

    spawn(fn ->
      {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "count", @greedy)
      Vllm.share(collector, test)
      send(test, {:added, collector})
    end)

    assert_receive {:added, collector}
    assert [last | _] = take(collector)
    assert text(last) == counting(100)
  end

  test "a get/1 that times out loses no output", %{engine: engine} do
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    params = @greedy ++ [output_kind: :DELTA]
    {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "count", params)
    timeout = [rpc: [timeout: 20]]

    for _ <- 1..3,
        do: assert({:error, %Error{kind: :timeout}} = Collector.get(collector, timeout))

    {:ok, nil} = AsyncLLM.resume_generation(engine)
    assert collector |> take() |> Enum.reverse() |> Enum.map_join(&text/1) == counting(100)
  end

  test "a wrong request is refused by add_request", %{engine: engine} do
    for {prompt, params} <- [
          {"", []},
          {[-1], []},
          {"Hello", [max_tokens: 0]},
          {"Hello", [seed: 1.5]},
          {7, []}
        ] do
      assert {:error, %Error{kind: :invalid}} =
               AsyncLLM.add_request(engine, request_id(), prompt, params)
    end

    {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "Hello", @greedy)

    for name <- ~w(put input_stream_task output _engine __class__) do
      assert {:error, %Error{kind: :not_found}} = Vllm.call(collector, name)
    end
  end

  defp aborted?(collector) do
    assert [%{finished: true, outputs: [%{finish_reason: "abort"}]} | _] = take(collector)
    true
  end

  # All outputs, the last first.
  defp take(collector, taken \\ []) do
    case Collector.get(collector) do
      {:ok, nil} -> taken
      {:ok, output} -> take(collector, [output | taken])
    end
  end
end
