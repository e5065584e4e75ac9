defmodule Vllm.Core.Instance.LastFailureTest do
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Instance.{LastFailure, Locator}

  test "the first failure is kept until a worker serves", %{test: name} do
    killed =
      Error.new(:worker_down, "the worker ended with exit status 137 (signal 9); its log: x")

    closed = Error.new(:worker_down, "the worker closed the connection")
    instance = {name, node()}

    assert LastFailure.find(instance) == nil
    assert Locator.down(instance, :noproc).message =~ "was not started"

    LastFailure.put(name, killed)
    refute LastFailure.put_new(name, closed)
    assert LastFailure.find(instance) == killed
    assert LastFailure.find({name, :another@node}) == nil

    error = Locator.down(instance, :noproc)
    assert error.cause == killed
    assert error.message =~ ~r/has given up .* or was stopped: .* exit status 137 \(signal 9\)$/
    assert Locator.down(instance, :shutdown).message =~ ~r/ has ended: .* \(signal 9\)$/

    assert LastFailure.earlier(instance) == nil
    LastFailure.clear(name)
    assert LastFailure.find(instance) == nil
    assert LastFailure.earlier(instance) == killed
    error = Locator.down(instance, :noproc)
    assert error.message =~ ~r/^an earlier worker of .* has ended, and another serves: .* 9\)$/
    assert LastFailure.put_new(name, closed)
    LastFailure.clear(name)
  end
end
