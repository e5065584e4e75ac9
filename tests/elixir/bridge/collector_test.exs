defmodule Vllm.Bridge.CollectorTest do
  # A collector that is closed while processes wait for its outputs.
  use Vllm.BridgeCase, async: true

  alias Vllm.RequestOutputCollector, as: Collector

  test "closing makes each waiting get/1 return nil", %{instance: instance, engine: engine} do
    {:ok, nil} = AsyncLLM.pause_generation(engine, mode: "keep")
    {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "Hello", endless())
    waiting = for _ <- 1..3, do: Task.async(fn -> Collector.get(collector) end)

    wait_until(fn -> match?({:ok, %{calls: 3}}, Vllm.Core.Connection.info({instance, node()})) end)

    for _ <- 1..2, do: assert(Collector.close(collector) == {:ok, nil})
    assert Task.await_many(waiting, :infinity) == List.duplicate({:ok, nil}, 3)
    assert Collector.get(collector) == {:ok, nil}
    assert Vllm.call(engine, :get_num_unfinished_requests) == {:ok, 0}
  end
end
