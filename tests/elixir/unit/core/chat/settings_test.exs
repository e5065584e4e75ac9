defmodule Vllm.Core.Chat.SettingsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Chat.Settings
  alias Vllm.Error

  test "the bridge's options are told from the fields of the request" do
    opts = [temperature: 0.0, tool_parser: "hermes", tools: [], max_rounds: 2]
    assert {:ok, settings, fields} = Settings.split(opts)
    assert fields == [temperature: 0.0, tools: []]
    assert %{tool_parser: "hermes", max_rounds: 2, reasoning_parser: nil} = settings
  end

  test "a chat has no limit of time unless it gets one" do
    assert {:ok, %{rpc: [timeout: :infinity]}, []} = Settings.split([])
    assert {:ok, %{rpc: rpc}, []} = Settings.split(rpc: [window: 3])
    assert Enum.sort(rpc) == [timeout: :infinity, window: 3]
    assert {:ok, %{rpc: [timeout: 5]}, []} = Settings.split(rpc: [timeout: 5])
  end

  test "wrong options are refused by name" do
    for {opts, name} <- [
          {[tool_parser: 7], "tool_parser"},
          {[max_rounds: -1], "max_rounds"},
          {[max_rounds: 2 ** 64], "max_rounds"},
          {[tool_timeout: -1], "tool_timeout"},
          {[chat_template_content_format: "x"], "chat_template_content_format"},
          {[temperature: 1, temperature: 2], "temperature"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Settings.split(opts)
      assert error.message =~ name
    end
  end

  test "options that are no keyword list are refused" do
    for opts <- [7, nil, %{}, [1], [{"temperature", 1}]],
        do: assert({:error, %Error{kind: :invalid}} = Settings.split(opts))
  end
end
