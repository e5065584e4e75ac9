defmodule Vllm.Bridge.DocumentsTest do
  # The pages of the manual whose examples need no real engine run here, with `Vllm.Test`. Where a page
  # says `children = [...]`, its `{Vllm, …}` is started as `{Vllm.Test, …}`.
  use ExUnit.Case

  alias Vllm.Documents
  alias Vllm.Documents.Runner
  alias Vllm.StandIns

  @moduletag bridge: true, timeout: 120_000

  # The workers that a page starts may be killed in it.
  @moduletag :capture_log

  setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}
  setup %{worker: worker}, do: %{engine: Vllm.Test.engine!(worker)}

  for page <- Documents.on(:fake) do
    test "the examples of #{page} run", %{engine: engine, worker: worker} do
      bindings =
        [engine: engine, worker: worker] ++ prepared(Path.basename(unquote(page)), engine)

      Runner.run(unquote(page), :fake, bindings, start: &start/1)
    end
  end

  # What a page takes as given.
  defp prepared("streaming.md", engine) do
    Vllm.Test.reply(engine, :any, [" Once", " upon", " a", " time", "."])
    []
  end

  defp prepared("telemetry.md", _engine) do
    StandIns.telemetry_with_handlers()
    StandIns.telemetry_metrics()
    [prompt: "Hello", params: [max_tokens: 2], id: "r1"]
  end

  defp prepared("cheatsheet.cheatmd", _engine) do
    StandIns.telemetry_with_handlers()
    []
  end

  defp prepared(_page, _engine), do: []

  defp start(children) do
    for child <- children do
      child = fake(child)
      %{id: id} = Supervisor.child_spec(child, [])
      stop_supervised(id)
      start_supervised!(child)
    end
  end

  defp fake({Vllm, options}), do: {Vllm.Test, options}
  defp fake(child), do: child
end
