defmodule Vllm.Core.Call.ConsumerTest do
  # References within the items of a stream: the consumer owns what it has received, and nothing
  # else of the stream is left.
  use Vllm.HandoverCase, async: true

  alias Vllm.Proto.CallReply

  describe "a consumer" do
    for window <- [1, 2, 3, 4, 7, 64] do
      test "gives credit for half of a window of #{window} at a time", context do
        half = max(div(unquote(window), 2), 1)
        stream = open_stream(context, 1, window: unquote(window))
        for n <- 1..(3 * half), do: FakeWorker.reply(context.fake, 1, item(n))
        FakeWorker.reply(context.fake, 1, ended())
        assert Enum.to_list(stream) == Enum.to_list(1..(3 * half))
        assert credits(3 * half) == [half, half, half]
      end
    end

    test "takes nothing but its stream's messages, and leaves none of them", context do
      stream = open_stream(context, 1)
      send(self(), {make_ref(), {:item, "another's"}})
      for n <- 1..3, do: FakeWorker.reply(context.fake, 1, item(n))
      barrier(context, 2)
      assert Enum.take(stream, 1) == [1]
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      assert_received {_another, {:item, "another's"}}
      refute_received {_alias, {:item, _item}}
      refute_received {:DOWN, _alias, :process, _pid, _reason}
    end
  end

  test "a consumer waits for its item as long as the deadline has not come", context do
    stream = open_stream(context, 1, timeout: 600_000)
    consumer = Task.async(fn -> Enum.take(stream, 1) end)
    state = fn -> :sys.get_state(connection(context.instance)).routes.calls end
    wait_until(fn -> match?(%{1 => %{phase: :flowing}}, state.()) or state.() == %{} end)
    FakeWorker.reply(context.fake, 1, item("late"))
    assert Task.await(consumer, :infinity) == ["late"]
  end

  test "a stream that is over is watched no more, however it ended", context do
    {:monitors, before} = Process.info(self(), :monitors)
    ends = [{1, ended()}, {2, {:failure, %Failure{kind: :python, message: "no"}}}]

    for {id, last} <- ends do
      stream = open_stream(context, id)
      for reply <- [item(1), last], do: FakeWorker.reply(context.fake, id, reply)
      send(self(), {:collected, Vllm.Stream.collect(stream)})
    end

    assert_received {:collected, {:ok, 1}}
    assert_received {:collected, {:error, %Error{message: "no"}}}
    {:monitors, later} = Process.info(self(), :monitors)
    assert later -- before == []
  end

  # The sizes of the credits, which may come in one frame or in several.
  defp credits(left) when left <= 0, do: []

  defp credits(left) do
    assert_receive {:client, %ClientFrame{credits: [_ | _] = credits}}
    sizes = Enum.map(credits, & &1.items)
    sizes ++ credits(left - Enum.sum(sizes))
  end

  describe "a reference within an item" do
    test "belongs to the consumer", context do
      FakeWorker.answer(context.fake, 1, [accepted(), ref_item("t1"), ended()])
      test = self()

      consumer =
        spawn(fn ->
          {:ok, stream} = Vllm.call(context.ref, "generate")
          send(test, {:items, Enum.to_list(stream)})
          receive do: (:end -> :ok)
        end)

      assert_receive {:items, [%Ref{id: "t1"}]}
      send(consumer, :end)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "that was kept for a consumer is released with its stream", context do
      stream = open_stream(context, 1)
      FakeWorker.reply(context.fake, 1, ref_item("t1"))
      FakeWorker.reply(context.fake, 1, ref_item(["t2", "t3"]))
      barrier(context, 2)
      Vllm.Stream.cancel(stream)
      assert_receive {:client, %ClientFrame{cancels: [1], releases: ["t2", "t3", "t1"]}}
      assert_nothing_held(context)
    end

    test "that was kept for a consumer is released with the process that opened its stream",
         context do
      FakeWorker.answer(context.fake, 1, [accepted(), ref_item("t1"), ended()])
      owner = calling(context)
      assert_receive {:got, {:ok, %Vllm.Stream{}}}
      barrier(context, 2)
      kill(owner)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "of a stream that was cancelled is released", context do
      stream = open_stream(context, 1)
      Vllm.Stream.cancel(stream)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, ref_item("t1"))
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "that has arrived when the enumeration is halted is released", context do
      stream = open_stream(context, 1)
      for id <- ~w(t1 t2 t3), do: FakeWorker.reply(context.fake, 1, ref_item(id))
      FakeWorker.reply(context.fake, 1, ended())
      barrier(context, 2)
      assert [%Ref{id: "t1"} = ref] = Enum.take(stream, 1)
      assert_released(["t2", "t3"])
      assert held(context) == %{handed: 0, owned: 1}
      Vllm.release(ref)
      assert_released(["t1"])
    end

    test "that has arrived when the consumer is killed is released", context do
      stream = open_stream(context, 1)
      test = self()

      consumer =
        spawn(fn ->
          Enum.each(stream, fn item ->
            send(test, {:item, item})
            receive do: (:go -> :ok)
          end)
        end)

      for id <- ~w(t1 t2), do: FakeWorker.reply(context.fake, 1, ref_item(id))
      assert_receive {:item, %Ref{id: "t1"}}
      wait_until(fn -> mailbox(consumer) == 1 end)
      assert held(context) == %{handed: 1, owned: 1}
      kill(consumer)
      assert Enum.sort(released(2)) == ["t1", "t2"]
      assert_nothing_held(context)
    end

    test "that cannot be decoded is released", context do
      stream = open_stream(context, 1)

      FakeWorker.reply(context.fake, 1, %CallReply{outcome: {:item, <<0xC1>>}, references: ["t1"]})

      assert {:error, %Error{kind: :protocol}} = Vllm.Stream.collect(stream)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "of a stream whose deadline has passed is released", context do
      stream = open_stream(context, 1)
      connection = connection(context.instance)
      :sys.suspend(connection)
      collecting = Task.async(fn -> stream |> overdue() |> Vllm.Stream.collect() end)
      assert {:error, %Error{kind: :timeout}} = Task.await(collecting, :infinity)
      FakeWorker.reply(context.fake, 1, ref_item("t1"))
      :sys.resume(connection)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "belongs to the receiver of a forwarded stream, not to what forwards it", context do
      FakeWorker.answer(context.fake, 1, [accepted(), ref_item("t1"), ended()])
      test = self()

      receiver =
        spawn(fn ->
          {:ok, stream} = Vllm.call(context.ref, "generate", [], rpc: [stream_to: self()])
          receive do: ({:vllm, ^stream, {:item, item}} -> send(test, {:item, item}))
          receive do: ({:vllm, ^stream, :done} -> send(test, :done))
          receive do: (:end -> :ok)
        end)

      assert_receive {:item, %Ref{id: "t1"}}
      assert_receive :done
      wait_until(fn -> Task.Supervisor.children(Module.concat(context.name, Tasks)) == [] end)
      refute_released(context)
      assert held(context) == %{handed: 0, owned: 1}
      send(receiver, :end)
      assert_released(["t1"])
    end

    test "is found wherever in the item it is", context do
      %{outcome: {:value, ref}} = ref_value("t1")
      # A RequestOutput with a reference in its kv_transfer_params.
      fields = <<0x82, 0xA7, "outputs", 0x90, 0xB2, "kv_transfer_params", 0x81, 0xA1, "x">> <> ref
      content = <<0x92, 0xAD, "RequestOutput">> <> fields
      item = {:item, <<0xC8, byte_size(content)::16, 11, content::binary>>}
      stream = open_stream(context, 1)
      FakeWorker.reply(context.fake, 1, %CallReply{outcome: item, references: ["t1"]})
      assert [%Vllm.RequestOutput{kv_transfer_params: %{"x" => ref}}] = Enum.take(stream, 1)
      assert held(context) == %{handed: 0, owned: 1}
      Vllm.release(ref)
      assert_released(["t1"])
    end
  end
end
