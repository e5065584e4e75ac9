defmodule Vllm.StreamTest do
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Stream

  describe "enumerating" do
    test "gives the items in order and then ends", %{fake: fake} = context do
      stream = open_stream(context, 1)
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == [1, 2, 3]
    end

    test "gives an item as soon as it arrives", %{fake: fake} = context do
      stream = open_stream(context, 1)
      test = self()
      task = Task.async(fn -> Enum.each(stream, &send(test, {:got, &1})) end)
      FakeWorker.reply(fake, 1, item("first"))
      assert_receive {:got, "first"}
      FakeWorker.reply(fake, 1, item("second"))
      assert_receive {:got, "second"}
      FakeWorker.reply(fake, 1, ended())
      assert Task.await(task, :infinity) == :ok
    end

    test "raises a failure after the items before it", %{fake: fake} = context do
      stream = open_stream(context, 1)
      FakeWorker.reply(fake, 1, item(1))
      FakeWorker.reply(fake, 1, {:failure, %Failure{kind: :engine_error, message: "it broke"}})
      test = self()

      error =
        assert_raise Error, ~r/it broke/, fn -> Enum.each(stream, &send(test, {:got, &1})) end

      assert error.kind == :engine_error
      assert_received {:got, 1}
    end

    test "a second time raises a conflict", %{fake: fake} = context do
      stream = open_stream(context, 1)
      FakeWorker.reply(fake, 1, ended())
      assert Enum.to_list(stream) == []
      assert %Error{kind: :conflict} = assert_raise(Error, fn -> Enum.to_list(stream) end)
    end

    test "by two processes raises a conflict in the second", %{fake: fake} = context do
      stream = open_stream(context, 1)
      test = self()
      first = Task.async(fn -> Enum.each(stream, &send(test, {:got, &1})) end)
      FakeWorker.reply(fake, 1, item(1))
      assert_receive {:got, 1}
      assert {:error, %Error{kind: :conflict}} = Stream.collect(stream)
      FakeWorker.reply(fake, 1, ended())
      assert Task.await(first, :infinity) == :ok
    end

    test "can be suspended, as Enum.zip does", %{fake: fake} = context do
      stream = open_stream(context, 1)
      for n <- 1..3, do: FakeWorker.reply(fake, 1, item(n))
      FakeWorker.reply(fake, 1, ended())
      assert Enum.zip(stream, [:a, :b, :c]) == [{1, :a}, {2, :b}, {3, :c}]
    end

    test "gives credit back in halves", %{fake: fake} = context do
      stream = open_stream(context, 1, window: 4)
      for n <- 1..6, do: FakeWorker.reply(fake, 1, item(n))
      FakeWorker.reply(fake, 1, ended())
      assert Enum.count(stream) == 6
      assert_credit(6)
    end

    test "requests the window of its option", context do
      open_stream_with = fn -> Vllm.call(context.ref, "generate", [], rpc: [window: 7]) end
      task = Task.async(open_stream_with)
      assert assert_call(1).credit == 7
      Task.shutdown(task, :brutal_kill)
    end

    test "ends with :timeout when the worker misses the deadline", context do
      stream = overdue(open_stream(context, 1))
      assert {:error, %Error{kind: :timeout}} = Stream.collect(stream)
      assert_cancelled(1)
    end
  end

  describe "the request is aborted" do
    test "when the enumeration halts, and nothing stays in the mailbox",
         %{fake: fake} = context do
      stream = open_stream(context, 1)
      for n <- 1..20, do: FakeWorker.reply(fake, 1, item(n))
      assert Enum.take(stream, 2) == [1, 2]
      assert_cancelled(1)
      # One more exchange, after which everything that was on its way has arrived.
      FakeWorker.answer(fake, 2, value(nil))
      {:ok, nil} = Vllm.call(context.ref, "sleep")
      assert_call(2)
      assert mailbox(self()) == 0
    end

    test "when the consumer raises", %{fake: fake} = context do
      stream = open_stream(context, 1)
      FakeWorker.reply(fake, 1, item(1))
      assert_raise RuntimeError, "mine", fn -> Enum.each(stream, fn _ -> raise "mine" end) end
      assert_cancelled(1)
    end

    test "when the consumer throws or exits", %{fake: fake} = context do
      stream = open_stream(context, 1)
      FakeWorker.reply(fake, 1, item(1))
      assert catch_throw(Enum.each(stream, fn _ -> throw(:it) end)) == :it
      assert_cancelled(1)

      stream = open_stream(context, 2)
      FakeWorker.reply(fake, 2, item(1))
      assert catch_exit(Enum.each(stream, fn _ -> exit(:it) end)) == :it
      assert_cancelled(2)
    end

    for reason <- [:kill, :shutdown, :normal] do
      test "when the consumer ends with #{reason}", %{fake: fake} = context do
        stream = open_stream(context, 1)
        test = self()

        pid =
          spawn(fn ->
            Enum.each(stream, fn item ->
              send(test, {:got, item})
              if unquote(reason) == :normal, do: exit(:normal)
            end)
          end)

        FakeWorker.reply(fake, 1, item(1))
        assert_receive {:got, 1}
        Process.exit(pid, unquote(reason))
        assert_cancelled(1)
      end
    end

    test "when the owner ends before the enumeration", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, accepted())
      task = Task.async(fn -> Vllm.call(ref, "generate") end)
      {:ok, stream} = Task.await(task, :infinity)
      assert_cancelled(1)
      assert {:error, %Error{kind: :conflict}} = Stream.collect(stream)
    end

    test "when another process cancels it, and the consumer gets the error",
         %{fake: fake} = context do
      stream = open_stream(context, 1)
      test = self()

      task =
        Task.async(fn ->
          send(test, :started)
          Stream.collect(stream)
        end)

      assert_receive :started
      FakeWorker.reply(fake, 1, item(1))
      :ok = Stream.cancel(stream)
      assert_cancelled(1)
      assert {:error, %Error{kind: kind}} = Task.await(task, :infinity)
      assert kind in [:cancelled, :conflict]
    end

    test "once, however often it is cancelled", context do
      stream = open_stream(context, 1)
      for _ <- 1..3, do: Stream.cancel(stream)
      assert_cancelled(1)
      FakeWorker.answer(context.fake, 2, value(nil))
      {:ok, nil} = Vllm.call(context.ref, "sleep")
      refute_received {:client, %ClientFrame{cancels: [_ | _]}}
    end
  end

  describe "ownership" do
    test "passes to the process that enumerates", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, accepted())
      test = self()

      owner =
        spawn(fn ->
          {:ok, stream} = Vllm.call(ref, "generate")
          send(test, {:stream, stream})
          receive do: (:end -> :ok)
        end)

      monitor = Process.monitor(owner)
      assert_receive {:stream, stream}

      task =
        Task.async(fn ->
          Enum.map(stream, fn item ->
            send(test, {:got, item})
            item
          end)
        end)

      FakeWorker.reply(fake, 1, item(1))
      assert_receive {:got, 1}
      send(owner, :end)
      assert_receive {:DOWN, ^monitor, _, _, _}
      FakeWorker.reply(fake, 1, item(2))
      FakeWorker.reply(fake, 1, ended())
      assert Task.await(task, :infinity) == [1, 2]
    end

    test "ends with the session: the consumer gets the error at once", %{fake: fake} = context do
      stream = open_stream(context, 1)
      task = Task.async(fn -> Stream.collect(stream) end)
      FakeWorker.close(fake)
      assert {:error, %Error{kind: :worker_down}} = Task.await(task, :infinity)
    end
  end

  describe "stream_to:" do
    test "sends the items, then :done", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, [accepted(), item(1), item(2), ended()])
      {:ok, stream} = Vllm.call(ref, "generate", [], rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, 1}}
      assert_receive {:vllm, ^stream, {:item, 2}}
      assert_receive {:vllm, ^stream, :done}
    end

    test "sends a failure as the last message", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, [accepted(), {:failure, %Failure{kind: :engine_dead}}])
      {:ok, stream} = Vllm.call(ref, "generate", [], rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:error, %Error{kind: :engine_dead}}}
    end

    test "aborts when the receiver ends", %{fake: fake, ref: ref} do
      receiver = spawn(fn -> receive do: (:end -> :ok) end)
      FakeWorker.answer(fake, 1, [accepted(), item(1)])
      {:ok, _stream} = Vllm.call(ref, "generate", [], rpc: [stream_to: receiver])
      wait_until(fn -> mailbox(receiver) == 1 end)
      send(receiver, :end)
      assert_cancelled(1)
    end

    test "can be cancelled by the stream that tags the messages", %{fake: fake, ref: ref} do
      FakeWorker.answer(fake, 1, [accepted(), item(1)])
      {:ok, stream} = Vllm.call(ref, "generate", [], rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, 1}}
      :ok = Stream.cancel(stream)
      assert_receive {:vllm, ^stream, {:error, %Error{kind: :cancelled}}}
    end

    test "sends no more while the receiver's mailbox is full", %{fake: fake, ref: ref} do
      receiver = spawn(fn -> receive do: (:end -> :ok) end)
      FakeWorker.answer(fake, 1, [accepted() | List.duplicate(item(1), 300)])
      rpc = [stream_to: receiver, window: 1000]
      {:ok, _stream} = Vllm.call(ref, "generate", [], rpc: rpc)
      wait_until(fn -> mailbox(receiver) > 100 end)
      # A message more each way shows that the forwarder has stopped, not that it is slow.
      FakeWorker.answer(fake, 2, value(nil))
      {:ok, nil} = Vllm.call(ref, "sleep")
      assert mailbox(receiver) == 101
      Process.exit(receiver, :kill)
    end

    test "ends with an error when the instance stops", %{fake: fake, ref: ref, name: name} do
      FakeWorker.answer(fake, 1, [accepted(), item(1)])
      {:ok, stream} = Vllm.call(ref, "generate", [], rpc: [stream_to: self()])
      assert_receive {:vllm, ^stream, {:item, 1}}
      :ok = stop_supervised(name)
      assert_receive {:vllm, ^stream, {:error, %Error{kind: :draining}}}
    end

    test "ends with an error when the instance stops while the mailbox is full", %{
      fake: fake,
      ref: ref,
      name: name
    } do
      test = self()

      receiver =
        spawn(fn ->
          receive do: (:go -> :ok)
          receive do: ({:vllm, _stream, {:error, error}} -> send(test, {:last, error.kind}))
        end)

      FakeWorker.answer(fake, 1, [accepted() | List.duplicate(item(1), 300)])
      rpc = [stream_to: receiver, window: 1000]
      {:ok, _stream} = Vllm.call(ref, "generate", [], rpc: rpc)
      wait_until(fn -> mailbox(receiver) > 100 end)
      :ok = stop_supervised(name)
      send(receiver, :go)
      assert_receive {:last, :draining}
    end
  end

  test "inspecting a stream shows its method and instance, and no arguments", context do
    stream = open_stream(context, 1)
    assert inspect(stream) == "#Vllm.Stream<AsyncLLM.generate @#{inspect(context.name)}>"
  end

  test "inspecting shows the id of the request, and takes what a program has made" do
    stream = %Vllm.Stream{
      source: {self(), 1},
      instance: {A, node()},
      class: "AsyncLLM",
      method: "generate",
      window: 1,
      deadline: :infinity,
      request_id: "r1"
    }

    assert inspect(stream) == ~S|#Vllm.Stream<AsyncLLM.generate "r1" @A>|
    assert inspect(%{stream | request_id: nil}) == "#Vllm.Stream<AsyncLLM.generate @A>"
    assert inspect(%{stream | class: 1, request_id: 2}) == "#Vllm.Stream<1.generate @A>"
    assert inspect(%{stream | instance: nil}) == "#Vllm.Stream<invalid>"
  end

  defp assert_cancelled(id) do
    assert_receive {:client, %ClientFrame{cancels: [^id]}}
  end

  # In how many frames it comes depends on how busy the connection is.
  defp assert_credit(0), do: :ok

  defp assert_credit(left) do
    assert_receive {:client, %ClientFrame{credits: [_ | _] = credits}}
    assert_credit(left - (credits |> Enum.map(& &1.items) |> Enum.sum()))
  end
end
