defmodule Vllm.Core.Connection.HandoverTest do
  # Replies that hold references, on their way from the worker to the process that called. What owners
  # tell later is in `call/ownership_test.exs`, and items of streams in `call/consumer_test.exs`.
  use Vllm.HandoverCase, async: true

  import ExUnit.CaptureLog, only: [with_log: 1]

  alias Vllm.Proto.CallReply

  # For a caller that reads a value: the decoder needs long enough for it to be found there.
  @many 1_000_000

  describe "a caller that is killed" do
    test "before the reply has come leaves nothing", context do
      caller = calling(context)
      assert_call(1)
      kill(caller)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, ref_value(["t1", "t2"]))
      assert_released(["t1", "t2"])
      assert_nothing_held(context)
    end

    test "with the reply in its mailbox leaves nothing", context do
      caller = calling(context)
      assert_call(1)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 1, ref_value(["t1", "t2"]))
      wait_until(fn -> mailbox(caller) == 1 end)
      kill(caller)
      assert_released(["t1", "t2"])
      assert_nothing_held(context)
    end

    test "while it decodes the reply leaves nothing", context do
      numbers = <<0xDD, @many::32, :binary.copy(<<7>>, @many)::binary>>
      %{outcome: {:value, ref}} = ref_value("t1")

      reply = %CallReply{
        outcome: {:value, <<0x92, numbers::binary, ref::binary>>},
        references: ["t1"]
      }

      caller = calling(context)
      assert_call(1)
      FakeWorker.reply(context.fake, 1, reply)
      suspend_in(caller, Vllm.Core.Codec.Decoder)
      kill(caller)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "when it has confirmed, and the connection has not seen that, leaves nothing", context do
      caller = calling(context)
      assert_call(1)
      connection = connection(context.instance)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      wait_until(fn -> mailbox(caller) == 1 end)
      :sys.suspend(connection)
      :erlang.resume_process(caller)
      assert_receive {:got, {:ok, %Ref{id: "t1"}}}
      kill(caller)
      # The receipt, and the end of its monitor.
      wait_until(fn -> mailbox(connection) == 2 end)
      :sys.resume(connection)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "when it owns the references leaves nothing", context do
      caller = calling(context)
      assert_call(1)
      FakeWorker.reply(context.fake, 1, ref_value(["t1", "t2"]))
      assert_receive {:got, {:ok, [%Ref{}, %Ref{}]}}
      assert held(context) == %{handed: 0, owned: 2}
      kill(caller)
      assert_receive {:client, %ClientFrame{releases: [_, _] = released}}
      assert Enum.sort(released) == ["t1", "t2"]
      assert_nothing_held(context)
    end
  end

  describe "a caller that lives" do
    test "and whose call has ended with :timeout leaves nothing of a late reply", context do
      connection = connection(context.instance)
      caller = calling(context, rpc: [timeout: 1])
      assert_call(1)
      # The reply waits in front of the caller's message that it has given up.
      :sys.suspend(connection)
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      wait_until(fn -> mailbox(connection) == 1 end)
      assert_receive {:got, {:error, %Error{kind: :timeout}}}
      :sys.resume(connection)
      assert_released(["t1"])
      assert Process.alive?(caller)
      assert_nothing_held(context)
    end

    test "and whose call has ended with :timeout leaves nothing of a later reply", context do
      caller = calling(context, rpc: [timeout: 1])
      assert_call(1)
      assert_receive {:got, {:error, %Error{kind: :timeout}}}
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      assert_released(["t1"])
      assert Process.alive?(caller)
      assert_nothing_held(context)
    end

    test "owns what was in its mailbox when its deadline passed", context do
      caller = calling(context, rpc: [timeout: 1])
      assert_call(1)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      wait_until(fn -> mailbox(caller) == 1 end)
      :erlang.resume_process(caller)
      assert_receive {:got, {:ok, %Ref{id: "t1"}}}
      assert held(context) == %{handed: 0, owned: 1}
    end

    test "keeps nothing of a value that it cannot decode", context do
      FakeWorker.answer(context.fake, 1, %CallReply{
        outcome: {:value, <<0xC1>>},
        references: ["t1"]
      })

      assert {:error, %Error{kind: :protocol}} = Vllm.call(context.ref, "get_object")
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "keeps nothing of a first reply that is not allowed", context do
      FakeWorker.answer(context.fake, 1, [ref_item("t1"), value(nil)])
      assert {:ok, nil} = Vllm.call(context.ref, "get_object")
      assert_released(["t1"])
      assert_nothing_held(context)
    end
  end

  describe "an engine" do
    test "outlives the process that built it", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      Task.async(fn -> build(context) end) |> Task.await(:infinity)
      assert_receive {:client, %ClientFrame{receipts: ["e1"], calls: [], releases: []}}
      refute_released(context)
    end

    test "that is linked is shut down with its owner", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      Task.async(fn -> build(context, rpc: [link: true]) end) |> Task.await(:infinity)
      assert_shut_down("e1")
      # Without a receipt, it ends with the session too.
      refute_received {:client, %ClientFrame{receipts: [_ | _]}}
    end

    test "whose builder was killed before it was built is shut down", context do
      builder = spawn(fn -> build(context) end)
      assert_call(1)
      kill(builder)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, engine_value("e1"))
      assert_shut_down("e1")
    end

    test "whose builder is killed before it has the reference is shut down", context do
      for {opts, call} <- [{[], 1}, {[rpc: [link: true]], 3}] do
        builder = spawn(fn -> build(context, opts) end)
        assert_call(call)
        :erlang.suspend_process(builder)
        FakeWorker.reply(context.fake, call, engine_value("e1"))
        wait_until(fn -> mailbox(builder) == 1 end)
        kill(builder)
        assert_shut_down("e1")
        refute_received {:client, %ClientFrame{receipts: [_ | _]}}
        assert_nothing_held(context)
      end
    end

    test "is not shut down once the builder has confirmed it", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      test = self()

      builder =
        spawn(fn ->
          {:ok, _engine} = build(context)
          send(test, :built)
          receive do: (:end -> :ok)
        end)

      assert_receive :built
      assert_call(1)
      assert_nothing_held(context)
      kill(builder)
      refute_released(context)
      refute_received {:client, %ClientFrame{calls: [_ | _]}}
    end

    test "that a call only names is not shut down when its caller is killed", context do
      caller = calling(context)
      assert_call(1)
      kill(caller)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, ref_value("e1", "AsyncLLM"))
      assert_released(["e1"])
      barrier(context, 2)
      refute_received {:client, %ClientFrame{calls: [_ | _]}}
    end

    test "is released by release/1 though it has no owner", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      {:ok, engine} = build(context)
      Vllm.release(engine)
      assert_released(["e1"])
    end
  end

  describe "a request whose caller is killed before it has the collector" do
    test "is ended, and its enumerable with it", context do
      before = Vllm.Elements.producers()
      elements = Vllm.Elements.tracked(["a"], self())
      caller = spawn(fn -> add_request(context, elements) end)
      assert_call(1)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 1, ref_value("c1", "RequestOutputCollector"))
      wait_until(fn -> mailbox(caller) == 1 end)
      kill(caller)
      assert_released(["c1"])
      wait_until(fn -> of(Vllm.Elements.producers() -- before, caller) == [] end)
      refute_received {:opened, _}
    end
  end

  describe "the end of the session" do
    test "is no concern of those who hold references", context do
      ref = own(context, 1, "t1")
      caller = calling(context)
      assert_call(2)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 2, ref_value("t2"))
      wait_until(fn -> mailbox(caller) == 1 end)

      {_result, _log} =
        with_log(fn ->
          monitor = context.instance |> connection() |> Process.monitor()
          FakeWorker.close(context.fake)
          assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
        end)

      # Its receipt goes to a connection that has ended.
      :erlang.resume_process(caller)
      assert_receive {:got, {:ok, %Ref{id: "t2"}}}
      assert Vllm.share(ref, caller) == :ok
      assert Vllm.release(ref) == :ok
    end
  end
end
