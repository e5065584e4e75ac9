defmodule Vllm.Core.Instance.WatchdogTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Proto.{EngineDied, EngineRecovered, EngineStalled, Notice}

  # A worker of an earlier version does not say the type.
  for {type, shown} <- [{"", "AsyncLLM"}, {"AsyncLLM", "AsyncLLM"}, {"LLM", "LLM"}] do
    test "what happens to an undeclared engine of type #{inspect(type)} is emitted", context do
      telemetry()
      id = "r9"
      died = %EngineDied{ref: id, type: unquote(type), failure: %Failure{message: "killed"}}

      stalled = %EngineStalled{
        ref: id,
        type: unquote(type),
        stalled_ms: 7,
        unfinished_requests: 1
      }

      recovered = %EngineRecovered{ref: id, type: unquote(type), stalled_ms: 7}

      events = [engine_stalled: stalled, engine_recovered: recovered, engine_died: died]
      notices = for event <- events, do: %Notice{event: event}
      FakeWorker.send_frame(context.fake, %ServerFrame{notices: notices})

      silent = System.convert_time_unit(7, :millisecond, :native)

      for {event, measured} <- [
            stalled: %{duration: silent, requests: 1},
            recovered: %{duration: silent},
            down: %{}
          ] do
        assert_receive {:event, [:vllm, :engine, ^event], ^measured, metadata, _}
        assert %{engine: nil, ref: %Ref{id: "r9", type: unquote(shown)}} = metadata
      end

      # A report ends nothing.
      assert {:ok, %{calls: 0}} = Connection.info(context.instance)
    end
  end

  test "an adapter that is used in part is emitted with what is not used", %{fake: fake} do
    telemetry()

    used = %Vllm.Proto.AdapterPartlyUsed{
      ref: "r9",
      lora_name: "sql",
      lora_int_id: 7,
      lora_path: "/adapters/sql",
      unknown_modules: ["layers.*.conv"],
      model_modules: ["layers.*.o_proj"],
      type: "LLM"
    }

    notice = %Vllm.Proto.Notice{event: {:adapter_partly_used, used}}
    FakeWorker.send_frame(fake, %ServerFrame{notices: [notice]})
    assert_receive {:event, [:vllm, :engine, :adapter_partly_used] = name, %{}, metadata, _}
    assert %{engine: nil, ref: %Ref{id: "r9", type: "LLM"}} = metadata
    assert metadata.unknown_modules == ["layers.*.conv"]
    {_name, _text, [], documented} = List.keyfind(Vllm.Telemetry.table(), name, 0)
    assert Enum.sort(Map.keys(metadata)) == documented |> Keyword.keys() |> Enum.sort()
  end
end
