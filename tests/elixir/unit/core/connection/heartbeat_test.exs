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
  test "`silent_after:` of the watchdog is the time that the error names", context do
    %{fake: fake, name: name} = context
    # Long enough that no look of its own comes between.
    options = [connect: fake.address, start_timeout: 0, watchdog: [silent_after: 4_000_000]]
    {:ok, _instance} = start_supervised({Vllm, [name: name] ++ options})
    connection = connection(context.instance)
    monitor = Process.monitor(connection)
    :erlang.suspend_process(fake.pid)
    for _ <- 1..5, do: send(connection, :heartbeat)
    assert_receive {:DOWN, ^monitor, :process, _pid, reason}
    assert inspect(reason) =~ "has sent nothing for 4000000 ms"
    :erlang.resume_process(fake.pid)
  end

  test "a look is planned for a quarter of the time, or never" do
    plan = &Heartbeat.plan(%State{instance: {:x, node()}, silent_after: &1})
    # Far more than this test may take.
    assert Process.cancel_timer(plan.(400_000_000)) in 99_000_000..100_000_000
    for never <- [0, :infinity], do: assert(plan.(never) == nil)
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
