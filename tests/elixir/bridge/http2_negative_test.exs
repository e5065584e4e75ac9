defmodule Vllm.HTTP2NegativeTest do
  # The six behaviours of a server in gRPC's negative tests of HTTP/2, by the Python library h2; see
  # tests/python/support/http2_negative.py. What a call becomes is a value, and the session goes on, or
  # another is opened.
  use ExUnit.Case, async: true

  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{Call, Environment, Error, Ref}

  @moduletag :bridge

  setup_all do
    {:ok, python} = Environment.python()

    path =
      Path.join(System.tmp_dir!(), "h2-#{System.unique_integer([:positive])}-#{System.pid()}")

    on_exit(fn -> File.rm(path) end)
    %{python: python, path: path}
  end

  setup %{python: python, path: path, test: name} do
    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        line: 1000,
        args: ["-m", "tests.python.support.http2_negative", path]
      ])

    assert line(port) == "ready"

    ref = %Ref{
      instance: {name, node()},
      incarnation: String.duplicate("0", 32),
      id: "r",
      type: "X"
    }

    on_exit(fn -> File.rm(path) end)
    %{port: port, ref: ref}
  end

  test "goaway: calls go on in the session, and another is opened behind it", context do
    instance = start(context, "goaway")
    first = connection(instance)
    assert echo(context.ref, 1) == {:ok, [1]}
    # The server has said goodbye by now, and takes what comes until it leaves.
    assert connection(instance) == first
    assert echo(context.ref, 2) == {:ok, [2]}
    assert line(context.port) == "goaway 1 2 0"
    wait_until(fn -> echo(context.ref, 3) == {:ok, [3]} end)
  end

  test "rst_after_header: there is no session, and the error has the reason", context do
    assert {:error, %Error{kind: :worker_down} = error} = try_start(context, "rst_after_header")
    assert error.message =~ "reset the session: internal_error"
    assert line(context.port) == "rst_after_header 1 0 0"
  end

  test "rst_during_data: half of an answer is no value", context do
    start(context, "rst_during_data")

    assert {:error, %Error{kind: :worker_down} = error} =
             echo(context.ref, String.duplicate("x", 500))

    assert error.cause.message =~ "reset the session: internal_error"
    assert line(context.port) == "rst_during_data 1 1 0"
  end

  test "rst_after_data: a whole answer is a value, and another session is opened", context do
    instance = start(context, "rst_after_data")
    first = connection(instance)
    assert echo(context.ref, 1) == {:ok, [1]}
    assert line(context.port) == "rst_after_data 1 1 0"
    wait_until(fn -> connection(instance) not in [first, nil] end)
    wait_until(fn -> echo(context.ref, 2) == {:ok, [2]} end)
  end

  test "ping: every ping is answered", context do
    instance = start(context, "ping")
    for n <- 1..3, do: assert(echo(context.ref, n) == {:ok, [n]})
    stop_supervised!(instance)
    assert line(context.port) == "ping 1 3 3"
  end

  test "max_streams: any number of calls needs one stream", context do
    instance = start(context, "max_streams")
    tasks = for n <- 1..50, do: Task.async(fn -> {n, echo(context.ref, n)} end)
    for task <- tasks, {n, result} = Task.await(task, :infinity), do: assert(result == {:ok, [n]})
    stop_supervised!(instance)
    assert line(context.port) == "max_streams 1 50 0"
  end

  defp start(context, behaviour) do
    {:ok, _supervisor} = try_start(context, behaviour)
    context.test
  end

  defp try_start(%{path: path, test: name}, behaviour) do
    options = [name: name, connect: "unix:#{path}", token: behaviour, start_timeout: 0, grace: 10]

    case start_supervised({Vllm, options}) do
      {:ok, supervisor} -> {:ok, supervisor}
      {:error, reason} -> {:error, find_error(reason)}
    end
  end

  # The reason of a supervisor is around that of its child.
  defp find_error(%Error{} = error), do: error

  defp find_error(reason) when is_tuple(reason),
    do: reason |> Tuple.to_list() |> Enum.find_value(&find_error/1)

  defp find_error(_other), do: nil

  defp echo(ref, value), do: Call.invoke(ref, "echo", [value])

  defp connection(name), do: Process.whereis(Module.concat(name, "Connection"))

  defp line(port) do
    assert_receive {^port, {:data, {:eol, line}}}
    line
  end
end
