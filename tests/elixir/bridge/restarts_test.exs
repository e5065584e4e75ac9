defmodule Vllm.Bridge.RestartsTest do
  # What callers get while the worker restarts and after the instance has given up, and that
  # instances leave each other alone.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, OtherNode, ProcessTree}
  alias Vllm.Core.{Connection, Worker}
  alias Vllm.Core.Instance.Locator

  @moduletag :bridge
  @moduletag :tmp_dir

  # The interpreter, held up or ended by files that a test makes.
  setup %{tmp_dir: dir} do
    {:ok, python} = Vllm.Environment.python()
    wrapper = Path.join(dir, "python")

    File.write!(wrapper, """
    #!/bin/sh
    while [ -e "#{dir}/wait" ]; do sleep 0.02; done
    if [ -e "#{dir}/fail" ]; then echo "ModuleNotFoundError: No module named 'grpc'"; exit 3; fi
    exec "#{python}" "$@"
    """)

    File.chmod!(wrapper, 0o755)
    %{options: [engine_class: engine_class(), log: :debug, python: wrapper] ++ patience()}
  end

  test "while the worker restarts, calls fail with the reason", context do
    %{test: name, tmp_dir: dir} = context
    {:ok, _} = start(name, context.options)
    File.touch!(Path.join(dir, "wait"))
    kill(os_pid(name))
    # The end of the connection may be known before its reason.
    wait_until(fn -> said(Vllm.status(name)) =~ "exit status 137 (signal 9)" end)

    assert {:error, %Error{kind: :worker_down} = error} = Vllm.status(name)
    assert error.message =~ "is restarting"
    assert [_ | _] = error.cause.details["log"]

    File.rm!(Path.join(dir, "wait"))
    wait_until(fn -> match?({:ok, _}, Vllm.status(name)) end)
  end

  @tag timeout: 120_000
  test "a worker that dies ten times is given up as configured, with its last lines", context do
    Process.flag(:trap_exit, true)
    name = context.test
    limits = [max_restarts: 9, max_seconds: 300]
    {:ok, supervisor} = Vllm.start_link([name: name] ++ limits ++ context.options)

    Enum.reduce(1..10, 0, fn _, before ->
      wait_until(fn -> match?({:ok, %{pid: pid}} when pid != before, info(name)) end)
      refute_received {:EXIT, ^supervisor, _reason}
      {:ok, %{pid: pid}} = info(name)
      kill(pid)
      pid
    end)

    assert_receive {:EXIT, ^supervisor, :shutdown}

    for call <- [
          fn -> Vllm.status(name) end,
          fn -> AsyncLLM.from_engine_args(name, model: "x") end
        ] do
      assert {:error, %Error{kind: :worker_down} = error} = call.()
      assert error.message =~ "has given up"
      assert error.message =~ "exit status 137 (signal 9)"
      assert Exception.message(error) =~ "its last lines were"
    end
  end

  test "a worker that cannot start again is given up at once, with its output", context do
    Process.flag(:trap_exit, true)
    %{test: name, tmp_dir: dir} = context
    {:ok, supervisor} = Vllm.start_link([name: name] ++ context.options)
    File.touch!(Path.join(dir, "fail"))
    kill(os_pid(name))
    assert_receive {:EXIT, ^supervisor, :shutdown}
    assert {:error, %Error{kind: :worker_down} = error} = Vllm.status(name)
    assert error.message =~ "exit status 3"
    assert error.cause.message =~ "No module named 'grpc'"
  end

  test "calls in flight fail with the reason that ended the worker", context do
    {:ok, _} = start(context.test, context.options)
    engine = engine(context.test)
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, info(context.test)) end)
    kill(os_pid(context.test))
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(call, :infinity)
    assert error.message =~ "has ended: "
    assert %Error{} = error.cause
  end

  test "the end of one BEAM does not affect the workers of another", context do
    {:ok, _} = start(context.test, Keyword.delete(context.options, :python))
    engine = engine(context.test)
    child = control(engine, "start_child")
    mine = ProcessTree.of(context.test)

    peer = OtherNode.boot()
    # Under the same name: names are for one BEAM.
    options = [name: context.test, engine_class: engine_class(), log: false] ++ patience()
    {:ok, _} = OtherNode.call(peer, OtherNode, :start_instance, [options])
    theirs = OtherNode.call(peer, ProcessTree, :of, [context.test])
    assert theirs.worker != mine.worker and theirs.folder != mine.folder

    kill(OtherNode.call(peer, System, :pid, []))
    ProcessTree.await_gone(theirs)
    assert alive?(child)
    assert ProcessTree.of(context.test) == mine
    assert AsyncLLM.check_health(engine) == {:ok, nil}

    :ok = stop_supervised(context.test)
    ProcessTree.await_gone(mine)
  end

  defp said({:error, error}), do: error.message
  defp said({:ok, _status}), do: ""

  defp os_pid(name), do: Worker.info(Locator.process_name(name, "Worker")).os_pid
  defp info(name), do: Connection.info({name, node()})
end
