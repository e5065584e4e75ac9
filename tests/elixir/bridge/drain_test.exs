defmodule Vllm.Bridge.DrainTest do
  # An instance that stops gives its calls their grace period.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, except: [start: 2]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, RequestOutput, Stream}

  @moduletag :bridge
  @moduletag :tmp_dir
  @moduletag capture_log: true

  # Not by start_supervised: the test itself stops it.
  defp start(name, options) do
    options = [name: name, engine_class: engine_class(), log: false] ++ patience() ++ options
    {:ok, supervisor} = Vllm.start_link(options)
    Process.unlink(supervisor)
    {:ok, %{"pid" => os_pid}} = Vllm.status(name)
    %{supervisor: supervisor, engine: engine(name), os_pid: os_pid}
  end

  # A call that does not end before the test makes the file.
  defp blocked(engine, file), do: Task.async(fn -> Vllm.call(engine, "block_until", [file]) end)

  defp stop(supervisor), do: Task.async(fn -> Supervisor.stop(supervisor, :shutdown) end)

  defp generate(engine, params) do
    {:ok, stream} = AsyncLLM.generate(engine, "x", params, request_id())
    Task.async(fn -> Stream.collect(stream) end)
  end

  defp refused?(engine),
    do: match?({:error, %Error{kind: :draining}}, AsyncLLM.is_running(engine))

  test "calls in flight finish, new calls are refused", %{test: name, tmp_dir: dir} do
    %{supervisor: supervisor, engine: engine, os_pid: os_pid} = start(name, grace: 600_000)
    # They go on when they are enumerated: there is a token for each that is taken.
    params = [max_tokens: 20, extra_args: %{"fake" => %{"paced" => true}}]

    streams =
      for _ <- 1..5 do
        {:ok, stream} = AsyncLLM.generate(engine, "x", params, request_id(), rpc: [window: 1])
        stream
      end

    slow = blocked(engine, Path.join(dir, "open"))
    wait_until(fn -> match?({:ok, %{calls: 6}}, Vllm.Core.Connection.info({name, node()})) end)

    stopping = stop(supervisor)
    wait_until(fn -> refused?(engine) end)
    assert {:error, %Error{kind: :draining, retryable: false}} = AsyncLLM.is_running(engine)

    for stream <- streams do
      assert {:ok, %RequestOutput{finished: true}} = Stream.collect(stream)
    end

    File.touch!(Path.join(dir, "open"))
    assert Task.await(slow, :infinity) == {:ok, "unblocked"}
    assert Task.await(stopping, :infinity) == :ok
    refute alive?(os_pid)
    assert {:error, %Error{kind: :worker_down}} = AsyncLLM.is_running(engine)
  end

  test "ready engines are still found, and engines that are being built are refused", context do
    %{test: name, tmp_dir: dir} = context
    built = Path.join(dir, "built")
    slow = [model: "fake", additional_config: %{"fake" => %{"build_until" => built}}]
    options = [grace: 600_000, engines: [there: [model: "fake"], coming: slow]]
    %{supervisor: supervisor, engine: engine} = start(name, options)
    {:ok, there} = Vllm.engine(name, :there)
    waiting = Task.async(fn -> Vllm.engine(name, :coming) end)
    call = blocked(engine, Path.join(dir, "open"))
    wait_until(fn -> match?({:ok, %{calls: 2}}, Vllm.Core.Connection.info({name, node()})) end)

    stopping = stop(supervisor)
    assert {:error, %Error{kind: :draining}} = Task.await(waiting, :infinity)
    assert {:error, %Error{kind: :draining}} = Vllm.engine(name, :coming)
    assert Vllm.engine(name, :there) == {:ok, there}
    wait_until(fn -> refused?(there) end)
    for file <- [built, Path.join(dir, "open")], do: File.touch!(file)
    assert Task.await(call, :infinity) == {:ok, "unblocked"}
    assert Task.await(stopping, :infinity) == :ok
  end

  test "a caller that waits for an engine is told that the worker was killed", context do
    %{test: name, tmp_dir: dir} = context
    slow = [model: "fake", additional_config: %{"fake" => %{"build_until" => dir <> "/never"}}]
    %{supervisor: supervisor, os_pid: os_pid} = start(name, engines: [coming: slow])
    waiting = Task.async(fn -> Vllm.engine(name, :coming, :infinity) end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Vllm.Core.Connection.info({name, node()})) end)

    # The end of the worker's process is noticed before that of its connection.
    :sys.suspend(Module.concat(name, "Connection"))
    {_, 0} = System.cmd("kill", ["-KILL", to_string(os_pid)])
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(waiting, :infinity)
    assert error.message =~ "exit status 137 (signal 9)"
    :ok = Supervisor.stop(supervisor, :shutdown)
  end

  test "calls that do not finish fail after the grace period", %{test: name} do
    %{supervisor: supervisor, engine: engine, os_pid: os_pid} = start(name, grace: 300)
    stream = generate(engine, endless())
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    wait_until(fn -> match?({:ok, %{calls: 2}}, Vllm.Core.Connection.info({name, node()})) end)

    stopping = stop(supervisor)
    assert {:error, %Error{kind: :draining}} = Task.await(stream, :infinity)
    assert {:error, %Error{kind: :draining}} = Task.await(call, :infinity)
    assert Task.await(stopping, :infinity) == :ok
    refute alive?(os_pid)
  end

  test "an idle instance stops at once", %{test: name} do
    %{supervisor: supervisor} = start(name, grace: 600_000)
    assert supervisor |> stop() |> Task.await(:infinity) == :ok
  end

  test "an instance that is building an engine stops at once", %{test: name} do
    config = %{"fake" => %{"build_seconds" => 1}}

    %{supervisor: supervisor} =
      start(name, grace: 600_000, engines: [slow: [model: "fake", additional_config: config]])

    assert supervisor |> stop() |> Task.await(:infinity) == :ok
  end

  test "a worker that is killed does not delay the stop", %{test: name} do
    %{supervisor: supervisor, engine: engine, os_pid: os_pid} = start(name, grace: 600_000)
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Vllm.Core.Connection.info({name, node()})) end)
    kill(os_pid)
    assert {:error, %Error{kind: :worker_down}} = Task.await(call, :infinity)
    wait_until(fn -> match?({:ok, _}, Vllm.status(name)) end)
    assert supervisor |> stop() |> Task.await(:infinity) == :ok
  end
end
