defmodule Vllm.Core.PythonCommandTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.PythonCommand
  alias Vllm.Error

  @moduletag :tmp_dir

  # A shell script in place of the interpreter.
  defp interpreter(dir, script) do
    path = Path.join(dir, "python")
    File.write!(path, "#!/bin/sh\n" <> script)
    File.chmod!(path, 0o755)
    path
  end

  defp run(dir, script),
    do: PythonCommand.run("a.module", ["--flag", "an argument"], python: interpreter(dir, script))

  test "gives the lines of stdout and stderr, and the status", %{tmp_dir: dir} do
    assert run(dir, "echo one; echo two >&2; printf three; exit 7") ==
             {:ok, ["one", "two", "three"], 7}

    assert run(dir, "exit 0") == {:ok, [], 0}
    assert run(dir, "echo; echo é") == {:ok, ["", "é"], 0}
  end

  test "starts the module, in the folder of the worker", %{tmp_dir: dir} do
    assert {:ok, [arguments, "python_worker", "1"], 0} =
             run(dir, ~S(echo "$*"; ls -d python_worker; echo $PYTHONUTF8))

    assert arguments == "-m a.module --flag an argument"
  end

  test "passes each line on when it is complete, before the command ends", %{tmp_dir: dir} do
    go = Path.join(dir, "go")
    script = "printf wai; echo ting; until [ -e #{go} ]; do sleep 0.05; done; echo done"

    # The command ends only because the first line arrives.
    on_line = fn line -> if line == "waiting", do: File.write!(go, "") end

    assert PythonCommand.run("a.module", [], python: interpreter(dir, script), on_line: on_line) ==
             {:ok, ["waiting", "done"], 0}
  end

  test "without an interpreter is an error" do
    assert {:error, %Error{kind: :worker_down} = error} =
             PythonCommand.run("a.module", [], python: "/nowhere/python")

    assert error.message =~ "/nowhere/python"
  end
end
