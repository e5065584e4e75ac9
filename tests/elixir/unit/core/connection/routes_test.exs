defmodule Vllm.Core.Connection.RoutesTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.Routes

  setup do
    caller = :erlang.monitor(:process, self(), alias: :explicit_unalias)
    %{caller: caller, routes: Routes.start(%Routes{}, 1, caller, self())}
  end

  test "a stream that was accepted too late for its caller can be cancelled by its alias",
       %{caller: caller, routes: routes} do
    {:ok, routes} = Routes.reply(routes, 1, {:accepted, nil})
    assert {[1], [], routes} = Routes.cancel(routes, caller)
    assert routes == %Routes{}
  end

  test "a stream with a consumer is no longer found by its caller",
       %{caller: caller, routes: routes} do
    {:ok, routes} = Routes.reply(routes, 1, {:accepted, nil})
    {:ok, [], routes} = Routes.attach(routes, 1, make_ref(), [self()])
    assert {[], [], ^routes} = Routes.cancel(routes, caller)
    assert {[1], [], routes} = Routes.cancel(routes, 1)
    assert routes == %Routes{}
  end

  test "a call that is over leaves no entry", %{routes: routes} do
    assert {:ok, routes} = Routes.reply(routes, 1, {:value, ""})
    assert routes == %Routes{}
  end
end
