defmodule Vllm.Core.Instance.WatchdogTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  test "the death of an undeclared engine is emitted", %{fake: fake} do
    telemetry()
    died = %Vllm.Proto.EngineDied{ref: "r9", failure: %Failure{message: "killed"}}
    notice = %Vllm.Proto.Notice{event: {:engine_died, died}}
    FakeWorker.send_frame(fake, %ServerFrame{notices: [notice]})
    assert_receive {:event, [:vllm, :engine, :down], %{}, metadata, _}
    assert %{engine: nil, reason: "killed", ref: %Ref{id: "r9", type: "AsyncLLM"}} = metadata
  end

  test "an adapter that is used in part is emitted with what is not used", %{fake: fake} do
    telemetry()

    used = %Vllm.Proto.AdapterPartlyUsed{
      ref: "r9",
      lora_name: "sql",
      lora_int_id: 7,
      lora_path: "/adapters/sql",
      unknown_modules: ["layers.*.conv"],
      model_modules: ["layers.*.o_proj"]
    }

    notice = %Vllm.Proto.Notice{event: {:adapter_partly_used, used}}
    FakeWorker.send_frame(fake, %ServerFrame{notices: [notice]})
    assert_receive {:event, [:vllm, :engine, :adapter_partly_used] = name, %{}, metadata, _}
    assert %{engine: nil, ref: %Ref{id: "r9"}} = metadata
    assert metadata.unknown_modules == ["layers.*.conv"]
    {_name, _text, [], documented} = List.keyfind(Vllm.Telemetry.table(), name, 0)
    assert Enum.sort(Map.keys(metadata)) == documented |> Keyword.keys() |> Enum.sort()
  end
end
