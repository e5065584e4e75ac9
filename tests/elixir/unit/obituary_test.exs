defmodule Vllm.ObituaryTest do
  use ExUnit.Case, async: true

  alias Vllm.{Error, Instance, Obituary}

  test "what came first is the cause of what follows, until a worker serves", %{test: name} do
    killed =
      Error.new(:worker_down, "the worker ended with exit status 137 (signal 9); its log: x")

    closed = Error.new(:worker_down, "the worker closed the connection")
    instance = {name, node()}

    assert Obituary.find(instance) == nil
    assert Instance.down(instance, :noproc).message =~ "was not started"

    Obituary.put(name, killed)
    refute Obituary.put_new(name, closed)
    assert Obituary.find(instance) == killed
    assert Obituary.find({name, :another@node}) == nil

    error = Instance.down(instance, :noproc)
    assert error.cause == killed
    assert error.message =~ ~r/has given up .* or was stopped: .* exit status 137 \(signal 9\)$/
    assert Instance.down(instance, :shutdown).message =~ ~r/ is gone: .* \(signal 9\)$/

    Obituary.clear(name)
    assert Obituary.find(instance) == nil
    assert Obituary.put_new(name, closed)
    Obituary.clear(name)
  end
end
