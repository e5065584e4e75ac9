defmodule Vllm.Core.Connection.HandoverTest do
  # Who answers for a reference at every moment between the worker and its owner. Processes are
  # suspended, not timed: each test puts the messages into one certain order.
  use Vllm.FakeWorkerCase, async: true

  import ExUnit.CaptureLog, only: [with_log: 1]

  alias Vllm.Core.Connection.References
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

  describe "a reference" do
    test "is released by release/1, once, however often that is called", context do
      ref = own(context, 1, "t1")
      assert Vllm.release(ref) == :ok
      assert Vllm.release(ref) == :ok
      assert_released(["t1"])
      refute_released(context)
    end

    test "is released as often as the worker sent it", context do
      ref = own(context, 1, "t1")
      ^ref = own(context, 2, "t1")
      Vllm.release(ref)
      assert_released(["t1", "t1"])
    end

    test "is released as often as it occurs in a value", context do
      FakeWorker.answer(context.fake, 1, ref_value(["t1", "t1"]))
      {:ok, [ref, ref]} = Vllm.call(context.ref, "get_objects")
      Vllm.release(ref)
      assert_released(["t1", "t1"])
    end

    test "stays when a second reply with it is not received", context do
      ref = own(context, 1, "t1")
      caller = calling(context)
      assert_call(2)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 2, ref_value("t1"))
      wait_until(fn -> mailbox(caller) == 1 end)
      kill(caller)
      assert_released(["t1"])
      assert held(context) == %{handed: 0, owned: 1}
      Vllm.release(ref)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "that is shared outlives its first owner", context do
      owner = calling(context)
      assert_call(1)
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      assert_receive {:got, {:ok, ref}}
      Vllm.share(ref)
      kill(owner)
      refute_released(context)
      Vllm.release(ref)
      assert_released(["t1"])
    end

    test "that its owner shared as it was killed lives with the new owner", context do
      test = self()
      connection = connection(context.instance)
      heir = spawn(fn -> receive do: (:end -> :ok) end)

      owner =
        calling(context, [], fn {:ok, ref} ->
          Vllm.share(ref, heir)
          send(test, :shared)
        end)

      assert_call(1)
      :erlang.suspend_process(owner)
      FakeWorker.reply(context.fake, 1, ref_value("t1"))
      wait_until(fn -> mailbox(owner) == 1 end)
      # All that the owner does, its end included, is seen by the connection at once.
      :sys.suspend(connection)
      :erlang.resume_process(owner)
      assert_receive :shared
      kill(owner)
      wait_until(fn -> mailbox(connection) == 3 end)
      :sys.resume(connection)
      refute_released(context)
      kill(heir)
      assert_released(["t1"])
      assert_nothing_held(context)
    end

    test "that is shared after its release has no owner", context do
      ref = own(context, 1, "t1")
      Vllm.release(ref)
      assert_released(["t1"])
      Vllm.share(ref)
      assert_nothing_held(context)
    end

    test "is not released by a process that does not own it", context do
      ref = own(context, 1, "t1")
      Task.async(fn -> Vllm.release(ref) end) |> Task.await(:infinity)
      refute_released(context)
    end

    test "of an earlier worker is not released with this one", context do
      ref = own(context, 1, "t1")
      Vllm.share(%{ref | incarnation: "earlier"})
      Vllm.release(%{ref | incarnation: "earlier"})
      refute_released(context)
      Vllm.release(ref)
      assert_released(["t1"])
    end
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

  describe "an engine" do
    test "outlives the process that built it", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      Task.async(fn -> build(context) end) |> Task.await(:infinity)
      refute_released(context)
    end

    test "that is linked is shut down with its owner", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      Task.async(fn -> build(context, rpc: [link: true]) end) |> Task.await(:infinity)
      assert_shut_down("e1")
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

  ## Callers

  # A process that calls, reports the result, and stays.
  defp calling(context, opts \\ [], with_result \\ fn _result -> :ok end) do
    test = self()

    spawn(fn ->
      result = Vllm.call(context.ref, "get_object", [], opts)
      with_result.(result)
      send(test, {:got, result})
      receive do: (:end -> :ok)
    end)
  end

  defp kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
  end

  # Stops a process where it runs code of a module.
  defp suspend_in(pid, module) do
    :erlang.suspend_process(pid)

    case Process.info(pid, :current_stacktrace) do
      {:current_stacktrace, stack} ->
        unless Enum.any?(stack, &(elem(&1, 0) == module)) do
          :erlang.resume_process(pid)
          suspend_in(pid, module)
        end
    end
  end

  defp build(context, opts \\ []) do
    Vllm.AsyncLLM.from_engine_args(context.name, [model: "m"], opts)
  end

  defp add_request(context, prompt),
    do: Vllm.AsyncLLM.add_request(context.ref, "id", prompt, max_tokens: 1)

  # Of those processes, the ones that work for the caller: other tests run at the same time.
  defp of(processes, caller) do
    for pid <- processes,
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        caller in Keyword.get(dictionary, :"$callers", []),
        do: pid
  end

  ## The connection

  # What it has handed over and records of owners, after all messages that were sent to it.
  defp held(%{instance: instance}),
    do: References.sizes(:sys.get_state(connection(instance)).references)

  defp assert_nothing_held(context) do
    assert held(context) == %{handed: 0, owned: 0}
    references = :sys.get_state(connection(context.instance)).references
    assert references == %References{count: references.count}
  end

  # Everything that the worker has sent before has been handled.
  defp barrier(%{fake: fake, ref: ref}, call) do
    FakeWorker.answer(fake, call, value(nil))
    {:ok, nil} = Vllm.call(ref, "barrier")
    assert_call(call)
  end

  defp assert_released(ids), do: assert_receive({:client, %ClientFrame{releases: ^ids}})

  # The ids of so many releases, which may come in several frames.
  defp released(0), do: []

  defp released(count) do
    assert_receive {:client, %ClientFrame{releases: [_ | _] = ids}}
    ids ++ released(count - length(ids))
  end

  # A call is sent after the releases before it.
  defp refute_released(%{ref: ref, instance: instance}) do
    _state = :sys.get_state(connection(instance))
    caller = spawn(fn -> Vllm.call(ref, "barrier") end)
    assert_receive {:client, %ClientFrame{calls: [%{request: %{method: "barrier"}}]}}
    refute_received {:client, %ClientFrame{releases: [_ | _]}}
    kill(caller)
  end

  defp assert_shut_down(engine) do
    assert_receive {:client, %ClientFrame{calls: [%{request: request}], releases: [^engine]}}
    assert %{method: "shutdown", target: {:ref, ^engine}} = request
  end
end
