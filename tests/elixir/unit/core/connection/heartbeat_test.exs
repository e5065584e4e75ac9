defmodule Vllm.Core.Connection.HeartbeatTest do
  # A worker that says nothing. The looks are sent by the tests, which do not wait for their time.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Stream
  alias Vllm.Core.Connection.{Heartbeat, State}
  alias Vllm.Core.Wire.Socket

  test "one that answers pings keeps its session, whatever else it does not say", context do
    stream = open_stream(context, 1)

    for _ <- 1..20 do
      {received, looks} = look(context)
      # A ping is on its way, or an answer has come since the look before.
      assert looks in [0, 1]
      if looks == 1, do: wait_until(fn -> received(context) > received end)
    end

    FakeWorker.reply(context.fake, 1, ended())
    assert Enum.to_list(stream) == []
  end

  test "the end of one that answers none is the end of everything that waits for it", context do
    stream = open_stream(context, 1)
    call = Task.async(fn -> Vllm.call(context.ref, "wait_forever") end)
    assert_call(2)
    connection = connection(context.instance)
    monitor = Process.monitor(connection)
    :erlang.suspend_process(context.fake.pid)
    # The last bytes of it may have come since the last look.
    for _ <- 1..5, do: send(connection, :heartbeat)
    assert_receive {:DOWN, ^monitor, :process, _pid, _reason}
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(call)
    assert error.message =~ "has not answered a ping"
    assert {:error, %Error{kind: :worker_down}} = Stream.collect(stream)
    :erlang.resume_process(context.fake.pid)
  end

  test "one that sends anything is not asked", context do
    stream = open_stream(context, 1)

    for n <- 1..5 do
      before = received(context)
      FakeWorker.reply(context.fake, 1, item(n))
      wait_until(fn -> received(context) > before end)
      assert {_received, 0} = look(context)
    end

    FakeWorker.reply(context.fake, 1, ended())
    assert length(Enum.to_list(stream)) == 5
  end

  @tag connect: false
  test "`silent_after:` of the watchdog says when", context do
    %{fake: fake, name: name} = context
    options = [name: name, connect: fake.address, watchdog: [silent_after: 40], start_timeout: 0]
    {:ok, _instance} = start_supervised({Vllm, options})
    monitor = Process.monitor(connection(context.instance))
    :erlang.suspend_process(fake.pid)
    assert_receive {:DOWN, ^monitor, :process, _pid, reason}
    assert inspect(reason) =~ "has sent nothing for 40 ms"
    :erlang.resume_process(fake.pid)
  end

  test "a look is planned for a quarter of the time, or never" do
    for {silent_after, longest} <- [{40_000, 10_000}, {1, 1}] do
      timer = Heartbeat.plan(%State{instance: {:x, node()}, silent_after: silent_after})
      assert Process.cancel_timer(timer) in [false | Enum.to_list(0..longest)]
    end

    for never <- [0, :infinity],
        do: assert(Heartbeat.plan(%State{instance: {:x, node()}, silent_after: never}) == nil)
  end

  defp look(context) do
    connection = connection(context.instance)
    send(connection, :heartbeat)
    :sys.get_state(connection).heartbeat
  end

  defp received(context) do
    {:ok, bytes} = Socket.received(:sys.get_state(connection(context.instance)).socket)
    bytes
  end
end
