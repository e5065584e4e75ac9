defmodule Vllm.Core.Chat.FunctionRunsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Chat.FunctionRuns

  @moduletag capture_log: true

  test "functions run at the same time, and their results come in order" do
    test = self()

    # Each waits for the other.
    meet = fn name, other ->
      fn ->
        send(test, {name, self()})

        receive do
          ^other -> name
        end
      end
    end

    runs = Task.async(fn -> FunctionRuns.run([meet.(:a, :b), meet.(:b, :a)], 60_000) end)
    assert_receive {:a, a}, 60_000
    assert_receive {:b, b}, 60_000
    send(a, :b)
    send(b, :a)
    assert Task.await(runs) == [{:ok, :a}, {:ok, :b}]
  end

  test "one that fails or hangs is told, and the others are not touched" do
    functions = [
      fn -> raise ArgumentError, "its own" end,
      fn -> throw(:ball) end,
      fn -> exit(:gone) end,
      fn -> 1 end,
      {:error, "no function"}
    ]

    assert [{:error, "its own"}, {:error, ":ball"}, {:error, ":gone"}, {:ok, 1}, last] =
             FunctionRuns.run(functions, 60_000)

    assert last == {:error, "no function"}
    assert FunctionRuns.run([fn -> Process.sleep(:infinity) end], 0) == [{:error, :timeout}]
  end
end
