defmodule Vllm.Bridge.NodeTaskTest do
  # `mix vllm.node`: what it starts, what it says, and how it ends.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Mix.Tasks.Vllm.Node

  @moduletag :bridge
  @moduletag :tmp_dir

  # A shell script in place of the interpreter.
  defp interpreter(dir, script) do
    path = Path.join(dir, "python")
    File.write!(path, "#!/bin/sh\n" <> script)
    File.chmod!(path, 0o755)
    path
  end

  test "all options but --python go to Python", %{tmp_dir: dir} do
    python = interpreter(dir, ~S(echo "$*"; echo "$PYTHONPATH"; pwd))

    for named <- [["--python", python], ["--python=" <> python]] do
      arguments = ["a/model", "--head", "10.0.0.1:13345"] ++ named ++ ["--dtype", "float32"]
      output = capture_io(fn -> assert Node.run(arguments) == :ok end)
      [command, path, folder] = String.split(output, "\n", trim: true)

      assert command ==
               "-m python_worker.node a/model --head 10.0.0.1:13345 --dtype float32 --lifeline stdin"

      {:ok, sources} = Vllm.Environment.worker_dir()
      assert path |> String.split(":") |> hd() == sources
      # Paths in options are those of the caller.
      assert folder == File.cwd!()
    end
  end

  test "its exit status is Python's", %{tmp_dir: dir} do
    for status <- [1, 2] do
      python = interpreter(dir, "echo no >&2; exit #{status}")

      assert capture_io(fn ->
               assert catch_exit(Node.run(["--python", python])) == {:shutdown, status}
             end) == "no\n"
    end
  end

  test "its standard input stays open as long as it runs, and ends with it", %{tmp_dir: dir} do
    [open, ended] = for name <- ~w(open ended), do: Path.join(dir, name)
    python = interpreter(dir, "touch #{open}; cat; touch #{ended}")

    task = Task.async(fn -> capture_io(fn -> Node.run(["--python", python]) end) end)
    Vllm.FakeWorkerCase.wait_until(fn -> File.exists?(open) end)
    refute File.exists?(ended)
    Task.shutdown(task, :brutal_kill)
    Vllm.FakeWorkerCase.wait_until(fn -> File.exists?(ended) end)
  end

  test "a wrong option is named, and help lists them" do
    for {arguments, says} <- [
          {[], "--head"},
          {["m", "--head", "nowhere"], "wants HOST:PORT"},
          {["m", "--head", "h:1", "--local-size", "0"], "--local-size"}
        ] do
      output = capture_io(fn -> assert catch_exit(Node.run(arguments)) == {:shutdown, 2} end)

      assert output =~ "python_worker.node: "
      assert output =~ says
    end

    help = capture_io(fn -> assert Node.run(["--help"]) == :ok end)
    for option <- ~w(--head --start-rank --local-size --config), do: assert(help =~ option)
    assert help =~ "exit status: 0"
  end
end
