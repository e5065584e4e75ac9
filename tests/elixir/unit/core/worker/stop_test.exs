defmodule Vllm.Core.Worker.StopTest do
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [alive?: 1]

  alias Vllm.Core.Worker.Stop

  @moduletag :tmp_dir

  # A shell that has printed its process id. The port makes it the leader of a process group.
  defp shell(script) do
    port = Port.open({:spawn_executable, "/bin/sh"}, [:binary, line: 100, args: ["-c", script]])
    assert_receive {^port, {:data, {:eol, os_pid}}}
    String.to_integer(os_pid)
  end

  test "ends a process that SIGTERM ends" do
    os_pid = shell("echo $$; while :; do sleep 0.1; done")
    assert Stop.run(os_pid, 60_000) == :ok
    refute alive?(os_pid)
  end

  test "gives a process its time at SIGTERM", %{tmp_dir: dir} do
    over = Path.join(dir, "over")

    os_pid =
      shell("trap 'sleep 0.3; touch #{over}; exit' TERM; echo $$; while :; do sleep 0.05; done")

    assert Stop.run(os_pid, 60_000) == :ok
    assert File.exists?(over)
    refute alive?(os_pid)
  end

  test "kills a process that ignores SIGTERM after the timeout" do
    os_pid = shell("trap '' TERM; echo $$; while :; do sleep 0.1; done")
    assert Stop.run(os_pid, 100) == :late
    refute alive?(os_pid)
  end

  test "a process that has ended is no error" do
    os_pid = shell("echo $$; exec cat")
    assert Stop.run(os_pid, 60_000) == :ok
    assert Stop.run(os_pid, 60_000) == :ok
  end

  test "removes the folder and only the shared memory named after it", %{tmp_dir: dir} do
    folder = Path.join(dir, "vllm-*")
    shared = Path.join(dir, "shm")
    File.mkdir_p!(folder)
    File.mkdir_p!(shared)
    File.write!(Path.join(folder, "s"), "")
    for name <- ["vllm-*_a", "vllm-1_b", "vllm-*"], do: File.touch!(Path.join(shared, name))
    assert Stop.remove_files(folder, shared) == :ok
    refute File.exists?(folder)
    assert Enum.sort(File.ls!(shared)) == ["vllm-*", "vllm-1_b"]
  end
end
