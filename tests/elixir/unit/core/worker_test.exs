defmodule Vllm.Core.WorkerTest do
  use Vllm.ShellWorkerCase, async: true

  test "has started when it has printed the READY line", context do
    {:ok, worker} = start(context, "echo before; #{@ready}; exec sleep 600")
    assert {:ok, "unix:/x", token} = Worker.address(worker)
    assert String.length(token) == 32
    assert %{os_pid: os_pid, log: ["before"]} = Worker.info(worker)
    stop(worker)
    wait_until(fn -> not alive?(os_pid) end)
    assert File.ls!(context.sockets) == []
  end

  test "gets its arguments and its environment", context do
    script = """
    echo "$@"
    echo "token $VLLM_BRIDGE_TOKEN" "path $PYTHONPATH" "mine $MINE" "gone $GONE"
    #{@ready}
    exec sleep 600
    """

    options = [
      worker_args: ["--extra"],
      engine_class: "a:B",
      grace: 1500,
      env: %{"MINE" => "1", GONE: false}
    ]

    {:ok, worker} = start(context, script, options)
    assert %{log: [arguments, environment]} = Worker.info(worker)
    assert arguments =~ ~r"^-m python_worker --listen unix:#{context.sockets}/vllm-\w+/s "

    assert arguments =~
             "--lifeline stdin --grace 1.5 --token-path auto --nice 10 --stall-after 120.0 --engine-class a:B --extra"

    {:ok, _address, token} = Worker.address(worker)
    assert environment =~ "token #{token}"
    assert environment =~ "mine 1"
    assert environment =~ ~r"gone $"
    stop(worker)
  end

  test "the socket's folder is for this user only", context do
    {:ok, worker} = start(context, "#{@ready}; exec sleep 600")
    [folder] = File.ls!(context.sockets)
    assert %{mode: mode} = File.stat!(Path.join(context.sockets, folder))
    assert Bitwise.band(mode, 0o777) == 0o700
    stop(worker)
  end

  test "a worker that ends before it is ready shows its last lines", context do
    assert {:error, {:shutdown, %Error{kind: :worker_down} = error}} =
             start(context, "echo one; echo 'no module named grpc' >&2; exit 3")

    assert error.message =~ "exit status 3"
    assert error.message =~ "no module named grpc"
    assert File.ls!(context.sockets) == []
  end

  test "keeps only the last fifty lines", context do
    assert {:error, {:shutdown, error}} = start(context, "seq 1 200; exit 1")
    refute error.message =~ ~r/^ +150$/m
    assert error.message =~ ~r/^ +151$/m
  end

  test "the beginning of a line that is too long is kept", context do
    script = """
    head -c 1000000 /dev/zero | tr '\\0' x; echo
    #{@ready}
    exec sleep 600
    """

    {:ok, worker} = start(context, script)
    assert %{log: [line], seen: 1} = Worker.info(worker)
    kept = Worker.Log.line_bytes()
    assert line == String.duplicate("x", kept) <> "… (#{1_000_000 - kept} bytes more)"
    stop(worker)
  end

  test "a worker that never becomes ready is stopped", context do
    message = hanging(context, 500)
    assert message =~ ":start_timeout"
    assert message =~ "hanging"
  end

  # On a busy machine the shell may not come to say anything in time; then it is given more.
  defp hanging(context, timeout) do
    script = "echo hanging; exec sleep 600"
    assert {:error, {:shutdown, error}} = start(context, script, start_timeout: timeout)
    if error.message =~ "hanging", do: error.message, else: hanging(context, 2 * timeout)
  end

  test "a worker that prints without pause and never becomes ready is stopped", context do
    script = "while true; do echo 'not yet'; done"
    assert {:error, {:shutdown, error}} = start(context, script, start_timeout: 300, log: false)
    assert error.message =~ ":start_timeout"
  end

  test "a worker killed later stops the process with the reason", context do
    {:ok, worker} = start(context, "#{@ready}; exec sleep 600")
    %{os_pid: os_pid} = Worker.info(worker)
    kill(os_pid)
    assert_receive {:EXIT, ^worker, {:shutdown, %Error{kind: :worker_down} = error}}
    assert error.message =~ "signal 9"
  end

  test "processes that the worker leaves behind are killed", context do
    # A child in the worker's group, which closes its ends of the pipes and survives the worker.
    script = """
    setsid sh -c 'echo "VLLM_BRIDGE READY {\\"address\\": \\"unix:/x\\", \\"pid\\": $$}"
    sleep 600 >/dev/null 2>&1 </dev/null &
    echo "child $!"; wait' &
    wait
    """

    {:ok, worker} = start(context, script)
    wait_until(fn -> Enum.any?(Worker.info(worker).log, &(&1 =~ "child")) end)
    %{os_pid: leader, log: [line | _]} = Worker.info(worker)
    ["child", child] = String.split(line)
    kill(leader)
    assert_receive {:EXIT, ^worker, {:shutdown, %Error{}}}
    wait_until(fn -> not alive?(child) end)
  end

  test "a worker that ignores SIGTERM is killed after its grace, which the log names", context do
    script = "trap '' TERM; #{@ready}; while true; do sleep 0.1; done"

    log =
      capture_log(fn ->
        {:ok, worker} = start(context, script, grace: 200)
        %{os_pid: os_pid} = Worker.info(worker)
        stop(worker)
        wait_until(fn -> not alive?(os_pid) end)
      end)

    # The grace for its calls, and the time for shutting engines down.
    assert log =~ "killed the worker: it did not stop within #{200 + 10_000} ms"
  end

  test "a worker that takes its time to stop is not killed", context do
    over = Path.join(context.dir, "over")

    script = """
    trap 'echo stopping; sleep 0.3; touch #{over}; exit 0' TERM
    #{@ready}
    while true; do sleep 0.05; done
    """

    log =
      capture_log(fn ->
        {:ok, worker} = start(context, script, grace: 0)
        stop(worker)
      end)

    assert File.exists?(over)
    refute log =~ "killed the worker"
  end

  test "its supervisor waits for its grace, and longer than the worker itself does" do
    [short, long] =
      for grace <- [0, 60_000], do: Worker.child_spec(%{name: :it, grace: grace}).shutdown

    assert long - short == 60_000
    # The time for shutting engines down, and that for the end after SIGKILL.
    assert short >= 10_000 + 5_000
  end

  test "lines are logged at the level they name", context do
    script = """
    echo "WARNING careful"
    echo "(EngineCore pid=1) ERROR it broke"
    echo "INFO fine"
    #{@ready}
    exec sleep 600
    """

    text =
      capture_log(fn ->
        {:ok, worker} = start(context, script, log: :auto)
        stop(worker)
      end)

    assert text =~ ~r/\[warn\w*\] +WARNING careful/
    assert text =~ ~r/\[error\] +\(EngineCore pid=1\) ERROR it broke/
    assert text =~ ~r/\[info\] +INFO fine/
  end

  test "bytes that are not text are logged", context do
    {:ok, worker} = start(context, "printf '\\377\\376\\n'; #{@ready}; exec sleep 600")
    assert %{log: [line]} = Worker.info(worker)
    assert String.valid?(line)
    stop(worker)
  end

  test "a READY line that cannot be read is an error that shows it", context do
    assert {:error, {:shutdown, error}} =
             start(context, "echo 'VLLM_BRIDGE READY x'; exec sleep 600")

    assert error.message =~ "READY line"
  end

  test "a file that cannot be executed is an error", context do
    path = Path.join(context.dir, "garbage")
    File.write!(path, <<0, 1, 2, 3>>)
    File.chmod!(path, 0o755)
    assert {:error, {:shutdown, %Error{kind: :worker_down}}} = start_with(context, path, [])
  end

  test "a folder that does not exist or is too deep for a socket is an error", context do
    for dir <- ["/nowhere", String.duplicate("/long", 30)] do
      assert {:error, {:shutdown, %Error{message: message}}} =
               start(context, "exit 1", socket_dir: dir)

      assert message =~ ":socket_dir"
    end
  end
end
