defmodule Vllm.Core.Mellea.SettingsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Mellea.Settings
  alias Vllm.Error

  test "the deadline goes to the bridge, and one given there goes first" do
    assert {:ok, %{rpc: [timeout: 5]}} = Settings.validate(:asking, timeout: 5)
    assert {:ok, %{rpc: [timeout: 7]}} = Settings.validate(:asking, timeout: 5, rpc: [timeout: 7])
  end

  test "only what is given is sent" do
    {:ok, settings} = Settings.validate(:generation, [])
    assert Settings.arguments(settings) == []

    {:ok, settings} =
      Settings.validate(:generation, model_options: [seed: 7], tool_calls: true, tools: [])

    assert Settings.arguments(settings) ==
             [model_options: %{"@@@seed@@@" => 7}, tool_calls: true, tools: []]
  end

  test "a strategy has a name and budgets" do
    {:ok, settings} = Settings.validate(:instruct, strategy: :multi_turn, loop_budget: 3)

    assert Settings.strategy(settings) ==
             %{"name" => "multi_turn", "loop_budget" => 3, "concurrency_budget" => 1}

    {:ok, settings} = Settings.validate(:instruct, strategy: nil)
    assert Settings.strategy(settings) == nil
  end

  test "what is wrong names the option" do
    for {opts, option} <- [
          {[loop_budget: 0], "loop_budget"},
          {[loop_budget: 1_000_000], "loop_budget"},
          {[concurrency_budget: 1_000_000], "concurrency_budget"},
          {[strategy: :none], "strategy"},
          {[tool_calls: 1], "tool_calls"},
          {[strategie: nil], "strategie"}
        ] do
      assert {:error, %Error{kind: :invalid, message: message}} =
               Settings.validate(:instruct, opts)

      assert message =~ option
    end

    assert {:error, %Error{kind: :invalid}} = Settings.validate(:instruct, model_options: 5)
    # M-22
    assert {:error, %Error{kind: :unsupported}} = Settings.validate(:generation, alora: true)
  end
end
