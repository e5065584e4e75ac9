defmodule Vllm.Bridge.LiveDashboardTest do
  # The page of LiveDashboard, compiled against a stand-in, with instances of fake engines.
  use ExUnit.Case, async: false

  import Vllm.BridgeCase

  alias Vllm.StandIns

  @moduletag bridge: true, timeout: 120_000

  @page MyAppWeb.PageOfTest

  setup_all do
    StandIns.library("live_dashboard")
    StandIns.application_module("defmodule #{inspect(@page)} do\n  use Vllm.LiveDashboard\nend")
  end

  defp shown(params, node \\ node()) do
    page = struct!(Phoenix.LiveDashboard.PageBuilder, params: params, node: node)
    apply(@page, :render, [%{page: page}])
  end

  # Other tests' instances may run.
  defp rows(%{rows: rows}, name), do: Enum.filter(rows, &(&1.instance == inspect(name)))

  test "the page has a link in the menu, and no session" do
    assert apply(@page, :init, [[]]) == {:ok, []}
    assert apply(@page, :menu_link, [%{}, %{}]) == {:ok, "vLLM"}
  end

  test "an engine is a row with a text for each column", %{test: name} do
    {:ok, _} = start(name, engines: [second: [model: "fake"], bad: [model: "fake", seed: "x"]])
    {:ok, _engine} = Vllm.engine(name, :second)
    {:error, _reason} = Vllm.engine(name, :bad)

    table = shown(%{})
    assert [bad, second] = table |> rows(name) |> Enum.sort_by(& &1.engine)
    assert %{engine: ":bad", state: "failed", model: "-", running: "-", kv_cache: "-"} = bad

    assert %{engine: ":second", state: "ready", running: "0", waiting: "0"} = second

    for row <- table.rows, column <- table.columns, do: assert(is_binary(row[column]))
  end

  test "rows are sorted by a column, and searched", %{test: name} do
    {:ok, _} = start(name, engines: [beta: [model: "fake"], alpha: [model: "fake"]])
    for engine <- [:beta, :alpha], do: {:ok, _} = Vllm.engine(name, engine)

    engines = for row <- rows(shown(%{"sort_by" => "engine"}), name), do: row.engine
    assert engines == [":alpha", ":beta"]
    assert %{rows: [%{engine: ":beta"}], total: 1} = shown(%{"search" => "BETA"})
    assert %{rows: [], total: 0} = shown(%{"search" => "nothing has this text"})
    assert {[_one], 2} = Vllm.LiveDashboard.rows(%{search: inspect(name), limit: 1}, node())
  end

  test "an instance without engines is a row", %{test: name} do
    {:ok, _} = start(name)
    assert [%{state: "no engine", engine: "-"}] = rows(shown(%{}), name)
  end

  test "an instance that is down is a row with its error", %{test: name} do
    Process.register(self(), name)
    Vllm.Core.Instance.Running.put(name)
    assert [%{engine: "-", state: state}] = rows(shown(%{}), name)
    assert state =~ inspect(name)
  end

  test "a node that does not answer is a row that says so" do
    assert %{rows: [%{state: state}], total: 1} = shown(%{}, :"nobody@127.0.0.1")
    assert state =~ "nobody@127.0.0.1 does not answer"
  end
end
