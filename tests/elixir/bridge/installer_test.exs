# What the installer for Igniter writes, with stand-ins for Igniter: the module and the test that it adds
# are compiled here, and that test is run.

alias Vllm.StandIns

installer = "elixir/lib/mix/tasks/vllm_bridge.install.ex"
task = Mix.Tasks.VllmBridge.Install

# By apply, because the task is there only while this runs.
{first, again, chosen} =
  StandIns.with_library("igniter", installer, fn ->
    first = apply(task, :run, [[]])
    true = apply(task, :installer?, [])
    options = ["--model", "org/other", "--cpu"]
    {first, apply(task, :igniter, [first]), apply(task, :run, [options])}
  end)

module = first.files["lib/shop/vllm.ex"]
Code.compile_string(module, "lib/shop/vllm.ex")

# In the application, the supervision tree has started before the tests.
setting = """
use ExUnit.Case
@moduletag bridge: true, timeout: 120_000

setup_all do
  Application.put_env(:shop, Shop.Vllm, #{inspect(Config.Reader.merge(first.config["config.exs"], first.config["test.exs"])[:shop][Shop.Vllm])})
  start_supervised!(Shop.Vllm)
  :ok
end
"""

first.files["test/shop/vllm_test.exs"]
|> String.replace("use ExUnit.Case", setting)
|> Code.compile_string("test/shop/vllm_test.exs")

defmodule Vllm.Bridge.InstallerTest do
  use ExUnit.Case, async: true

  @first Macro.escape(first)
  @again Macro.escape(again)
  @chosen Macro.escape(chosen)
  @installer installer

  test "a module, its test, its configuration and a child are added" do
    first = unquote(@first)
    assert first.children == [Shop.Vllm]
    assert Map.keys(first.files) == ["lib/shop/vllm.ex", "test/shop/vllm_test.exs"]
    model = [model: "HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert first.config["config.exs"] == [shop: [{Shop.Vllm, [engines: [chat: model]]}]]
    assert first.config["test.exs"] == [shop: [{Shop.Vllm, [vllm: Vllm.Test]}]]
    assert [notice] = first.notices
    for command <- ["mix vllm.setup", "mix test", "Shop.Vllm.ask("], do: assert(notice =~ command)
  end

  test "a second run changes nothing" do
    assert unquote(@again) == unquote(@first)
  end

  test "the model is chosen, and arguments for a CPU are ones that vLLM has" do
    [chat: arguments] = unquote(@chosen).config["config.exs"][:shop][Shop.Vllm][:engines]
    assert arguments[:model] == "org/other"
    assert arguments[:kv_cache_memory_bytes] == 1_073_741_824
    assert struct!(Vllm.AsyncEngineArgs, arguments).enforce_eager
  end

  test "the child has the options of an instance" do
    assert %{id: Shop.Vllm, start: {Vllm.Core.RedactedServer, _, _}} = child(engines: [])
    assert %{id: Shop.Vllm, type: :supervisor} = child(vllm: Vllm.Test)
  end

  defp child(options) do
    before = Application.get_env(:shop, Shop.Vllm)
    Application.put_env(:shop, Shop.Vllm, options)

    try do
      Shop.Vllm.child_spec([])
    after
      Application.put_env(:shop, Shop.Vllm, before)
    end
  end

  test "what is written has the form of mix format" do
    for {path, text} <- unquote(@first).files do
      text = text |> Code.format_string!() |> IO.iodata_to_binary()
      assert text =~ "defmodule Shop.Vllm", path
    end
  end

  test "without Igniter there is no such task" do
    assert Code.compile_file(@installer) == []
  end
end
