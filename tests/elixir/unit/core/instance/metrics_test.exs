defmodule Vllm.Core.Instance.MetricsTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Telemetry
  alias Vllm.Core.Instance.Metrics

  describe "the metrics of engines" do
    @numbers %{"generation_tokens" => 12, "kv_cache_usage" => 0.5, "of_tomorrow" => 1}
    @engine %{
      "ref" => "r1",
      "incarnation" => FakeWorker.incarnation(),
      "model" => "llama",
      "unfinished_requests" => 3,
      "token_path" => "outputs",
      "token_path_reason" => "turned off"
    }

    test "have the names of the documentation", %{fake: fake, name: name, ref: ref} do
      silent = Map.merge(@engine, %{"ref" => "r2", "metrics" => nil})
      FakeWorker.answer(fake, 1, value([Map.put(@engine, "metrics", @numbers), silent]))
      assert {:ok, [first, second]} = Vllm.metrics(name)
      assert_call(1)
      assert %{engine: nil, ref: ^ref, model: "llama"} = first

      assert first.metrics ==
               %{generation_tokens: 12, kv_cache_usage: 0.5, requests_unfinished: 3}

      assert second.metrics == nil
    end

    test "come with the token path and the reason for it", %{fake: fake, name: name} do
      engine = Map.put(@engine, "metrics", @numbers)
      direct = %{engine | "token_path" => "direct", "token_path_reason" => nil}
      unknown = Map.drop(engine, ["token_path", "token_path_reason"])
      FakeWorker.answer(fake, 1, value([engine, direct, unknown]))
      assert {:ok, engines} = Vllm.metrics(name)

      assert Enum.map(engines, &{&1.token_path, &1.token_path_reason}) ==
               [{:outputs, "turned off"}, {:direct, nil}, {nil, nil}]
    end

    test "are an error if the worker is not running" do
      assert {:error, %Error{kind: :worker_down}} = Vllm.metrics(Nowhere.Vllm)
    end

    test "have the worker's names" do
      [path] = Path.wildcard("python_worker/**/metrics.py")
      source = File.read!(path)
      names = for [_, name] <- Regex.scan(~r/^    "(\w+)": /m, source), do: name
      ours = Enum.map(Keyword.keys(Telemetry.numbers()), &to_string/1)
      assert Enum.sort(["requests_unfinished" | names]) == Enum.sort(ours)
    end

    test "are emitted in each interval, also after a call that failed", context do
      %{fake: fake, name: name} = context
      telemetry()
      numbers = Map.new(Telemetry.numbers(), fn {number, _} -> {to_string(number), 1} end)
      FakeWorker.answer(fake, 1, {:failure, %Failure{kind: :python, message: "no"}})
      FakeWorker.answer(fake, 2, value([Map.put(@engine, "metrics", numbers)]))
      start_supervised!({Metrics, {name, 1}})
      assert_receive {:event, [:vllm, :engine, :metrics], metrics, metadata, emitter}
      assert_documented([:vllm, :engine, :metrics], metrics, metadata)
      assert %{instance: ^name, engine: nil, model: "llama", ref: %Ref{id: "r1"}} = metadata
      assert %{token_path: :outputs, token_path_reason: "turned off"} = metadata
      assert metrics.generation_tokens == 1
      assert emitter not in [self(), Process.whereis(Module.concat(name, "Metrics"))]
      assert_receive {:event, [:vllm, :instance, :metrics], load, metadata, _}
      assert_documented([:vllm, :instance, :metrics], load, metadata)
    end

    test "are not requested without telemetry or without an interval", context do
      start_supervised!({Metrics, {context.name, 1}})
      FakeWorker.answer(context.fake, 1, value(nil))
      # The clock ticks before the call goes out, and would have asked first.
      poller = Process.whereis(Module.concat(context.name, "Metrics"))
      send(poller, :tick)
      :sys.get_state(poller)
      assert Vllm.call(context.ref, "sleep") == {:ok, nil}
      assert assert_call(1).request.method == "sleep"
    end
  end
end
