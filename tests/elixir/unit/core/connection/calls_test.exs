defmodule Vllm.Core.Connection.CallsTest do
  # What a connection does with messages of callers and consumers.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Proto.CallRequest

  # A call as Vllm.Core.Call.Caller sends it, with this process as its producer.
  defp send_call(context) do
    reply_to = :erlang.alias()

    request = %CallRequest{
      target: {:ref, context.ref.id},
      incarnation: FakeWorker.incarnation(),
      method: "generate",
      args: "",
      kwargs: ""
    }

    send(connection(context.instance), {:call, reply_to, self(), request, 3, self()})
    reply_to
  end

  test "a call is sent with its credit, and its producer is told to stop with it", context do
    send_call(context)
    assert %StartCall{credit: 3, request: %{method: "generate"}} = assert_call(1)
    send(connection(context.instance), {:cancel, 1})
    assert_receive {:client, %ClientFrame{cancels: [1]}}
    assert_receive {_tag, :stop}
  end

  test "an instance that stops refuses new calls, and waits for those in flight", context do
    %{fake: fake, instance: instance, ref: ref} = context
    running = Task.async(fn -> Call.invoke(ref, "sleep") end)
    assert_call(1)
    draining = Task.async(fn -> Connection.drain(instance, 600_000) end)
    wait_until(fn -> :sys.get_state(connection(instance)).drain != nil end)
    assert {:error, %Error{kind: :draining} = error} = Call.invoke(ref, "sleep")
    assert error.message =~ "it accepts no new calls"
    FakeWorker.reply(fake, 1, value("slept"))
    assert Task.await(running, :infinity) == {:ok, "slept"}
    assert Task.await(draining, :infinity) == :ok
    assert {:error, %Error{kind: :draining}} = Call.invoke(ref, "sleep")
  end

  test "a stream that has a consumer is refused to a second one", context do
    stream = open_stream(context, 1)
    {_connection, id} = stream.source
    [first, second] = for _ <- 1..2, do: :erlang.alias()

    for reply_to <- [first, second],
        do: send(connection(context.instance), {:attach, id, reply_to, [self()]})

    assert_receive {^second, {:error, %Error{kind: :conflict, message: message}}}
    assert message =~ "can be enumerated once"
  end
end
