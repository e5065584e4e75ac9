defmodule Vllm.Bridge.LimitsTest do
  # What a worker and a client take at once: calls, bytes, items on their way.
  use Vllm.BridgeCase, async: true

  @megabyte 1024 * 1024

  test "none of 1,000 calls at once is lost", %{engine: engine} do
    assert 1..1000
           |> Enum.map(fn n -> Task.async(fn -> control(engine, "echo_async", [n]) end) end)
           |> Task.await_many(:infinity) == Enum.to_list(1..1000)
  end

  test "the status says which token path an engine has, and why", %{test: test, engine: engine} do
    {:ok, _pid} = start(test, token_path: :outputs)
    engine(test)
    assert {:ok, %{"engines" => [told]}} = Vllm.status(test)
    assert %{"token_path" => "outputs", "token_path_reason" => "turned off: " <> _rest} = told

    # The fake engine has no request states of vLLM's.
    {:ok, %{"engines" => engines}} = engine.instance |> elem(0) |> Vllm.status()
    found = Enum.find(engines, &(&1["ref"] == engine.id))
    assert %{"token_path" => "outputs", "token_path_reason" => "the engine class " <> _} = found
  end

  describe "beyond max_calls" do
    setup %{test: test} do
      {:ok, _pid} = start(test, max_calls: 10)
      %{engine: engine(test)}
    end

    test "calls are refused as overloaded, and the engine sees none", %{engine: engine} do
      streams = for n <- 1..10, do: hanging(engine, "full-#{n}")

      for _ <- 1..20 do
        assert {:error, %Error{kind: :overloaded, retryable: true} = error} =
                 AsyncLLM.generate(engine, "x", [max_tokens: 1], "refused")

        assert error.message =~ "10 calls"
        assert error.details == %{"max_calls" => 10}
        assert {:error, %Error{kind: :overloaded}} = AsyncLLM.sleep(engine)
      end

      # Methods that report on requests or end them are not counted.
      assert {:ok, %{"calls" => 11}} = engine.instance |> elem(0) |> Vllm.status()
      assert Vllm.call(engine, "get_num_unfinished_requests") == {:ok, 10}
      assert AsyncLLM.check_health(engine) == {:ok, nil}
      assert AsyncLLM.abort(engine, "full-1") == {:ok, nil}
      assert {:ok, %{finished: true}} = Stream.collect(hd(streams))
      assert control(engine, "calls", ["sleep"]) == []
      assert engine |> control("calls", ["generate"]) |> length() == 10

      # A cancelled stream makes room, too.
      for stream <- tl(streams), do: Stream.cancel(stream)
      assert {:ok, %{finished: true}} = complete(engine)
    end

    test "each of 1,000 calls at once is answered or refused", %{engine: engine} do
      results =
        1..1000
        |> Enum.map(fn n -> Task.async(fn -> Vllm.call(engine, "echo_async", [n]) end) end)
        |> Task.await_many(:infinity)

      for {result, n} <- Enum.with_index(results, 1) do
        assert match?({:ok, ^n}, result) or match?({:error, %Error{kind: :overloaded}}, result)
      end

      assert {:ok, 1} = Vllm.call(engine, "echo", [1])
    end

    defp hanging(engine, id) do
      params = [max_tokens: 100, extra_args: %{"fake" => %{"hang" => true}}]
      {:ok, stream} = AsyncLLM.generate(engine, "x", params, id)
      stream
    end

    # The room of a cancelled stream is free a moment later.
    defp complete(engine) do
      case AsyncLLM.generate_collect(engine, "x", [max_tokens: 1], "after") do
        {:error, %Error{kind: :overloaded}} -> complete(engine)
        result -> result
      end
    end
  end

  test "arguments and values beyond the size limit are refused, and the session goes on",
       %{engine: engine} do
    {:ok, other} = AsyncLLM.generate(engine, "x", endless(), "other")

    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.call(engine, "echo", [:binary.copy("x", 255 * @megabyte)])

    assert %{"limit" => limit, "size" => size} = error.details
    assert size > limit

    # Small enough to be sent, too large to come back.
    assert {:error, %Error{kind: :unsupported} = error} =
             Vllm.call(engine, "echo", [%Vllm.Bytes{data: :binary.copy("x", 241 * @megabyte)}])

    assert %{"limit" => limit, "bytes" => size} = error.details
    assert size > limit
    assert [_, _] = Enum.take(other, 2)
    assert control(engine, "echo", [1]) == 1
  end

  test "a consumer that takes no items costs neither side memory", context do
    # Items that are not taken, and other streams that go on.
    {:ok, slow} = Vllm.call(context.engine, "count", [1_000_000])
    params = [max_tokens: 5_000, output_kind: :DELTA]
    {:ok, held} = AsyncLLM.generate(context.engine, "x", params, "held")
    before = memory(context.instance)

    for n <- 1..200 do
      assert {:ok, %{finished: true}} =
               AsyncLLM.generate_collect(context.engine, "x", [max_tokens: 50], "beside-#{n}")
    end

    control(context.engine, "wait_requests", [0])
    {worker, beam} = memory(context.instance)
    assert worker - elem(before, 0) < 32 * @megabyte
    assert beam - elem(before, 1) < 32 * @megabyte

    # Nothing is lost: what was not taken has been merged.
    ids = Enum.flat_map(held, fn item -> hd(item.outputs).token_ids end)
    assert ids == Enum.to_list(256..5_255)
    assert Enum.take(slow, 1000) == Enum.to_list(0..999)
  end

  defp memory(instance) do
    :erlang.garbage_collect()
    {:ok, %{"pid" => pid}} = Vllm.status(instance)
    [_size, pages | _] = "/proc/#{pid}/statm" |> File.read!() |> String.split()
    connection = Process.whereis(Vllm.Core.Instance.Locator.process_name(instance, "Connection"))
    {:memory, heap} = Process.info(connection, :memory)
    {:binary, binaries} = Process.info(connection, :binary)
    bytes = Enum.reduce(binaries, heap, fn {_id, size, _count}, sum -> sum + size end)
    {String.to_integer(pages) * 4096, bytes}
  end
end
