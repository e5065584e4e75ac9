defmodule Vllm.Core.Instance.ReferenceTrackerTest do
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Core.Instance.ReferenceTracker

  describe "a reference" do
    test "is released when its owner ends", context do
      task = Task.async(fn -> hold(context, 1, "t1") end)
      assert_call(1)
      refute_received {:client, %ClientFrame{releases: ["t1"]}}
      send(task.pid, :end)
      assert_released(["t1"])
    end

    test "is released by release/1, once, however often that is called", context do
      ref = own(context, 1, "t1")
      assert Vllm.release(ref) == :ok
      assert Vllm.release(ref) == :ok
      assert_released(["t1"])
      refute_received {:client, %ClientFrame{releases: [_ | _]}}
    end

    test "is released as often as the worker sent it", context do
      ref = own(context, 1, "t1")
      ^ref = own(context, 2, "t1")
      Vllm.release(ref)
      assert_released(["t1", "t1"])
    end

    test "that is shared outlives its first owner", context do
      task = Task.async(fn -> hold(context, 1, "t1") end)
      assert_call(1)
      assert_receive {:held, ref}
      Vllm.share(ref)
      send(task.pid, :end)
      Task.await(task, :infinity)
      # Only now would a release be on its way.
      _other = own(context, 2, "t2")
      refute_received {:client, %ClientFrame{releases: [_ | _]}}
      Vllm.release(ref)
      assert_released(["t1"])
    end

    test "is not released by a process that does not own it", context do
      ref = own(context, 1, "t1")
      Task.async(fn -> Vllm.release(ref) end) |> Task.await(:infinity)
      _other = own(context, 2, "t2")
      refute_received {:client, %ClientFrame{releases: [_ | _]}}
    end

    test "of an earlier worker is not released with this one", context do
      ref = own(context, 1, "t1")
      Vllm.share(%{ref | incarnation: "earlier", id: "e1"})
      Vllm.release(%{ref | incarnation: "earlier", id: "e1"})
      Vllm.release(ref)
      assert_released(["t1"])
    end

    test "within an item belongs to the consumer", context do
      {:value, ref_payload} = ref_value("t1")
      test = self()
      FakeWorker.answer(context.fake, 1, [accepted(), {:item, ref_payload}, ended()])

      consumer =
        spawn(fn ->
          {:ok, stream} = Vllm.call(context.ref, "generate")
          send(test, {:items, Enum.to_list(stream)})
          receive do: (:end -> :ok)
        end)

      assert_receive {:items, [%Ref{id: "t1"}]}
      send(consumer, :end)
      assert_released(["t1"])
    end
  end

  describe "an engine" do
    test "outlives the process that built it", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))
      Task.async(fn -> build(context) end) |> Task.await(:infinity)
      _other = own(context, 2, "t2")
      refute_received {:client, %ClientFrame{releases: [_ | _]}}
    end

    test "that is linked is shut down with its owner", context do
      FakeWorker.answer(context.fake, 1, engine_value("e1"))

      {:ok, _engine} =
        Task.async(fn -> build(context, rpc: [link: true]) end) |> Task.await(:infinity)

      assert %{request: %{method: "shutdown", target: {:ref, "e1"}}} = assert_call(2)
    end

    test "that no process received is shut down", context do
      task = Task.async(fn -> build(context) end)
      assert_call(1)
      Task.shutdown(task, :brutal_kill)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, engine_value("e1"))
      assert %{request: %{method: "shutdown", target: {:ref, "e1"}}} = assert_call(2)
    end
  end

  describe "a request whose caller is killed before it has the collector" do
    test "is ended, and its enumerable with it", context do
      before = Vllm.Elements.producers()
      test = self()
      elements = Vllm.Elements.tracked(["a"], test)
      caller = spawn(fn -> add_request(context, elements) end)
      assert_call(1)
      :erlang.suspend_process(caller)
      FakeWorker.reply(context.fake, 1, typed_value("c1", "RequestOutputCollector"))
      wait_until(fn -> mailbox(caller) == 1 end)
      Process.exit(caller, :kill)
      assert_released(["c1"])
      wait_until(fn -> of(Vllm.Elements.producers() -- before, caller) == [] end)
      refute_received {:opened, _}
    end

    test "lives as long as its owner once the caller has confirmed it", context do
      FakeWorker.answer(context.fake, 1, typed_value("c1", "RequestOutputCollector"))
      test = self()

      caller =
        spawn(fn ->
          {:ok, %Ref{}} = add_request(context, "a")
          send(test, :added)
          receive do: (:end -> :ok)
        end)

      assert_receive :added

      wait_until(fn -> match?({:ok, %{calls: 0}}, Vllm.Core.Connection.info(context.instance)) end)

      refute_received {:client, %ClientFrame{releases: [_ | _]}}
      send(caller, :end)
      assert_released(["c1"])
    end
  end

  describe "an engine whose builder is killed before it has the reference" do
    test "is shut down", context do
      builder = spawn(fn -> build(context) end)
      assert_call(1)
      :erlang.suspend_process(builder)
      FakeWorker.reply(context.fake, 1, engine_value("e1"))
      wait_until(fn -> mailbox(builder) == 1 end)
      Process.exit(builder, :kill)
      assert %{request: %{method: "shutdown", target: {:ref, "e1"}}} = assert_call(2)
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

      wait_until(fn -> match?({:ok, %{calls: 0}}, Vllm.Core.Connection.info(context.instance)) end)

      Process.exit(builder, :kill)
      # Only now would it be shut down.
      _other = own(context, 2, "t2")
      refute_received {:client, %ClientFrame{calls: [_ | _]}}
    end
  end

  describe "find/1" do
    test "finds references at any depth, in keys too" do
      [a, b, c, d] = for id <- ~w(a b c d), do: ref({:x, node()}, id, "T")
      value = [%{a => {1, [b]}}, MapSet.new([c]), %{"x" => %{"y" => d}}]
      assert value |> ReferenceTracker.find() |> Enum.map(& &1.id) |> Enum.sort() == ~w(a b c d)
    end

    test "finds none in values without references" do
      for value <- [nil, 1, "text", [1, 2], %{"a" => {:b, 1.5}}, Date.utc_today()] do
        assert ReferenceTracker.find(value) == []
      end
    end
  end

  describe "inspecting a reference" do
    test "shows type, id and instance, and makes no call" do
      text = inspect(ref({MyApp.Vllm, node()}, "3f2a", "AsyncLLM"))
      assert text == "#Vllm.Ref<AsyncLLM 3f2a @MyApp.Vllm>"
    end

    test "shortens a long id and names another node" do
      text = inspect(ref({MyApp.Vllm, :there@host}, "0123456789abcdef", "X"))
      assert text == "#Vllm.Ref<X 01234567… @MyApp.Vllm on there@host>"
    end
  end

  defp hold(context, call_id, object_id) do
    FakeWorker.answer(context.fake, call_id, ref_value(object_id))
    {:ok, ref} = Vllm.call(context.ref, "get_object")
    [parent | _] = Process.get(:"$callers")
    send(parent, {:held, ref})
    receive do: (:end -> :ok)
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

  defp engine_value(id), do: typed_value(id, "AsyncLLM")

  defp typed_value(id, type) do
    {:value, <<0xC7, _size, 10, body::binary>>} = ref_value(id)
    body = String.replace(body, <<0xA9, "Tokenizer">>, <<0xA0 + byte_size(type), type::binary>>)
    {:value, <<0xC7, byte_size(body), 10, body::binary>>}
  end

  defp assert_released(ids), do: assert_receive({:client, %ClientFrame{releases: ^ids}})
end
