defmodule Vllm.RequestOutputCollectorTest do
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.RequestOutputCollector, as: Collector

  setup %{instance: instance} do
    %{collector: ref(instance, "q1", "RequestOutputCollector")}
  end

  test "waits for an output without a limit", %{fake: fake, collector: collector} do
    task = Task.async(fn -> Collector.get(collector) end)
    request = assert_call(1).request
    assert {request.target, request.method} == {{:ref, "q1"}, "get"}
    assert request.timeout_ms == 0
    FakeWorker.reply(fake, 1, value("output"))
    assert Task.await(task, :infinity) == {:ok, "output"}
  end

  test "waits as long as rpc: [timeout: ms] says", %{fake: fake, collector: collector} do
    FakeWorker.answer(fake, 1, value(nil))
    assert Collector.get(collector, rpc: [timeout: 5_000]) == {:ok, nil}
    assert assert_call(1).request.timeout_ms == 5_000
  end

  test "has Python's other methods", %{fake: fake, collector: collector} do
    calls = [
      {"get_nowait", fn -> Collector.get_nowait(collector) end},
      {"close", fn -> Collector.close(collector) end},
      {"request_id", fn -> Collector.request_id(collector) end}
    ]

    for {{method, call}, id} <- Enum.with_index(calls, 1) do
      FakeWorker.answer(fake, id, value(method))
      assert call.() == {:ok, method}
      assert assert_call(id).request.method == method
    end
  end

  test "requires a reference" do
    assert {:error, %Error{kind: :invalid}} = Collector.get(:no_reference)
  end
end
