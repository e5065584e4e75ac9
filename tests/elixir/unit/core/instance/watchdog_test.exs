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
end
