defmodule Vllm.RealEngine.LoadTest do
  # Many requests at once, and requests that end before their time: the cases of vLLM's
  # tests/v1/engine/test_async_llm.py and of its neighbours, named at each test.
  use Vllm.VllmEngine, engine: :scripted, also: [random: :random]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  describe "100 processes with a request each" do
    # test_async_llm.py::test_load
    for kind <- [:DELTA, :FINAL_ONLY] do
      @kind kind

      test "get all of their tokens, #{kind}", %{engine: engine} do
        params = [max_tokens: 10, ignore_eos: true, temperature: 0.0, output_kind: @kind]

        said =
          1..100
          |> Enum.map(fn n ->
            Task.async(fn ->
              items = engine |> generate("load #{n}: count", params) |> Enum.to_list()
              if @kind == :FINAL_ONLY, do: assert(length(items) == 1)
              assert Enum.map(items, & &1.finished) |> Enum.reverse() |> hd()
              {List.last(items).prompt, Enum.flat_map(items, &ids/1), all_text(items)}
            end)
          end)
          |> Task.await_many(:infinity)

        for {{prompt, ids, text}, n} <- Enum.with_index(said, 1) do
          assert {prompt, length(ids), text} == {"load #{n}: count", 10, counting(10)}
        end

        # What is done is done: nothing is left to clean up.
        assert unfinished(engine) == 0
      end
    end
  end

  # test_async_llm.py::test_abort
  for kind <- [:DELTA, :FINAL_ONLY] do
    @kind kind

    test "of 30 requests every tenth is cancelled, and all others complete, #{kind}", context do
      engine = context.engine
      # While the engine is paused no request can be done before it is cancelled.
      pause(engine)
      requests = for n <- 1..30, do: start(engine, n, @kind)
      cancelled = for %{number: n} = request when rem(n, 10) == 0 <- requests, do: request
      assert unfinished(engine) == completions(requests)

      # The ways to cancel: the owner dies, the enumeration is halted, the stream is cancelled.
      [owned, halted, ended] = cancelled
      Process.exit(owned.owner, :kill)

      send(
        halted.owner,
        {self(), &Enumerable.reduce(&1, {:halt, []}, fn _, _ -> {:halt, []} end)}
      )

      assert_receive {:halted, []}
      assert Stream.cancel(ended.stream) == :ok
      wait_until(fn -> unfinished(engine) == completions(requests -- cancelled) end)
      resume(engine)

      for %{id: id, n: n, owner: owner} <- requests -- cancelled do
        send(owner, {self(), &Enum.to_list/1})
        assert_receive [%RequestOutput{request_id: ^id} | _] = items
        assert Enum.count(items, & &1.finished) == 1

        by_index = items |> Enum.flat_map(& &1.outputs) |> Enum.group_by(& &1.index)
        assert Map.keys(by_index) == Enum.to_list(0..(n - 1))

        for {_index, parts} <- by_index do
          assert parts |> Enum.flat_map(& &1.token_ids) |> length() == 60
          assert List.last(parts).finish_reason == "length"
        end
      end

      wait_until(fn -> unfinished(engine) == 0 end)

      for %{id: id} <- cancelled do
        params = [temperature: 0.0, max_tokens: 10]
        assert {:ok, stream} = AsyncLLM.generate(engine, "count", params, id)
        assert {:ok, %{request_id: ^id} = output} = Stream.collect(stream)
        assert text(output) == counting(10)
      end
    end
  end

  # test_async_llm.py::test_multi_abort
  test "one abort of five ids ends their streams, and no other", %{engine: engine} do
    pause(engine)
    ids = for n <- 1..20, do: "multi-#{n}"
    {aborted, others} = Enum.split(ids, 5)

    streams =
      for id <- ids, into: %{} do
        params = [temperature: 0.0, max_tokens: 100, output_kind: :DELTA]
        {:ok, stream} = AsyncLLM.generate(engine, "count", params, id)
        {id, stream}
      end

    assert {:ok, nil} = AsyncLLM.abort(engine, aborted)
    resume(engine)

    for id <- aborted do
      items = Enum.to_list(streams[id])
      assert %RequestOutput{request_id: ^id, finished: true} = last = List.last(items)
      assert [%{finish_reason: "abort", stop_reason: nil}] = last.outputs
      assert String.starts_with?(counting(100), all_text(items))
    end

    for id <- others do
      items = Enum.to_list(streams[id])
      assert all_text(items) == counting(100)
      assert [%{finish_reason: "length"}] = List.last(items).outputs
    end
  end

  # test_async_llm.py::test_abort_final_output
  for kind <- [:DELTA, :CUMULATIVE, :FINAL_ONLY] do
    @kind kind

    test "the last item of an aborted request has the finish reason abort, #{kind}", %{
      engine: engine
    } do
      {id, items} = aborted(engine, @kind)
      last = List.last(items)
      assert %RequestOutput{request_id: ^id, finished: true, outputs: [completion]} = last
      assert %CompletionOutput{finish_reason: "abort", stop_reason: nil} = completion
      assert last.num_cached_tokens >= 0
      assert Enum.count(items, & &1.finished) == 1
      if @kind == :FINAL_ONLY, do: assert(length(items) == 1)

      # What was made until then is there.
      said = if @kind == :DELTA, do: all_text(items), else: completion.text
      assert String.length(said) > 0
      assert String.starts_with?(counting(2000), said)
    end
  end

  describe "several completions of a request" do
    # test_parallel_sampling.py::test_parent_request_to_output_final_only
    test "arrive together and by index with FINAL_ONLY", %{engine: engine} do
      for n <- [2, 5] do
        params = [n: n, max_tokens: 8, ignore_eos: true, output_kind: :FINAL_ONLY]
        assert [item] = engine |> generate("count", params) |> Enum.to_list()
        assert Enum.map(item.outputs, & &1.index) == Enum.to_list(0..(n - 1))
        for completion <- item.outputs, do: assert(length(completion.token_ids) == 8)
      end
    end

    # test_output_processor.py::test_cumulative_output_collector_n. With random weights some
    # completions end long before others; the seed makes it certain.
    for kind <- [:CUMULATIVE, :DELTA] do
      @kind kind

      test "end once each, and are not repeated, #{kind}", %{random: engine} do
        params = [n: 4, seed: 5, max_tokens: 300, output_kind: @kind]
        items = engine |> generate("abc", params) |> Enum.to_list()
        told = for item <- items, completion <- item.outputs, do: completion

        lengths =
          for {index, parts} <- Enum.group_by(told, & &1.index), into: %{} do
            {before, [last]} = Enum.split(parts, -1)
            assert Enum.all?(before, &(&1.finish_reason == nil))
            assert last.finish_reason in ["stop", "length"]

            all =
              if @kind == :DELTA, do: Enum.flat_map(parts, & &1.token_ids), else: last.token_ids

            {index, length(all)}
          end

        assert Map.keys(lengths) == [0, 1, 2, 3]
        assert lengths |> Map.values() |> Enum.uniq() |> length() > 1
        assert Enum.map(items, & &1.finished) |> Enum.count(& &1) == 1
        assert List.last(items).finished
      end
    end
  end

  # test_generate.py::test_log_stats
  test "every output has metrics", %{engine: engine} do
    for {kind, n} <- [DELTA: 1, CUMULATIVE: 1, FINAL_ONLY: 1, FINAL_ONLY: 3] do
      params = [max_tokens: 12, n: n, ignore_eos: true, output_kind: kind]
      items = engine |> generate("count", params) |> Enum.to_list()
      assert Enum.all?(items, &match?(%{metrics: %Vllm.RequestStateStats{}}, &1))
      assert List.last(items).metrics.num_generation_tokens == 12
    end
  end

  # tests/entrypoints/serve/instrumentator/test_basic.py::test_request_cancellation
  describe "requests end in the engine" do
    test "with the process that made them", %{engine: engine} do
      pause(engine)
      test = self()

      owner =
        spawn(fn ->
          streams = for _ <- 1..10, do: generate(engine, "count", endless())
          send(test, :accepted)
          for stream <- streams, do: Enum.to_list(stream)
        end)

      assert_receive :accepted
      assert unfinished(engine) == 10
      Process.exit(owner, :kill)
      wait_until(fn -> unfinished(engine) == 0 end)
      resume(engine)
    end

    test "with the connection", %{engine: engine} do
      pause(engine)
      name = Vllm.RealEngine.LoadTest.Another
      connection = another_client(name)
      engine_there = %{engine | instance: {name, node()}}
      streams = for _ <- 1..10, do: generate(engine_there, "count", endless())
      assert unfinished(engine) == 10

      Process.exit(connection, :kill)
      wait_until(fn -> unfinished(engine) == 0 end)

      for stream <- streams do
        assert {:error, %Error{kind: :worker_down}} = Stream.collect(stream)
      end

      resume(engine)
    end
  end

  defp pause(engine), do: {:ok, nil} = Vllm.call(engine, :pause_generation, mode: "keep")
  defp resume(engine), do: {:ok, nil} = Vllm.call(engine, :resume_generation)

  defp all_text(items), do: Enum.map_join(items, &text/1)

  # A request that a process of its own has made, and which that process will enumerate. Some ask
  # for three completions.
  defp start(engine, number, kind) do
    test = self()
    id = "cancel-#{kind}-#{number}"
    n = if rem(number, 3) == 0, do: 3, else: 1
    params = [n: n, max_tokens: 60, ignore_eos: true, output_kind: kind]

    owner =
      spawn(fn ->
        {:ok, stream} = AsyncLLM.generate(engine, "count", params, id)
        send(test, {:accepted, id, stream})

        receive do
          {^test, enumerate} -> send(test, enumerate.(stream))
        end
      end)

    assert_receive {:accepted, ^id, stream}
    %{number: number, id: id, n: n, owner: owner, stream: stream}
  end

  defp completions(requests), do: requests |> Enum.map(& &1.n) |> Enum.sum()

  # The items of a request that had begun when it was aborted, and could not end by itself.
  defp aborted(engine, kind) do
    id = request_id()
    params = Keyword.put(endless(), :output_kind, kind)
    {:ok, stream} = AsyncLLM.generate(engine, "count", params, id)
    # It came later, so once it has a token the other has one as well.
    [_item] = engine |> generate("count", endless()) |> Enum.take(1)
    {:ok, nil} = AsyncLLM.abort(engine, id)
    items = Enum.to_list(stream)

    # On a busy machine the engine may be done before the abort comes; then once more.
    case List.last(items).outputs do
      [%{finish_reason: "length"}] -> aborted(engine, kind)
      _ -> {id, items}
    end
  end

  # Another client of the same worker, and its connection.
  defp another_client(name) do
    {:ok, address, token} =
      Vllm.Core.Worker.address(Vllm.Core.Instance.Locator.process_name(instance(), "Worker"))

    {:ok, _} = start_supervised({Vllm, name: name, connect: address, token: token})
    Process.whereis(Vllm.Core.Instance.Locator.process_name(name, "Connection"))
  end
end
