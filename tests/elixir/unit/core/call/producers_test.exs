defmodule Vllm.Core.Call.ProducersTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Call.Producers
  alias Vllm.Proto.{Failure, Input}

  defp started(id) do
    {:ok, producer} = Task.start_link(fn -> Process.sleep(:infinity) end)
    {producer, Producers.start(%Producers{}, id, producer)}
  end

  test "an element of a call without a producer is a failure for the worker" do
    assert {:gone, %Failure{kind: :cancelled}} = Producers.want(%Producers{}, 7)
    {_producer, producers} = started(7)
    assert Producers.want(producers, 7) == :ok
  end

  test "the end of a producer removes it, and is reported unless it was normal" do
    for {reason, reported} <- [normal: 0, killed: 1] do
      {_producer, producers} = started(7)
      [monitor] = Map.keys(producers.monitors)
      assert {:ok, inputs, removed} = Producers.down(producers, monitor, reason)
      assert length(inputs) == reported
      for input <- inputs, do: assert(%Input{call: 7, step: {:failure, _}} = input)
      assert removed == %Producers{}
    end
  end

  test "the end of another process is unknown" do
    assert Producers.down(%Producers{}, make_ref(), :normal) == :unknown
  end
end
