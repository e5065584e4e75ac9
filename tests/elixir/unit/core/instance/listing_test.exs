defmodule Vllm.Core.Instance.ListingTest do
  # What a worker says of its engines, as `Vllm.engines/1` returns it.
  use Vllm.FakeWorkerCase, async: true

  @engine %{"ref" => "r1", "type" => "LLM", "model" => "llama", "unfinished_requests" => 3}

  # What is listed of engines that the worker describes like this.
  defp listed(%{fake: fake, name: name}, engines) do
    status = %{"incarnation" => FakeWorker.incarnation(), "engines" => engines}
    FakeWorker.answer(fake, 1, value(status))
    assert {:ok, listed} = Vllm.engines(name)
    assert %{target: {:class_name, "Worker"}, method: "status"} = assert_call(1).request
    listed
  end

  test "an engine has its reference, its class, its model and its requests", context do
    assert listed(context, [@engine]) == [
             %{
               name: nil,
               ref: ref(context.instance, "r1", "LLM"),
               type: "LLM",
               model: "llama",
               state: :ready,
               unfinished_requests: 3
             }
           ]
  end

  test "without engines the list is empty", context do
    assert listed(context, []) == []
  end

  test "a worker of an earlier version tells no type, and serves AsyncLLM", context do
    assert [%{type: "AsyncLLM", ref: %Ref{type: "AsyncLLM"}}] =
             listed(context, [Map.delete(@engine, "type")])
  end

  test "an engine that another instance has declared has its name as a string", context do
    assert [%{name: "chat"}] = listed(context, [Map.put(@engine, "name", "chat")])
  end

  test "an engine is ready, hangs or is dead", context do
    states = [
      {%{"errored" => false}, :ready},
      {%{"errored" => false, "stalled_s" => nil}, :ready},
      {%{"errored" => false, "stalled_s" => 0.5}, :stalled},
      {%{"errored" => false, "stalled_s" => 7}, :stalled},
      {%{"errored" => true, "stalled_s" => 7}, :dead},
      {%{"errored" => true}, :dead}
    ]

    engines = for {said, _state} <- states, do: Map.merge(@engine, said)
    found = for engine <- listed(context, engines), do: engine.state
    assert found == for({_said, state} <- states, do: state)
  end

  test "a worker that is not there is an error" do
    assert {:error, %Error{kind: :worker_down}} = Vllm.engines(Nowhere.Vllm)
    assert {:error, %Error{kind: :invalid}} = Vllm.engines(5)
  end
end
