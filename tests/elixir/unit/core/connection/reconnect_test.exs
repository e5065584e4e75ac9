defmodule Vllm.Core.Connection.ReconnectTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.Reconnect

  test "pauses double up to five seconds, minus a random part of up to one half" do
    for {tries, whole} <- [{0, 200}, {1, 400}, {2, 800}, {4, 3200}, {5, 5000}, {10_000, 5000}] do
      pauses = for _ <- 1..200, do: Reconnect.pause(tries)
      assert Enum.all?(pauses, &(&1 in div(whole, 2)..whole))
      assert length(Enum.uniq(pauses)) > 10
    end
  end
end
