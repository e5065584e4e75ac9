defmodule Vllm.Core.LlamaFactory.SettingsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.LlamaFactory.Settings
  alias Vllm.Error

  @kinds [:new, :ending, :place, :asking, :parameters, :prompt, :chat, :dataset]

  test "a request has only the options that are given" do
    {:ok, settings} = Settings.validate(:chat, temperature: 0, do_sample: false, seed: nil)
    assert Settings.given(settings, :generation) == %{temperature: 0, do_sample: false}
  end

  test "a dataset has the options of its own and those of its requests" do
    {:ok, settings} = Settings.validate(:dataset, max_samples: 5, top_k: 3)

    assert %{formatting: "alpaca", max_samples: 5, batch_size: 1024} =
             Settings.given(settings, :dataset)

    assert Settings.given(settings, :generation) == %{top_k: 3}
  end

  test "an answer has no deadline unless it gets one" do
    assert {:ok, %{rpc: [timeout: :infinity]}} = Settings.validate(:chat, [])
    assert {:ok, %{rpc: [timeout: 5]}} = Settings.validate(:chat, timeout: 5)
    assert {:ok, %{rpc: [timeout: 6]}} = Settings.validate(:chat, rpc: [timeout: 6], timeout: 5)
    assert {:ok, %{rpc: [timeout: 60_000]}} = Settings.validate(:asking, [])
    assert {:ok, %{rpc: 5}} = Settings.validate(:asking, rpc: 5)
    assert {:ok, %{rpc: [timeout: :infinity]}} = Settings.validate(:new, [])
    assert {:ok, %{rpc: [timeout: 600_000]}} = Settings.validate(:ending, [])
  end

  test "a wrong option is refused by name" do
    for {kind, opts, name} <- [
          {:chat, [num_return_sequences: 0], "num_return_sequences"},
          {:chat, [max_new_tokens: -1], "max_new_tokens"},
          {:chat, [stop: [1]], "stop"},
          {:chat, [seed: 2 ** 63], "seed"},
          {:chat, [system: <<255>>], "system"},
          {:chat, [max_tokens: 1], "max_tokens"},
          {:prompt, [temperature: 0], "temperature"},
          {:dataset, [formatting: "csv"], "formatting"},
          {:dataset, [batch_size: 0], "batch_size"},
          {:place, [engine: nil], "engine"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Settings.validate(kind, opts)
      assert error.message =~ name
    end
  end

  test "options that are no keyword list are refused" do
    for kind <- @kinds,
        opts <- [7, nil, %{}, [1], [{"timeout", 1}]],
        do: assert({:error, %Error{kind: :invalid}} = Settings.validate(kind, opts))
  end

  test "every kind has its options documented" do
    for kind <- @kinds, do: assert(Settings.docs(kind) =~ "`:rpc`")
  end
end
