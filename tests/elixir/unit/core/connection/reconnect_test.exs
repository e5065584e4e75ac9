defmodule Vllm.Core.Connection.ReconnectTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.Reconnect
  alias Vllm.Error

  test "pauses double up to five seconds, minus a random part of up to one half" do
    for {tries, whole} <- [{0, 200}, {1, 400}, {2, 800}, {4, 3200}, {5, 5000}, {10_000, 5000}] do
      pauses = for _ <- 1..200, do: Reconnect.pause(tries)
      assert Enum.all?(pauses, &(&1 in div(whole, 2)..whole))
      assert length(Enum.uniq(pauses)) > 10
    end
  end

  test "of several addresses the error is the one that waiting does not change" do
    down = Error.new(:worker_down, "nobody listens")
    other = Error.new(:worker_down, "no such host")
    wrong = Error.new(:unauthenticated, "the token is wrong")
    assert Reconnect.joined([down]) == down
    assert Reconnect.joined([wrong]) == wrong

    assert Reconnect.joined([down, other]) ==
             %{down | message: "nobody listens; and no such host"}

    for errors <- [[down, wrong], [wrong, down]] do
      joined = Reconnect.joined(errors)
      assert joined == %{wrong | message: "the token is wrong; and nobody listens"}
    end

    # What all say is said once.
    assert Reconnect.joined([down, down]) == down
  end

  test "addresses are shown as they were given" do
    assert Reconnect.shown(["unix:/a"]) == "unix:/a"
    assert Reconnect.shown(["unix:/a", "tcp:h:1"]) == "unix:/a or tcp:h:1"
  end

  describe "without a session" do
    for {kind, arrives} <- [
          worker_down: :worker_down,
          protocol: :worker_down,
          unauthenticated: :unauthenticated
        ] do
      test "after #{inspect(kind)}, calls are refused at once with the reason, as #{arrives}" do
        cause = Error.new(:python, "deeper")
        error = Error.new(unquote(kind), "why", cause: cause)
        %Error{} = refused = ask(error)
        assert refused.kind == unquote(arrives)
        assert refused.cause == cause

        assert refused.message ==
                 ":refusing has no session with the worker at unix:/a and keeps trying: why"
      end
    end

    test "of which nothing is known, an instance is not running" do
      assert %Error{kind: :worker_down, message: message} = ask(nil)
      assert message =~ ":refusing is not running"
    end

    test "the wait ends by itself" do
      assert Reconnect.wait({:refusing, node()}, ["unix:/a"], nil, 0) == :ok
    end
  end

  # What every question to a connection without a session is answered with.
  defp ask(error) do
    waiting =
      Task.async(fn -> Reconnect.wait({:refusing, node()}, ["unix:/a"], error, 600_000) end)

    reply_to = :erlang.monitor(:process, waiting.pid, alias: :explicit_unalias)
    send(waiting.pid, {:call, reply_to, self(), :request, 1, nil})
    assert_receive {^reply_to, {:error, refused}}
    assert GenServer.call(waiting.pid, :info) == {:error, refused}
    assert GenServer.call(waiting.pid, :something_else) == {:error, refused}
    # No call is in flight.
    assert GenServer.call(waiting.pid, :drain) == :ok
    Task.shutdown(waiting, :brutal_kill)
    refused
  end
end
