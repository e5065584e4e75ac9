defmodule Vllm.Core.Connection.RoutesTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.Routes

  setup do
    caller = :erlang.alias()
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

  describe "a reply" do
    test "of a call that waits is told to its caller, and ends the call", context do
      %{caller: caller, routes: routes} = context

      for last <- [{:value, "v"}, {:failure, :f}, {:end, nil}] do
        assert {:ok, %Routes{calls: calls, ids: ids}} = Routes.reply(routes, 1, last)
        assert {calls, ids} == {%{}, %{}}
        assert_received {^caller, ^last}
      end
    end

    test "that says how far a call has come is told until it has returned", context do
      %{caller: caller, routes: routes} = context
      assert {:ok, ^routes} = Routes.reply(routes, 1, {:progress, 5})
      assert_received {^caller, {:progress, 5}}
      {:ok, open} = Routes.reply(routes, 1, {:accepted, nil})
      assert_received {^caller, {:stream, {_, 1}}}
      assert {:ok, ^open} = Routes.reply(open, 1, {:progress, 6})
      consumer = :erlang.alias()
      {:ok, [], flowing} = Routes.attach(open, 1, consumer, [self()])
      assert {:ok, ^flowing} = Routes.reply(flowing, 1, {:progress, 7})
      refute_received {_alias, {:progress, _}}
    end

    test "of a call that was cancelled is unknown", %{routes: routes} do
      {[1], [], routes} = Routes.cancel(routes, 1)
      assert Routes.reply(routes, 1, {:value, ""}) == :unknown
      assert Routes.item(routes, 1, "x") == :ok
      assert Routes.hand(routes, 1, {:value, ""}, {["r"], false}) == :not_wanted
      assert Routes.attach(routes, 1, make_ref(), [self()]) == :refused
      assert Routes.cancel(routes, 1) == {[], [], routes}
    end
  end

  describe "the items of a stream" do
    setup %{caller: caller, routes: routes} do
      {:ok, open} = Routes.reply(routes, 1, {:accepted, nil})
      here = self()
      assert_received {^caller, {:stream, {^here, 1}}}
      %{open: open, consumer: :erlang.alias()}
    end

    test "are kept in their order until a consumer is there, and sent to it then", context do
      %{open: open, consumer: consumer} = context
      {:ok, routes} = Routes.item(open, 1, "a")
      {:kept, routes} = Routes.hand(routes, 1, {:item, "b"}, {["r"], false})
      {:ok, routes} = Routes.reply(routes, 1, {:item, "c"})
      assert {:ok, kept, routes} = Routes.attach(routes, 1, consumer, [self()])

      assert kept == [{{:item, "a"}, nil}, {{:item, "b"}, {["r"], false}}, {{:item, "c"}, nil}]
      assert Routes.item(routes, 1, "d") == :ok
      assert_received {^consumer, {:item, "d"}}
      assert {:ok, ^routes} = Routes.reply(routes, 1, {:item, "e"})
      assert_received {^consumer, {:item, "e"}}
      assert Routes.size(routes) == 1
      assert {:ok, routes} = Routes.reply(routes, 1, {:end, nil})
      assert_received {^consumer, {:end, nil}}
      assert routes == %Routes{}
    end

    test "are followed by the end that came before the consumer", context do
      %{open: open, consumer: consumer} = context
      {:ok, routes} = Routes.item(open, 1, "a")
      {:ok, routes} = Routes.reply(routes, 1, {:failure, :why})
      assert Routes.size(routes) == 1
      assert {:ok, kept, routes} = Routes.attach(routes, 1, consumer, [self()])
      assert kept == [{{:item, "a"}, nil}, {{:failure, :why}, nil}]
      assert routes == %Routes{}
    end

    test "with references go to the consumer, and a second consumer is refused", context do
      %{open: open, consumer: consumer} = context
      here = self()
      {:ok, [], routes} = Routes.attach(open, 1, consumer, [here])

      assert {:hand, {^consumer, ^here}, ^routes} =
               Routes.hand(routes, 1, {:item, "a"}, {["r"], false})

      assert Routes.attach(routes, 1, make_ref(), [here]) == :refused
      # A value is none of a stream's replies.
      assert Routes.hand(routes, 1, {:value, "a"}, {["r"], false}) == :not_wanted
    end

    test "that nobody takes are given back when the stream is cancelled", %{open: open} do
      {:kept, routes} = Routes.hand(open, 1, {:item, "a"}, {["r"], false})
      {:ok, routes} = Routes.item(routes, 1, "b")
      assert {[1], [{["r"], false}], empty} = Routes.cancel(routes, 1)
      assert empty == %Routes{}
      # One that has ended is not to be cancelled in the worker.
      {:ok, ended} = Routes.reply(routes, 1, {:end, nil})
      assert {[], [{["r"], false}], ^empty} = Routes.cancel(ended, 1)
    end

    test "end with any of the processes that are watched", %{open: open, consumer: consumer} do
      receiver = spawn(fn -> receive do: (:end -> :ok) end)
      {:ok, [], routes} = Routes.attach(open, 1, consumer, [self(), receiver])
      send(receiver, :end)
      assert_receive {:DOWN, monitor, :process, ^receiver, :normal}
      assert {[1], [], empty} = Routes.cancel(routes, monitor)
      assert empty == %Routes{}
      assert_received {^consumer, {:error, %Vllm.Error{kind: :cancelled}}}
    end
  end

  test "a value with references goes to the caller and ends the call", context do
    %{caller: caller, routes: routes} = context
    here = self()

    assert {:hand, {^caller, ^here}, empty} = Routes.hand(routes, 1, {:value, "v"}, {["r"], true})

    assert empty == %Routes{}
    # An item is no reply to a call that waits.
    assert Routes.hand(routes, 1, {:item, "v"}, {["r"], true}) == :not_wanted
  end

  test "a call is cancelled by its id, its alias and the end of its caller, and told", context do
    %{caller: caller, routes: routes} = context
    monitors = for {reference, 1} <- routes.ids, reference != caller, do: reference
    assert [_monitor] = monitors

    for by <- [1, caller | monitors] do
      assert {[1], [], empty} = Routes.cancel(routes, by)
      assert empty == %Routes{}
      assert_received {^caller, {:error, %Vllm.Error{kind: :cancelled}}}
    end

    assert Routes.cancel(routes, make_ref()) == {[], [], routes}
  end

  test "the end of the session is told to those who wait, and to no other", context do
    %{caller: caller, routes: routes} = context
    second = :erlang.alias()
    routes = Routes.start(routes, 2, second, self())
    {:ok, routes} = Routes.reply(routes, 2, {:accepted, nil})
    assert_received {^second, {:stream, _}}
    assert Routes.size(routes) == 2
    assert Routes.fail_all(routes, :gone) == :ok
    assert_received {^caller, {:error, :gone}}
    refute_received {^second, _}
  end

  test "a call that is over leaves no entry", %{routes: routes} do
    assert {:ok, routes} = Routes.reply(routes, 1, {:value, ""})
    assert routes == %Routes{}
  end
end
