defmodule Vllm.Core.Connection.ResumptionTest do
  # What the client says of a session that it has lost; with a worker, see bridge/resumption_test.exs.
  use Vllm.HandoverCase, async: true

  alias Vllm.Core.Connection.{References, Resumption, State}
  alias Vllm.Proto.{ClientHello, ServerHello}

  @key :binary.copy(<<7>>, 32)

  defp hello(fields \\ []),
    do: struct!(%ServerHello{incarnation: "i", resume_key: @key}, fields)

  defp state(table, references, hello \\ hello()),
    do: %State{instance: {:it, node()}, hello: hello, references: references, resumption: table}

  defp owned(owner) do
    reply_to = make_ref()
    {number, references} = References.hand(References.new(0), reply_to, owner, {["a"], false})
    References.received(references, reply_to, number, owner, false)
  end

  describe "the hello" do
    test "asks for no time where the worker is the instance's own" do
      assert Resumption.hello(nil, 30_000) == %ClientHello{}
      assert {references, []} = Resumption.opened(nil, hello(), 30_000)
      assert references == References.new(30_000)
      assert Resumption.lost(state(nil, references)) == :ok
    end

    test "has the key of the last session" do
      table = Resumption.new()
      assert Resumption.hello(table, 5) == %ClientHello{disconnect_grace_ms: 5}
      assert {_references, []} = Resumption.opened(table, hello(), 5)
      assert Resumption.hello(table, 5) == %ClientHello{disconnect_grace_ms: 5, resume_key: @key}
    end

    test "has none after a session with a worker that gives none" do
      table = Resumption.new()
      Resumption.opened(table, hello(), 5)
      Resumption.opened(table, hello(resume_key: ""), 5)
      assert Resumption.hello(table, 5).resume_key == ""
      Resumption.lost(state(table, owned(self()), hello(resume_key: "")))
      assert {references, ["a"]} = Resumption.opened(table, hello(resumed: true, held: ["a"]), 5)
      assert References.sizes(references) == %{handed: 0, owned: 0}
    end
  end

  describe "the record" do
    test "is taken over once, by a session that was resumed" do
      table = Resumption.new()
      Resumption.opened(table, hello(), 5)
      Resumption.lost(state(table, owned(self())))
      resumed = hello(resumed: true, held: ["a"])
      assert {references, []} = Resumption.opened(table, resumed, 5)
      assert References.sizes(references) == %{handed: 0, owned: 1}
      assert {references, ["a"]} = Resumption.opened(table, resumed, 5)
      assert References.sizes(references) == %{handed: 0, owned: 0}
    end

    test "is worth nothing in a session that was not" do
      table = Resumption.new()
      Resumption.opened(table, hello(), 5)
      Resumption.lost(state(table, owned(self())))
      assert {references, []} = Resumption.opened(table, hello(), 5)
      assert references == References.new(5)
    end

    test "has what the process had not read yet" do
      table = Resumption.new()
      other = spawn_link(fn -> receive do: (:end -> :ok) end)

      {number, references} =
        References.hand(owned(self()), alias_ref = make_ref(), self(), {["b"], false})

      {_number, references} =
        References.hand(references, refused = make_ref(), self(), {["c"], false})

      {_number, references} =
        References.hand(references, cancelled = make_ref(), self(), {["d"], false})

      for message <- [
            {:received, alias_ref, number, other, false},
            {:share, "i", "a", other},
            {:share, "another incarnation", "b", self()},
            {:release, "i", "a", self(), false},
            {:release, "i", "unknown", self(), false},
            {:refused, refused},
            {:cancel, 1, cancelled},
            {:release, :bogus},
            {:received, 1, 2, 3, 4},
            "text"
          ],
          do: send(self(), message)

      assert Resumption.lost(state(table, references)) == :ok
      resumed = hello(resumed: true, held: ["a", "b", "c", "d"])
      assert {references, unknown} = Resumption.opened(table, resumed, 5)
      assert Enum.sort(unknown) == ["c", "d"]
      assert References.sizes(references) == %{handed: 0, owned: 2}
      assert Map.keys(references.owners) == [other]
      assert {["b"], _references} = References.release(references, "b", other)
      send(other, :end)
    end
  end

  describe "an instance" do
    @tag fake: [hello: FakeWorker.hello(resume_key: @key)]
    test "says that it leaves when it is stopped", %{name: name} do
      stop_supervised!(name)
      assert_receive {:client, %ClientFrame{leaving: true}}
    end

    @tag fake: []
    test "says nothing to a worker that keeps nothing", %{name: name} do
      stop_supervised!(name)
      assert_receive :client_closed
      refute_received {:client, %ClientFrame{leaving: true}}
    end

    @tag fake: [hello: FakeWorker.hello(resume_key: @key, resumed: true, held: ["x", "y", "x"])]
    test "releases what it does not know of" do
      assert Enum.sort(released(3)) == ["x", "x", "y"]
    end
  end
end
