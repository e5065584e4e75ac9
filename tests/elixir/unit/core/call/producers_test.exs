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

  test "a report says how the producer ended, and shows nothing of its reason" do
    for {reason, text} <- [
          {:killed, "killed"},
          {{:shutdown, :closed}, "{:shutdown, :closed}"},
          {{:badmatch, "a secret prompt"}, "its exit reason was a tuple of 2 elements"},
          {{:shutdown, "a secret prompt"}, "its exit reason was a tuple of 2 elements"}
        ] do
      {_producer, producers} = started(7)
      [monitor] = Map.keys(producers.monitors)
      {:ok, [input], _removed} = Producers.down(producers, monitor, reason)
      assert %Input{step: {:failure, %Failure{kind: :cancelled, message: message}}} = input
      assert message == "the process that enumerates the prompt ended: " <> text
    end
  end

  test "only the producer of a call is asked for its element, and told to stop" do
    here = self()
    producers = Producers.start(%Producers{}, 7, here)
    assert Producers.want(producers, 7) == :ok
    assert_received {_tag, {:wanted, ^here, 7}}
    assert {:gone, _failure} = Producers.want(producers, 8)
    assert Producers.stop(producers, [8]) == :ok
    refute_received {_tag, :stop}
    assert Producers.stop(producers, [8, 7]) == :ok
    assert_received {_tag, :stop}
  end

  test "the end of another process is unknown" do
    assert Producers.down(%Producers{}, make_ref(), :normal) == :unknown
  end
end
