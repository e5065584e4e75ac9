defmodule Vllm.Core.Call.OwnershipTest do
  # References that processes own, share and release.
  use Vllm.HandoverCase, async: true

  alias Vllm.Proto.CallReply

  describe "a reference" do
    test "is released by release/1, once, however often that is called", context do
      ref = own(context, 1, "t1")
      assert Vllm.release(ref) == :ok
      assert Vllm.release(ref) == :ok
      assert_released(["t1"])
      refute_released(context)
    end

    test "in a value that cannot be decoded is released", context do
      reply = %CallReply{outcome: {:value, <<0xC1>>}, references: ["t1", "t2"]}
      FakeWorker.answer(context.fake, 1, reply)
      assert {:error, %Error{kind: :protocol}} = Vllm.call(context.ref, "get_objects")
      assert_receive {:client, %ClientFrame{releases: [_ | _] = released}}
      assert Enum.sort(released) == ["t1", "t2"]
      assert_nothing_held(context)
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
end
