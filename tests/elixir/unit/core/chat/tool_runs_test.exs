defmodule Vllm.Core.Chat.ToolRunsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Chat.ToolRuns
  alias Vllm.{Tool, ToolCall}

  defp call(name, arguments \\ %{}, id \\ "c"),
    do: %ToolCall{id: id, name: name, arguments: arguments, arguments_json: ""}

  defp content(run, timeout \\ :infinity) do
    [%{role: "tool", tool_call_id: "c", content: content}] =
      ToolRuns.run([call("f")], [%Tool{name: "f", run: run}], timeout)

    content
  end

  test "what a function returns is the content" do
    for value <- ["sunny", %{weather: "sunny"}, [1, 2], nil, 7],
        do: assert(content(fn %{} -> value end) == value)

    assert content(fn %{} -> {:ok, "sunny"} end) == "sunny"
  end

  test "each call gets its own arguments, and the answers come in the order of the calls" do
    parent = self()

    run = fn %{"n" => n} ->
      send(parent, {:runs, n, self()})
      receive do: (:go -> n)
    end

    calls = for n <- 1..3, do: call("f", %{"n" => n}, "c#{n}")

    spawn_link(fn ->
      results = ToolRuns.run(calls, [%Tool{name: "f", run: run}], :infinity)
      send(parent, {:results, results})
    end)

    # All run at the same time, and end in another order.
    pids =
      for n <- 1..3,
          do:
            (
              assert_receive {:runs, ^n, pid}
              pid
            )

    for pid <- Enum.reverse(pids), do: send(pid, :go)
    assert_receive {:results, results}
    assert for(r <- results, do: {r.tool_call_id, r.content}) == [{"c1", 1}, {"c2", 2}, {"c3", 3}]
  end

  @tag capture_log: true
  test "failures are given to the model without the stack" do
    assert content(fn _ -> {:error, "no such city"} end) == %{error: "no such city"}
    assert content(fn _ -> {:error, :nope} end) == %{error: ":nope"}
    assert content(fn _ -> {:error, %ArgumentError{message: "wrong"}} end) == %{error: "wrong"}
    assert content(fn _ -> throw(:ball) end) == %{error: ":ball"}
    assert content(fn _ -> exit(:over) end) == %{error: ":over"}
    assert content(fn _ -> raise "boom" end) == %{error: "boom"}
  end

  test "a function that takes too long is ended, and nothing of it comes later" do
    assert content(fn _ -> Process.sleep(:infinity) end, 0) == %{error: "it took too long"}
    assert Process.info(self(), [:messages, :monitors]) == [messages: [], monitors: []]
  end

  test "a function ends with its caller" do
    parent = self()

    run = fn _ ->
      send(parent, {:runs, self()})
      Process.sleep(:infinity)
    end

    {caller, _monitor} =
      spawn_monitor(fn ->
        ToolRuns.run([call("f")], [%Tool{name: "f", run: run}], :infinity)
      end)

    assert_receive {:runs, pid}
    monitor = Process.monitor(pid)
    Process.exit(caller, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
  end

  test "a call of an unknown function, or without arguments, is answered with an error" do
    tools = [%Tool{name: "f", run: & &1}]
    assert [%{content: %{error: error}}] = ToolRuns.run([call("g")], tools, 1000)
    assert error == "there is no function g"
    assert [%{content: %{error: error}}] = ToolRuns.run([call("f", nil)], tools, 1000)
    assert error == "the arguments are no JSON object"
  end
end
