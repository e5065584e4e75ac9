defmodule Vllm.Core.Instance.ReportsTest do
  use ExUnit.Case, async: true

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.Reports
  alias Vllm.Proto.EngineLoad

  @instance {Some.Vllm, :a@b}
  @ref %Ref{instance: @instance, incarnation: "i", id: "e1", type: "AsyncLLM"}
  @ready [chat: {:ready, @ref}, embed: :building]

  setup do: %{reports: Reports.add(%Reports{instance: @instance}, self(), @ready)}

  defp told do
    pid = self()
    assert_received {:vllm_report, ^pid, %{instance: @instance, engines: engines}}
    for it <- engines, do: {it.name, it.state, it.count, it.load}
  end

  test "a receiver is told at once, and of each change", %{reports: reports} do
    assert told() == [{:chat, :ready, 0, nil}, {:embed, :building, 0, nil}]
    failed = Error.new(:invalid, "no model")
    Reports.tell(reports, chat: {:ready, @ref}, embed: {:failed, failed})
    assert told() == [{:chat, :ready, 0, nil}, {:embed, {:failed, failed}, 0, nil}]
  end

  test "loads are those of engines that are declared, and counted", %{reports: reports} do
    told()
    load = %EngineLoad{ref: "e1", running: 3, waiting: 1, kv_cache_permille: 200}
    reports = Reports.loads(reports, [load, %EngineLoad{ref: "other"}], @ready)
    reports |> Reports.tell(@ready)
    assert [{:chat, :ready, 1, {3, 1, 200}}, _] = told()
    # The same numbers again are news too.
    reports = Reports.loads(reports, [load], @ready)
    Reports.tell(reports, @ready)
    assert [{:chat, :ready, 2, {3, 1, 200}}, _] = told()
    assert map_size(reports.loads) == 1
    assert Reports.loads(reports, [], chat: :building).loads == %{}
  end

  test "an engine hangs until it does no more", %{reports: reports} do
    told()
    reports = Reports.stalled(reports, "e1", true, @ready)
    Reports.tell(reports, @ready)
    assert [{:chat, :stalled, 0, nil}, _] = told()
    reports = Reports.stalled(reports, "e1", false, @ready)
    Reports.tell(reports, @ready)
    assert [{:chat, :ready, 0, nil}, _] = told()
  end

  test "when it stops, every engine does", %{reports: reports} do
    told()
    reports |> Reports.draining() |> Reports.tell(@ready)
    assert [{:chat, :draining, 0, nil}, {:embed, :draining, 0, nil}] = told()
  end

  test "a receiver that has ended is told no more", %{reports: reports} do
    [monitor] = Map.keys(reports.receivers)
    assert Reports.down(reports, monitor).receivers == %{}
    assert Reports.down(reports, make_ref()) == reports
  end
end
