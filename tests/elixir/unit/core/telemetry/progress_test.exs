defmodule Vllm.Core.Telemetry.ProgressTest do
  # Defines the module :telemetry while it runs.
  use Vllm.FakeWorkerCase

  import ExUnit.CaptureIO
  import Vllm.StandIns

  alias Vllm.Core.Telemetry.Progress

  @metadata %{instance: X, class: "LLM", method: "generate"}

  @moduletag connect: false

  setup do
    telemetry()
    %{report: Progress.reporter(@metadata)}
  end

  defp progress(done, fields \\ []) do
    struct!(
      Vllm.Proto.Progress,
      [description: "Processed prompts", done: done, total: 4, elapsed_ms: 1500] ++ fields
    )
  end

  test "each progress is an event", %{report: report} do
    assert capture_io(fn -> report.(progress(1, note: "fast")) end) == ""
    assert [{[:vllm, :llm, :progress], measurements, metadata, _}] = events()
    assert %{done: 1, total: 4, duration: duration} = measurements
    assert System.convert_time_unit(duration, :native, :millisecond) == 1500
    assert metadata == Map.merge(@metadata, %{description: "Processed prompts", note: "fast"})
  end

  describe "in a shell" do
    setup do
      Process.put(:iex_server, self())
      :ok
    end

    test "there is a bar, whose line ends when all is done", %{report: report} do
      output =
        capture_io(fn ->
          report.(progress(2))
          report.(progress(4, note: "fast"))
          report.(:over)
        end)

      assert output ==
               "\rProcessed prompts: [##########..........] 2/4 (1.5 s)\e[K" <>
                 "\rProcessed prompts: [####################] 4/4 (1.5 s, fast)\e[K\n"
    end

    test "the line of a bar that does not come to its end is ended", %{report: report} do
      output =
        capture_io(fn ->
          report.(progress(2))
          report.(:over)
          report.(:over)
        end)

      assert String.ends_with?(output, "2/4 (1.5 s)\e[K\n")
    end
  end

  test "without a total only what is done is told" do
    assert Progress.bar(progress(3, total: 0)) == "Processed prompts: 3"
  end
end
