defmodule Vllm.Core.Connection.OutboxTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.Outbox
  alias Vllm.Proto.ClientFrame

  test "take/1 returns the entries in the order in which they were put, and empties the outbox" do
    outbox =
      %Outbox{}
      |> Outbox.put(:cancels, [1, 2])
      |> Outbox.put(:releases, ["a"])
      |> Outbox.put(:cancels, [3])

    assert Outbox.releases?(outbox)

    assert {%ClientFrame{cancels: [1, 2, 3], releases: ["a"], calls: []}, empty} =
             Outbox.take(outbox)

    assert Outbox.empty?(empty)
    refute Outbox.releases?(empty)
  end

  test "an empty list leaves it empty" do
    assert Outbox.empty?(Outbox.put(%Outbox{}, :cancels, []))
  end

  test "it is full after 128 entries or 64 KiB" do
    put = fn outbox, bytes -> Outbox.put(outbox, :cancels, [1], bytes) end
    many = Enum.reduce(1..127, %Outbox{}, fn _, outbox -> put.(outbox, 0) end)
    refute Outbox.full?(many)
    assert Outbox.full?(put.(many, 0))
    refute Outbox.full?(put.(%Outbox{}, 64 * 1024 - 1))
    assert Outbox.full?(put.(%Outbox{}, 64 * 1024))
  end
end
