defmodule Vllm.Core.Call.CallerTest do
  # A call that is told of its progress, and the mailbox of its caller.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Core.Call.Caller
  alias Vllm.Proto.{CallRequest, Progress}

  defp call(context, timeout, on_progress) do
    request = %CallRequest{target: {:ref, "r1"}, method: "generate"}
    Caller.call(context.instance, request, timeout, 64, nil, on_progress)
  end

  defp told, do: fn progress -> send(self(), {:told, progress}) end
  defp progress(done), do: {:progress, %Progress{done: done, total: 2}}

  test "progress comes before the value, in order, and :over at the end", context do
    FakeWorker.answer(context.fake, 1, [progress(1), progress(2), value("done")])
    assert {:value, payload} = call(context, :infinity, told())
    assert {:value, payload} == value("done")
    assert_received {:told, %Progress{done: 1}}
    assert_received {:told, %Progress{done: 2}}
    assert_received {:told, :over}
    assert mailbox_without_client() == []
  end

  test "progress does not make the deadline later, and leaves no message", context do
    FakeWorker.answer(context.fake, 1, [progress(1)])
    assert {:error, %Error{kind: :timeout}} = call(context, 1, told())
    assert_received {:told, %Progress{done: 1}}
    assert_received {:told, :over}
    assert mailbox_without_client() == []
  end

  test "a call that does not want to be told has its value as before", context do
    FakeWorker.answer(context.fake, 1, [value("done")])
    assert {:value, _payload} = call(context, :infinity, nil)
  end

  test "a call that is over hears nothing more of its connection", context do
    for {id, on_progress} <- [{1, nil}, {2, told()}] do
      FakeWorker.answer(context.fake, id, [value("done")])
      assert {:value, _payload} = call(context, :infinity, on_progress)
    end

    assert_received {:told, :over}
    stop_supervised!(context.name)
    assert mailbox_without_client() -- [:client_closed] == []
  end

  @tag connect: false
  test "what is still under way when a call returns does not arrive", %{test: name} do
    # This process is the connection.
    Process.register(self(), Module.concat(:"#{name} alone", "Connection"))
    context = %{instance: {:"#{name} alone", node()}}
    test = self()

    for on_progress <- [nil, fn _progress -> :told end] do
      caller =
        Task.async(fn ->
          assert {:value, "v"} = call(context, :infinity, on_progress)
          send(test, :returned)
          receive do: (:look -> Process.info(self(), :messages))
        end)

      assert_receive {:call, reply_to, _caller, %CallRequest{}, 64, nil}
      send(reply_to, {reply_to, {:value, "v"}})
      assert_receive :returned
      send(reply_to, {reply_to, progress(1)})
      send(caller.pid, :look)
      assert Task.await(caller, :infinity) == {:messages, []}
    end
  end

  test "a worker that ends is told to a caller that waits for progress", context do
    task = Task.async(fn -> call(context, :infinity, told()) end)
    assert_call(1)
    stop_supervised!(context.name)
    assert {:error, %Error{kind: :draining}} = Task.await(task, :infinity)
  end

  defp mailbox_without_client do
    {:messages, messages} = Process.info(self(), :messages)
    for message <- messages, not match?({:client, _}, message), do: message
  end
end
