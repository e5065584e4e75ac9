defmodule Vllm.Core.ConnectionTest do
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Proto.{Draining, EngineDied, Notice}

  describe "a call" do
    test "carries target, method and arguments", %{fake: fake, ref: ref} do
      task = Task.async(fn -> Call.invoke(ref, "sleep", [1], level: 2) end)
      request = assert_call(1).request
      assert request.target == {:ref, "r1"}
      assert request.incarnation == FakeWorker.incarnation()
      assert request.method == "sleep"
      assert {:ok, [1]} = Vllm.Codec.decode(request.args, nil)
      assert {:ok, %{"level" => 2}} = Vllm.Codec.decode(request.kwargs, nil)
      assert request.timeout_ms == 60_000
      FakeWorker.reply(fake, 1, value("done"))
      assert Task.await(task, :infinity) == {:ok, "done"}
    end

    test "carries named arguments that are false, nil or empty", %{fake: fake, ref: ref} do
      named = [flag: false, none: nil, zero: 0, text: "", list: [], map: %{}]
      FakeWorker.answer(fake, 1, value(nil))
      assert {:ok, nil} = Call.invoke(ref, "sleep", [false, nil], named)
      request = assert_call(1).request
      assert Vllm.Codec.decode(request.args, nil) == {:ok, [false, nil]}

      assert Vllm.Codec.decode(request.kwargs, nil) ==
               {:ok, Map.new(named, fn {key, value} -> {Atom.to_string(key), value} end)}
    end

    test "has a deadline unless it streams from an engine", %{
      fake: fake,
      ref: ref,
      instance: instance
    } do
      for {id, ref, timeout} <- [{1, ref, 0}, {2, ref(instance, "r2", "Other"), 60_000}] do
        FakeWorker.answer(fake, id, value(nil))
        {:ok, nil} = Call.invoke(ref, "encode")
        assert assert_call(id).request.timeout_ms == timeout
      end
    end

    test "returns a failure as a Vllm.Error with its cause", %{fake: fake, ref: ref} do
      task = Task.async(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)

      FakeWorker.reply(
        fake,
        1,
        {:failure,
         %Failure{
           kind: :engine_error,
           message: "it failed",
           type: "x.Error",
           cause: %Failure{kind: :python, message: "deeper"}
         }}
      )

      assert {:error, %Error{kind: :engine_error, type: "x.Error"} = error} =
               Task.await(task, :infinity)

      assert error.message == "it failed"
      assert %Error{kind: :python, message: "deeper"} = error.cause
    end

    test "without an answer ends after its deadline and is cancelled", %{ref: ref} do
      assert {:error, %Error{kind: :timeout}} = Call.invoke(ref, "sleep", [], rpc: [timeout: 10])
      assert %StartCall{request: %{timeout_ms: 10}} = assert_call(1)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      refute_received {_alias, _late}
    end

    test "is cancelled when its caller ends", %{ref: ref} do
      {pid, monitor} = spawn_monitor(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert_receive {:client, %ClientFrame{cancels: [1]}}
    end

    test "releases the references of a value that arrives after its caller has ended", context do
      {pid, _monitor} = spawn_monitor(fn -> Call.invoke(context.ref, "get_tokenizer") end)
      assert_call(1)
      Process.exit(pid, :kill)
      assert_receive {:client, %ClientFrame{cancels: [1]}}
      FakeWorker.reply(context.fake, 1, ref_value("t9"))
      assert_receive {:client, %ClientFrame{releases: ["t9"]}}
    end

    test "is sent in one frame with others that wait", %{instance: instance, ref: ref} do
      # The connection is held, so that all of them are in its mailbox when it goes on.
      connection = connection(instance)
      :sys.suspend(connection)
      tasks = for _ <- 1..20, do: Task.async(fn -> Call.invoke(ref, "sleep") end)
      wait_until(fn -> mailbox(connection) == 20 end)
      :sys.resume(connection)
      assert_receive {:client, %ClientFrame{calls: calls}}
      assert length(calls) == 20
      Enum.each(tasks, &Task.shutdown(&1, :brutal_kill))
    end

    test "is sent after an earlier release", context do
      tokenizer = own(context, 1, "t1")
      connection = connection(context.instance)
      :sys.suspend(connection)
      :ok = Vllm.release(tokenizer)
      task = Task.async(fn -> Call.invoke(context.ref, "after") end)
      wait_until(fn -> mailbox(connection) == 2 end)
      :sys.resume(connection)
      assert_receive {:client, %ClientFrame{calls: calls, releases: ["t1"]}}
      assert calls == []
      assert_call(2)
      Task.shutdown(task, :brutal_kill)
    end

    test "with a large argument arrives whole", %{fake: fake, ref: ref} do
      data = :binary.copy("x", 3_000_000)
      task = Task.async(fn -> Call.invoke(ref, "echo", [data]) end)
      assert {:ok, [^data]} = Vllm.Codec.decode(assert_call(1).request.args, nil)
      FakeWorker.reply(fake, 1, value(data))
      assert Task.await(task, :infinity) == {:ok, data}
    end

    test "gets its own answer among many at once", %{fake: fake, ref: ref} do
      tasks = for n <- 1..200, do: Task.async(fn -> {n, Call.invoke(ref, "echo", [n])} end)

      calls = Enum.map(1..200, &assert_call/1)

      for call <- Enum.shuffle(calls) do
        {:ok, [n]} = Vllm.Codec.decode(call.request.args, nil)
        FakeWorker.reply(fake, call.id, value(n))
      end

      for task <- tasks, {n, result} = Task.await(task, :infinity), do: assert(result == {:ok, n})
    end

    test "on something other than a reference is an error" do
      assert {:error, %Error{kind: :invalid}} = Call.invoke("engine", "sleep")
    end

    test "that cannot be encoded is an error with the path", %{ref: ref} do
      assert {:error, %Error{kind: :invalid, details: %{"path" => path}}} =
               Call.invoke(ref, "sleep", [%{a: [self()]}])

      assert path =~ "arguments"
    end
  end

  describe "the end of the session" do
    test "answers every call that waits at once", %{fake: fake, ref: ref} do
      tasks = for _ <- 1..10, do: Task.async(fn -> Call.invoke(ref, "sleep") end)
      Enum.each(1..10, &assert_call/1)
      FakeWorker.close(fake)

      for task <- tasks do
        assert {:error, %Error{kind: :worker_down, retryable: false}} =
                 Task.await(task, :infinity)
      end
    end

    test "says why the worker ended it", %{fake: fake, ref: ref} do
      task = Task.async(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)
      failure = %Failure{kind: :protocol, message: "frame 2 cannot be read"}
      FakeWorker.send_frame(fake, %ServerFrame{failure: failure})
      assert {:error, %Error{kind: :worker_down, cause: cause}} = Task.await(task, :infinity)
      assert cause.message == "frame 2 cannot be read"
    end

    test "is caused by bytes that are not HTTP/2", %{fake: fake, ref: ref} do
      task = Task.async(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)
      FakeWorker.send_raw(fake, :binary.copy(<<255>>, 100))
      assert {:error, %Error{kind: :worker_down, cause: cause}} = Task.await(task, :infinity)
      assert cause.kind == :protocol
    end

    test "is caused by a message that is not protobuf", %{fake: fake, ref: ref} do
      task = Task.async(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)
      frame = :cow_http2.data(1, :nofin, Vllm.Core.Wire.GRPC.frame(<<255, 255, 255>>))
      FakeWorker.send_raw(fake, frame)
      assert {:error, %Error{kind: :worker_down, cause: cause}} = Task.await(task, :infinity)
      assert cause.message =~ "cannot be decoded"
    end

    test "is not caused by notices", %{fake: fake, ref: ref} do
      notices = [
        %Notice{event: {:draining, %Draining{grace_ms: 5}}},
        %Notice{event: {:engine_died, %EngineDied{ref: "r1", failure: nil}}},
        %Notice{event: nil}
      ]

      FakeWorker.send_frame(fake, %ServerFrame{notices: notices})
      task = Task.async(fn -> Call.invoke(ref, "sleep") end)
      assert_call(1)
      FakeWorker.reply(fake, 1, value(nil))
      assert Task.await(task, :infinity) == {:ok, nil}
    end

    test "an instance that is not running is an error that says how to start it" do
      ref = %Ref{instance: {Nowhere.Vllm, node()}, incarnation: "i", id: "1", type: "X"}
      assert {:error, %Error{kind: :worker_down} = error} = Call.invoke(ref, "sleep")
      assert error.message =~ "{Vllm, name: Nowhere.Vllm}"
    end
  end

  test "neither a status nor a crash report of a connection shows its state", context do
    task = Task.async(fn -> Call.invoke(context.ref, "generate", ["a secret prompt"]) end)
    assert_call(1)
    connection = connection(context.instance)
    # What waits to be sent holds prompts, and the hello and routes what clients do.
    :sys.replace_state(connection, &put_in(&1.outbox.frame.calls, ["a secret prompt"]))
    assert inspect(:sys.get_state(connection), limit: :infinity) =~ "secret"

    shown = inspect(:sys.get_status(connection), limit: :infinity)
    assert shown =~ inspect(%{calls: 1, instance: context.instance})
    refute shown =~ "secret"
    refute shown =~ "Outbox"

    :sys.replace_state(connection, &put_in(&1.outbox.frame.calls, []))
    Task.shutdown(task, :brutal_kill)
  end

  test "of a crash, a connection shows the shape of the reason and of nothing else", context do
    state = :sys.get_state(connection(context.instance))
    secret = %{state | outbox: "a secret prompt"}

    status = %{
      state: secret,
      message: {:call, make_ref(), self(), "a secret prompt", 1, nil},
      reason: {:badmatch, "a secret prompt"},
      log: ["a secret prompt"]
    }

    assert Connection.format_status(status) == %{
             state: %{instance: context.instance, calls: 0},
             message: :hidden,
             reason: "a tuple of 2 elements",
             log: []
           }
  end
end
