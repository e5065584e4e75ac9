defmodule Vllm.Core.Worker.LogWriterTest do
  # Lines on their way to Logger. The handler of a test blocks, so these are not async.
  use Vllm.ShellWorkerCase

  import Vllm.BlockingHandler

  alias Vllm.Core.Worker.{Log, LogWriter}

  @line String.duplicate("x", 1_000)

  defp add(writer, count), do: Enum.reduce(1..count, writer, &LogWriter.add(&2, {:info, "#{&1}"}))

  test "lines are logged in their order", context do
    heard = handle(context.test)
    writer = context.test |> LogWriter.start() |> add(1_000)
    LogWriter.flush(writer)
    assert heard.() == Enum.map(1..1_000, &"#{&1}")
  end

  test "what waits for a slow handler is bounded, the rest is counted in one warning", context do
    heard = handle(context.test)
    block(context.test)

    writer =
      Enum.reduce(1..5_000, LogWriter.start(context.test), fn _, writer ->
        writer = LogWriter.add(writer, {:info, @line})
        assert writer.bytes <= LogWriter.max_bytes()
        writer
      end)

    assert writer.dropped > 3_000 * byte_size(@line)
    unblock(context.test)
    LogWriter.flush(writer)
    wait_until(fn -> Enum.any?(heard.(), &(&1 =~ "were not logged")) end)
    assert [warning] = Enum.filter(heard.(), &(&1 =~ "were not logged"))
    assert warning =~ "#{writer.dropped} bytes of the worker's output"
    assert warning =~ "set the option :log to false"
    lines = Enum.count(heard.(), &(&1 == @line))
    assert lines * byte_size(@line) + writer.dropped == 5_000 * byte_size(@line)
  end

  test "the timer of the warning is set once for each warning", context do
    writer = context.test |> LogWriter.start() |> LogWriter.drop(1) |> LogWriter.drop(2)
    assert writer.dropped == 3
    reported = LogWriter.handle(writer, :report)
    assert reported.dropped == 0
    assert LogWriter.handle(reported, :report) == reported
  end

  test "another process goes on when it has ended", context do
    heard = handle(context.test)
    block(context.test)
    writer = context.test |> LogWriter.start() |> add(10)
    monitor = Process.monitor(writer.pid)
    Process.exit(writer.pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}
    unblock(context.test)
    restarted = LogWriter.restart(writer)
    # The first had one line; the others waited.
    assert restarted.dropped > 0
    LogWriter.flush(restarted)
    assert Enum.take(heard.(), -9) |> Enum.filter(&(&1 =~ ~r/^\d+$/)) != []
  end

  describe "a worker that prints much" do
    @describetag timeout: 300_000

    # The shell prints faster than lines are handled. Meanwhile the test looks at what is kept. What
    # waits to be read is no part of that: it depends on how busy the cores are.
    test "is read in bounded memory, and its newest lines are kept", context do
      script = """
      #{@ready}
      yes short | head -c 300000000
      echo; echo "RuntimeError: the cause"; exec sleep 600
      """

      {:ok, worker} = start(context, script, log: :info)
      assert most_kept(worker, "RuntimeError: the cause") < 16 * 1024 * 1024
      info = Worker.info(worker)
      assert List.last(info.log) == "RuntimeError: the cause"
      assert Log.root_causes(Enum.take(info.log, -10)) == ["RuntimeError: the cause"]
      %{log: log} = :sys.get_state(worker)
      assert log.writer.bytes <= LogWriter.max_bytes()
      stop(worker)
    end

    test "is explained by its newest lines when it ends", context do
      script = "yes | head -c 50000000; echo; echo 'no module named grpc'; exit 3"
      assert {:error, {:shutdown, error}} = start(context, script, log: :info)
      assert error.message =~ "exit status 3"
      assert error.message =~ "no module named grpc"
    end

    test "before it is ready still becomes ready", context do
      script = "yes | head -c 50000000; echo; #{@ready}; yes | head -c 1000000; exec sleep 600"
      {:ok, worker} = start(context, script, log: false)
      assert {:ok, "unix:/x", _token} = Worker.address(worker)
      stop(worker)
    end

    test "while it is stopped is killed after its grace", context do
      script = "trap '' TERM; #{@ready}; while :; do yes short | head -c 10000000; done"
      {:ok, worker} = start(context, script, log: :info, grace: 200)
      %{os_pid: os_pid} = Worker.info(worker)
      stop(worker)
      wait_until(fn -> not alive?(os_pid) end)
    end

    test "to a handler that blocks answers, and keeps its newest lines", context do
      handle(context.test)
      block(context.test)
      script = "#{@ready}; yes short | head -c 20000000; echo; echo last; exec sleep 600"
      {:ok, worker} = start(context, script, log: :info)
      assert most_kept(worker, "last") < 16 * 1024 * 1024
      unblock(context.test)
      stop(worker)
    end
  end

  # The most that the worker's log keeps, in bytes, until a line is in it. The worker handles what waits
  # before it answers.
  defp most_kept(worker, line, most \\ 0) do
    %{log: log} = :sys.get_state(worker, :infinity)
    most = max(most, :erlang.external_size(log))
    if line in Log.lines(log), do: most, else: most_kept(worker, line, most)
  end
end
