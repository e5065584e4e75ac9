defmodule Vllm.Core.Inference.SettingsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Inference.Settings
  alias Vllm.Error

  test "a text has only the arguments that are given" do
    assert {:ok, settings} = Settings.validate(:generation, temperature: 0, adapter_id: "a")

    assert Settings.arguments(settings) ==
             [adapter_id: "a", max_tokens: 4096, temperature: 0]
  end

  test "the deadline is the option timeout, unless the options of the bridge have one" do
    for {opts, timeout} <- [
          {[], 600_000},
          {[timeout: 5], 5},
          {[timeout: :infinity], :infinity},
          {[timeout: 5, rpc: [timeout: 6]], 6}
        ] do
      assert {:ok, %{rpc: [timeout: ^timeout]}} = Settings.validate(:generation, opts)
    end

    assert {:ok, %{rpc: [timeout: 60_000]}} = Settings.validate(:asking, [])
    assert {:ok, %{rpc: 5}} = Settings.validate(:asking, rpc: 5)
  end

  test "a wrong option is refused by name" do
    for {kind, opts, name} <- [
          {:generation, [max_tokens: 0], "max_tokens"},
          {:generation, [max_tokens: 2 ** 31], "max_tokens"},
          {:generation, [temperature: "0"], "temperature"},
          {:generation, [top_p: :x], "top_p"},
          {:generation, [system_prompt: <<255>>], "system_prompt"},
          {:generation, [adapter: "a"], "adapter"},
          {:generation, [instance: :x], "instance"},
          {:loading, [timeout: -1], "timeout"},
          {:selection, [env: [1]], "env"},
          {:selection, [env: %{"A" => 1}], "env"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Settings.validate(kind, opts)
      assert error.message =~ name
    end
  end

  test "options that are no keyword list are refused" do
    for kind <- [:generation, :loading, :asking, :selection, :place],
        opts <- [7, nil, %{}, [1], [{"timeout", 1}]],
        do: assert({:error, %Error{kind: :invalid}} = Settings.validate(kind, opts))

    assert {:error, %Error{kind: :invalid}} = Settings.split(%{}, [:n_ctx])
  end

  test "the arguments of a constructor are told from the options" do
    assert {:ok, [n_ctx: 1], [timeout: 2]} = Settings.split([timeout: 2, n_ctx: 1], [:n_ctx])
  end

  test "variables are strings" do
    assert Settings.variables(A: "x", B: false) == %{"A" => "x"}
  end
end
