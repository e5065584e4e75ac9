defmodule Vllm.Core.Pool.RequestsTest do
  # What happens to a request that a member does not take. The members are rows of a table, and their
  # answers the test's.
  use ExUnit.Case, async: false

  alias Vllm.{Error, StandIns}
  alias Vllm.Core.Pool.{Choice, Lookup, Requests}

  @members ~w(a b c d e)a
  @options %{affinity: nil, timeout: nil, begun?: &__MODULE__.never/0}

  setup %{test: pool} do
    :ets.new(Lookup.process_name(pool), [:named_table])
    put(pool, @members)
    %{pool: pool}
  end

  def never, do: false

  defp put(pool, names) do
    members =
      for name <- names, do: %Choice{instance: {name, node()}, ref: name, load: Choice.new_load()}

    :ets.insert(Lookup.process_name(pool), {:chat, members})
  end

  # Each member answers with its error; those that have none answer well. Returns whom was asked.
  defp run(pool, errors, options \\ %{}) do
    test = self()

    result =
      Requests.run({pool, :chat}, "generate", Map.merge(@options, options), fn ref, left ->
        send(test, {:asked, ref, left})
        if kind = errors[ref], do: {:error, Error.new(kind, "of #{ref}")}, else: {:ok, ref}
      end)

    {result, asked()}
  end

  defp asked do
    receive do
      {:asked, ref, _left} -> [ref | asked()]
    after
      0 -> []
    end
  end

  defp all(kind), do: Map.new(@members, &{&1, kind})

  test "one that is accepted is asked for once", %{pool: pool} do
    assert {{:ok, ref}, [ref]} = run(pool, %{})
  end

  for kind <- [:draining, :stale_ref, :overloaded, :unreachable] do
    test "#{kind}: each other member is asked, and the last error is the answer", %{pool: pool} do
      assert {{:ok, :e}, asked} = run(pool, Map.delete(all(unquote(kind)), :e))
      assert asked == Enum.uniq(asked)

      assert {{:error, %Error{kind: unquote(kind)} = error}, asked} =
               run(pool, all(unquote(kind)))

      assert Enum.sort(asked) == @members
      assert error.message == "of #{List.last(asked)}"
    end
  end

  for kind <- [:worker_down, :engine_dead] do
    test "#{kind}: three members are asked at most", %{pool: pool} do
      assert {{:error, %Error{kind: unquote(kind)}}, [_, _, _]} = run(pool, all(unquote(kind)))
    end
  end

  test "an enumerable that was begun is given to no other", %{pool: pool} do
    for kind <- [:draining, :overloaded, :worker_down] do
      assert {{:error, %Error{kind: ^kind}}, [_]} =
               run(pool, all(kind), %{begun?: fn -> true end})
    end
  end

  for kind <- [:invalid, :timeout, :engine_error, :cancelled, :python, :forbidden] do
    test "#{kind} is the answer", %{pool: pool} do
      assert {{:error, %Error{kind: unquote(kind)}}, [_]} = run(pool, all(unquote(kind)))
    end
  end

  test "the time is that of all attempts together", %{pool: pool} do
    Requests.run({pool, :chat}, "chat", %{@options | timeout: 60_000}, fn ref, left ->
      send(self(), {:asked, ref, left})
      {:error, Error.new(:draining, "no")}
    end)

    lefts = for _ <- @members, do: receive(do: ({:asked, _ref, left} -> left))
    assert Enum.all?(lefts, &(&1 in 0..60_000))
    assert lefts == Enum.sort(lefts, :desc)
  end

  test "each attempt after the first is an event", %{pool: pool} do
    StandIns.telemetry()
    run(pool, all(:draining))
    moved = StandIns.events([:vllm, :pool, :moved])

    assert for({_event, %{attempt: attempt}, _metadata, _pid} <- moved, do: attempt) == [
             2,
             3,
             4,
             5
           ]

    for {_event, _measured, metadata, _pid} <- moved do
      assert %{pool: ^pool, engine: :chat, method: "generate"} = metadata
      assert metadata.from != metadata.to
      assert metadata.error.kind == :draining
    end
  end

  test "a method that is for one engine is refused", %{pool: pool} do
    for method <- ~w(sleep add_lora kv_events shutdown get_tokenizer abort) do
      assert {:error, %Error{kind: :invalid} = error} =
               Requests.run({pool, :chat}, method, @options, fn _ref, _left -> flunk("asked") end)

      assert error.message =~ method
    end
  end

  test "a name that is none is refused", %{pool: pool} do
    for name <- [{pool, "chat"}, {"text", :chat}, {pool, 1}, {{1, 2}, :chat}] do
      assert {:error, %Error{kind: :invalid}} =
               Requests.run(name, "chat", @options, fn _ref, _left -> flunk("asked") end)
    end
  end
end
