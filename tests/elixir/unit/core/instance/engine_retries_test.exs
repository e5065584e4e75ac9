defmodule Vllm.Core.Instance.EngineRetriesTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Instance.EngineRetries

  defp pauses(retries, failure, times) do
    {pauses, _retries} =
      Enum.map_reduce(1..times, retries, fn _, retries -> failure.(retries, :llama) end)

    pauses
  end

  test "an engine that does not start is tried again after pauses that double up to a minute" do
    assert pauses(%EngineRetries{}, &EngineRetries.not_started/2, 8) ==
             [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
  end

  test "an engine that dies is rebuilt at once the first time, then after pauses" do
    retries = EngineRetries.ready(%EngineRetries{}, :llama)
    assert pauses(retries, &EngineRetries.died/2, 4) == [0, 1_000, 2_000, 4_000]
  end

  test "failures are forgotten when the engine has run for a minute" do
    retries = EngineRetries.ready(%EngineRetries{}, :llama)
    {0, retries} = EngineRetries.died(retries, :llama)
    long_ago = System.monotonic_time(:millisecond) - 60_000
    assert {0, _retries} = EngineRetries.died(%{retries | ready: %{llama: long_ago}}, :llama)
  end

  test "engines are counted apart" do
    {1_000, retries} = EngineRetries.not_started(%EngineRetries{}, :llama)
    assert {1_000, _retries} = EngineRetries.not_started(retries, :qwen)
  end
end
