defmodule Vllm.RealEngine.AbortTest do
  use Vllm.VllmEngine, engine: :scripted

  # The engine takes a second or more for the tokens of an endless request, and does not wait for their
  # consumer: vLLM merges what is not taken. With this little credit, few items are on their way.
  @narrow [rpc: [window: 1]]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
    %{id: request_id()}
  end

  test "the first item arrives before the last is generated", %{engine: engine, id: id} do
    {:ok, stream} = AsyncLLM.generate(engine, "count", endless(), id)
    assert [%RequestOutput{request_id: ^id, finished: false}] = Enum.take(stream, 1)
  end

  test "outputs for a slow consumer are merged, and no text is lost", context do
    engine = context.engine
    params = [max_tokens: 500, temperature: 0.0]
    stream = generate(engine, "count", params ++ [output_kind: :DELTA], @narrow)

    items =
      for {item, n} <- Elixir.Stream.with_index(stream) do
        # The engine is done before the second item is taken.
        if n == 0, do: wait_until(fn -> unfinished(engine) == 0 end)
        item
      end

    # The first, the one that its taking made room for, the one that the worker holds ready, the rest;
    # fewer, where the engine was done before the first was sent.
    assert length(items) in 1..4
    assert Enum.flat_map(items, &ids/1) == ids(complete(engine, "count", params))
    assert Enum.map_join(items, &text/1) == counting(500)
  end

  test "halting the enumeration aborts the request", %{engine: engine} do
    for n <- 1..5 do
      prompt = "halted #{n}: count"
      assert [_, _, _] = engine |> generate(prompt, endless(), @narrow) |> Enum.take(3)
    end

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "halting aborts all completions of a request", %{engine: engine} do
    params = [n: 4, max_tokens: 2000, output_kind: :DELTA]

    for n <- 1..5 do
      assert [_] = engine |> generate("halted #{n}: count", params, @narrow) |> Enum.take(1)
    end

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "a consumer that raises or dies aborts its request", %{engine: engine} do
    assert_raise RuntimeError, "enough", fn ->
      engine |> generate("count", endless()) |> Enum.each(fn _item -> raise "enough" end)
    end

    test = self()

    for reason <- [:kill, :shutdown] do
      consumer =
        spawn(fn ->
          engine |> generate("count", endless()) |> Enum.each(&send(test, {:item, &1}))
        end)

      assert_receive {:item, _item}
      Process.exit(consumer, reason)
    end

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "a stream that is not enumerated ends with its owner", %{engine: engine} do
    1..10
    |> Enum.map(fn _ -> Task.async(fn -> %Stream{} = generate(engine, "count", endless()) end) end)
    |> Task.await_many(:infinity)

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "a cancelled stream ends with :cancelled, in any state and as often as you like",
       context do
    stream = generate(context.engine, "count", endless())
    error = assert_raise Error, fn -> Enum.each(stream, fn _item -> Stream.cancel(stream) end) end
    assert error.kind == :cancelled

    stream = generate(context.engine, "count", endless())
    Stream.cancel(stream)
    Stream.cancel(stream)
    assert {:error, %Error{kind: :conflict}} = Stream.collect(stream)

    stream = generate(context.engine, "Hello", temperature: 0.0)
    assert {:ok, %{finished: true}} = Stream.collect(stream)
    Stream.cancel(stream)
    wait_until(fn -> unfinished(context.engine) == 0 end)
  end

  test "a deadline ends the request with :timeout", %{engine: engine} do
    for _ <- 1..5 do
      # The window keeps the engine from being faster than the deadline. On a busy machine that may
      # pass before the engine has the request.
      opts = [rpc: [timeout: 50, window: 1]]

      result =
        with {:ok, stream} <- AsyncLLM.generate(engine, "count", endless(), request_id(), opts),
             do: stream |> Elixir.Stream.each(fn _ -> Process.sleep(20) end) |> collected()

      assert {:error, %Error{kind: :timeout}} = result
    end

    wait_until(fn -> unfinished(engine) == 0 end)
  end

  describe "abort from another process" do
    test "ends a running stream with the finish reason abort", %{engine: engine} do
      # On a busy machine the engine may be done before the abort comes; then once more.
      assert Enum.any?(1..50, fn _ ->
               items = abort_at_first_item(engine, request_id())
               assert Enum.count(items, & &1.finished) == 1
               assert %RequestOutput{finished: true, outputs: [completion]} = List.last(items)
               assert completion.stop_reason == nil
               said = Enum.map_join(items, &text/1)
               assert String.starts_with?(counting(2000), said)
               completion.finish_reason == "abort" and said != counting(2000)
             end)
    end

    test "of a list of ids ends them all", %{engine: engine} do
      ids = for _ <- 1..5, do: request_id()
      streams = while_paused(engine, ids, fn -> AsyncLLM.abort(engine, ids) end)
      for stream <- streams, do: assert(["abort"] = finish_reasons(stream))
    end

    test "of an unknown id is harmless", %{engine: engine, id: id} do
      assert {:ok, nil} = AsyncLLM.abort(engine, id)
      assert {:ok, nil} = AsyncLLM.abort(engine, [])
      assert {:ok, nil} = AsyncLLM.abort(engine, id, internal: true)
    end
  end

  describe "two requests with the same id" do
    test "both run", %{engine: engine, id: id} do
      params = [temperature: 0.0, max_tokens: 60]
      {:ok, first} = AsyncLLM.generate(engine, "count", params, id)
      {:ok, second} = AsyncLLM.generate(engine, "Hello", params, id)
      assert {:ok, %{request_id: ^id} = output} = Stream.collect(second)
      assert text(output) == hello()
      assert {:ok, %{request_id: ^id} = output} = Stream.collect(first)
      assert text(output) == counting(60)
    end

    test "end separately: halting one does not affect the other", %{engine: engine, id: id} do
      params = [temperature: 0.0, max_tokens: 400, output_kind: :DELTA]
      {:ok, first} = AsyncLLM.generate(engine, "count", params, id)
      {:ok, second} = AsyncLLM.generate(engine, "count", params, id, @narrow)
      assert [_] = Enum.take(second, 1)
      assert first |> Enum.map_join(&text/1) == counting(400)
    end

    test "end together by abort", %{engine: engine, id: id} do
      streams = while_paused(engine, [id, id], fn -> AsyncLLM.abort(engine, id) end)
      for stream <- streams, do: assert(["abort"] = finish_reasons(stream))
    end
  end

  test "a process gets the items as messages with stream_to", %{engine: engine, id: id} do
    params = [temperature: 0.0, max_tokens: 50, output_kind: :DELTA]
    {:ok, stream} = AsyncLLM.generate(engine, "count", params, id, rpc: [stream_to: self()])
    assert received(stream) |> Enum.map_join(&text/1) == counting(50)
  end

  defp abort_at_first_item(engine, id) do
    {:ok, stream} = AsyncLLM.generate(engine, "count", endless(), id, @narrow)

    for item <- stream do
      unless item.finished do
        assert {:ok, nil} =
                 Task.async(fn -> AsyncLLM.abort(engine, id) end) |> Task.await(:infinity)
      end

      item
    end
  end

  # Requests that the engine has accepted, and makes no token of until `fun` has returned.
  defp while_paused(engine, ids, fun) do
    {:ok, nil} = Vllm.call(engine, :pause_generation, mode: "keep")

    streams =
      for id <- ids do
        {:ok, stream} = AsyncLLM.generate(engine, "count", endless(), id)
        stream
      end

    assert {:ok, nil} = fun.()
    streams
  after
    {:ok, nil} = Vllm.call(engine, :resume_generation)
  end

  defp finish_reasons(stream) do
    for %{finished: true} = item <- stream,
        completion <- item.outputs,
        do: completion.finish_reason
  end

  defp collected(enumerable) do
    {:ok, Enum.to_list(enumerable)}
  rescue
    error in Error -> {:error, error}
  end

  defp received(stream) do
    receive do
      {:vllm, ^stream, {:item, item}} -> [item | received(stream)]
      {:vllm, ^stream, :done} -> []
    end
  end
end
