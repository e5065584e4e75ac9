defmodule Vllm.Bridge.StatusTest do
  # Vllm.status/0 and Vllm.top/1, which show every instance of the node.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO
  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Status}
  alias Vllm.Core.Instance.Running

  @moduletag bridge: true, timeout: 120_000

  defp shown(name) do
    assert %Status{instances: instances} = Vllm.status()
    Enum.find(instances, &(&1.name == name))
  end

  test "an instance has its worker, and its engines in the order of their declaration", %{
    test: name
  } do
    {:ok, _} = start(name, engines: [second: [model: "fake"], bad: [model: "fake", seed: "x"]])
    {:ok, declared} = Vllm.engine(name, :second)
    {:error, error} = Vllm.engine(name, :bad)
    other = engine(name)

    assert %{error: nil, worker: worker, engines: [first, failed, last]} = shown(name)
    {:ok, %{"pid" => pid}} = Vllm.status(name)
    assert %{pid: ^pid, calls: 0} = worker
    assert %{name: :second, ref: ^declared, state: :ready, running: 0} = first
    assert %{name: :bad, ref: nil, state: {:failed, ^error}, running: nil} = failed
    assert %{name: nil, ref: ^other, state: :ready} = last
  end

  test "a request in flight is counted, and an engine that has died is dead", %{test: name} do
    {:ok, _} = start(name)
    engine = engine(name)
    {:ok, stream} = AsyncLLM.generate(engine, "x", [max_tokens: 100_000], "r1")
    assert %{worker: %{calls: 1}, engines: [%{running: 1}]} = shown(name)
    Vllm.Stream.cancel(stream)
    wait_until(fn -> match?(%{engines: [%{running: 0}]}, shown(name)) end)
    control(engine, "die")
    wait_until(fn -> match?(%{engines: [%{state: :dead}]}, shown(name)) end)
  end

  test "an instance that has stopped is no longer listed", %{test: name} do
    {:ok, _} = start(name)
    assert shown(name)
    stop_supervised!(name)
    refute shown(name)
  end

  test "an instance that is down has its error", %{test: name} do
    Process.register(self(), name)
    Running.put(name)
    assert %{error: %Vllm.Error{kind: :worker_down}, worker: nil, engines: []} = shown(name)
    assert inspect(Vllm.status()) =~ "#{inspect(name)}: "
  end

  test "top shows the table until the time is over", %{test: name} do
    {:ok, _} = start(name)
    output = capture_io(fn -> assert Vllm.top(timeout: 50, interval: 10) == :ok end)
    tables = String.split(output, "#{inspect(name)}: pid ")
    assert length(tables) > 2
  end

  test "top ends with a line or its input", %{test: name} do
    {:ok, _} = start(name)

    for input <- ["\n", ""] do
      output = capture_io(input, fn -> assert Vllm.top(interval: 3_600_000) == :ok end)
      assert output =~ "#{inspect(name)}: pid "
      assert output =~ "press Enter to stop"
    end
  end

  test "top refuses options that it does not have" do
    assert {:error, %Vllm.Error{kind: :invalid}} = Vllm.top(seconds: 1)
    assert {:error, %Vllm.Error{kind: :invalid}} = Vllm.top(interval: 0)
  end
end
