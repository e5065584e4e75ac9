defmodule Vllm.Core.Instance.LocatorTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Instance.Locator

  test "names processes after the instance and their part" do
    assert Locator.process_name(My.Vllm, "Connection") == My.Vllm.Connection
    assert Locator.server({My.Vllm, node()}, "Worker") == {:ok, {My.Vllm.Worker, node()}}
  end

  test "an instance that was started before this node had a name is on this node" do
    assert Locator.server({My.Vllm, :nonode@nohost}, "Worker") == {:ok, {My.Vllm.Worker, node()}}
  end

  test "an instance is its name, or name and node" do
    assert Locator.locate(My.Vllm) == {:ok, {My.Vllm, node()}}
    assert Locator.locate({My.Vllm, :a@b}) == {:ok, {My.Vllm, :a@b}}
    long = String.to_atom(String.duplicate("a", 255))

    for wrong <- [nil, true, "a", 5, {1, 2}, {nil, :a@b}, {My.Vllm, "a"}, {long, node()}, long] do
      assert {:error, %Error{kind: :invalid}} = Locator.locate(wrong)
    end
  end

  test "the last line of the worker's log is in the error, and the others in its details" do
    reason = Error.new(:worker_down, "it ended; more", details: %{"log" => ["one", "two", " "]})
    error = Locator.down({My.Vllm, node()}, {:shutdown, reason})
    assert error.message == "the worker of My.Vllm has ended: it ended; its last line was: two"
    assert error.details == %{"log" => ["one", "two", " "]}
  end

  test "the exit of a call to a process is read as a monitor reports it" do
    call = {GenServer, :call, [:server, :request, 5_000]}
    assert Locator.ended({:noproc, call}) == :noproc
    assert Locator.ended({{:nodedown, :a@b}, call}) == :noconnection
    assert Locator.ended({{:shutdown, :why}, call}) == {:shutdown, :why}
    assert Locator.ended(:killed) == :killed
  end

  test "the error for a node that is not connected names the node" do
    error = Locator.down({My.Vllm, :other@host}, :noconnection)
    assert %Error{kind: :worker_down, message: message} = error
    assert message == "the node of My.Vllm on other@host is not connected"
  end

  test "the error for an instance that is not running says how to start it" do
    message = Locator.down({My.Vllm, node()}, :noproc).message
    assert message =~ "My.Vllm is not running"
    assert message =~ "{Vllm, name: My.Vllm} into a supervision tree"
  end

  test "the error for a worker that has ended has the first line of the reason, and the reason as its cause" do
    reason = Error.new(:worker_down, "the worker ended; its last lines were:\n\n    secret")
    error = Locator.down({My.Vllm, node()}, {:shutdown, reason})
    assert error.message == "the worker of My.Vllm has ended: the worker ended"
    assert error.cause == reason
  end
end
