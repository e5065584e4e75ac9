defmodule Vllm.Bridge.DemoTest do
  # The frame of the demo: engines that load at once, and what is left when the worker has stopped.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO
  import Vllm.BridgeCase

  alias Vllm.Core.Demo.{Leftovers, Setup}
  alias Vllm.{Error, Ref}

  @moduletag bridge: true, timeout: 120_000

  test "engines load at once and are returned by their names", %{test: name} do
    {:ok, _} = start(name)
    engines = [chat: [model: "fake"], embed: [model: "fake"]]

    output =
      capture_io(fn ->
        assert {:ok, %{chat: %Ref{}, embed: %Ref{}}} = Setup.load(name, engines)
      end)

    assert output =~ ~r/^  chat: +ready after \d+\.\d s$/m
    assert output =~ ~r/^  embed: +ready after \d+\.\d s$/m
  end

  test "an engine that does not load gives its error", %{test: name} do
    {:ok, _} = start(name)
    engines = [chat: [model: "fake"], embed: [model: "fake", seed: "x"]]

    capture_io(fn ->
      assert {:error, %Error{kind: :invalid}} = Setup.load(name, engines)
    end)
  end

  test "what a worker has is known while it runs, and gone when it has stopped", %{test: name} do
    {:ok, _} = start(name)
    {:ok, %{"pid" => pid}} = Vllm.status(name)
    there = Leftovers.of(name)
    assert pid in there.processes
    assert File.dir?(there.folder)
    assert Leftovers.left(there) == there
    stop_supervised!(name)
    assert Leftovers.left(there) == %{processes: [], folder: nil}
  end

  test "the engines of the demo are those of the models that there are" do
    models = %{kind: :chat, chat: "/chat", embed: "/embed"}
    assert [chat: chat, embed: embed] = Setup.engines(models)
    assert chat[:enable_lora] and chat[:model] == "/chat"
    assert embed[:runner] == "pooling"
    assert [chat: scripted] = Setup.engines(%{models | kind: :scripted, embed: nil})
    assert scripted[:dtype] == "float32"
  end
end
